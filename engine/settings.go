package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"pongofs/engine/layout"
	"pongofs/engine/value"
)

// Settings are what a store keeps of how it is to be used: the members of the
// dict MetaID that have a meaning. They are the same for all processes, which
// see a change with the next version they work on. Other members of the dict
// are the user's.
type Settings struct {
	// ChunkSize is by how many bytes the file grows: "chunksize", an int that is a
	// multiple of 64 KiB from MinChunkSize to MaxChunkSize. By default what Create
	// was given.
	ChunkSize int64
	// ID is the member of an added dict that holds its key: "id", a string,
	// "_id" by default. See Collection.Add.
	ID string
	// NewKey says how keys are made: "newkey", one of uuid1 (the default), uuid4
	// and uuid7.
	NewKey string
	// Sync makes every publish durable before Update returns: "sync", a bool.
	Sync bool
	// Commit is the longest time that a published change stays only visible, 0
	// for no limit: "commit", a string such as "1s" (the default) or "250ms", 0 or
	// from 10 ms to 1 h. Options.Commit goes before it.
	Commit time.Duration
}

// SettingError says what is wrong with the value of a setting.
type SettingError struct {
	Name, Value, Reason string
}

// Error returns name, value and reason.
func (e *SettingError) Error() string {
	return fmt.Sprintf("setting %s: %s: %s", e.Name, e.Value, e.Reason)
}

// Is makes every SettingError an ErrSetting.
func (e *SettingError) Is(err error) bool { return err == ErrSetting }

// setting is one setting by name.
type setting struct {
	name string
	// parse returns the value that a text stands for, as it is stored.
	parse func(text string) value.Value
	// apply takes a stored value; it returns what is wrong with it, "" if nothing.
	apply func(st *Settings, v value.Value) string
	// show returns the text of the value in effect.
	show func(st *Settings) string
}

// The bounds of Settings.Commit.
const (
	minCommit = 10 * time.Millisecond
	maxCommit = time.Hour
)

// maxIDMember is the length in bytes of the longest Settings.ID.
const maxIDMember = 255

// settings are all settings, in the order in which they are shown.
var settings = []setting{
	{
		name:  "chunksize",
		parse: parseInt,
		apply: func(st *Settings, v value.Value) string {
			if v.Kind() != value.KindInt {
				return "it is no whole number of bytes"
			}
			n := v.AsInt()
			if n < MinChunkSize || n > MaxChunkSize || n%layout.SlabSize != 0 {
				return fmt.Sprintf("it must be a multiple of %d from %d to %d", layout.SlabSize, MinChunkSize, MaxChunkSize)
			}
			st.ChunkSize = n
			return ""
		},
		show: func(st *Settings) string { return strconv.FormatInt(st.ChunkSize, 10) },
	},
	{
		name:  metaID,
		parse: value.String,
		apply: func(st *Settings, v value.Value) string {
			if v.Kind() != value.KindString {
				return "it is no string"
			}
			st.ID = v.AsString()
			if st.ID == "" || len(st.ID) > maxIDMember {
				return fmt.Sprintf("the name of a member has 1 to %d bytes", maxIDMember)
			}
			return ""
		},
		show: func(st *Settings) string { return st.ID },
	},
	{
		name:  metaNewKey,
		parse: value.String,
		apply: func(st *Settings, v value.Value) string {
			if v.Kind() != value.KindString || !slices.Contains([]string{"uuid1", "uuid4", "uuid7"}, v.AsString()) {
				return "it must be uuid1, uuid4 or uuid7"
			}
			st.NewKey = v.AsString()
			return ""
		},
		show: func(st *Settings) string { return st.NewKey },
	},
	{
		name: "sync",
		parse: func(text string) value.Value {
			switch text {
			case "true", "1", "on", "yes":
				return value.Bool(true)
			case "false", "0", "off", "no":
				return value.Bool(false)
			}
			return value.String(text)
		},
		apply: func(st *Settings, v value.Value) string {
			if v.Kind() != value.KindBool {
				return "it must be true or false"
			}
			st.Sync = v.AsBool()
			return ""
		},
		show: func(st *Settings) string { return strconv.FormatBool(st.Sync) },
	},
	{
		name: "commit",
		parse: func(text string) value.Value {
			if seconds, err := strconv.ParseUint(text, 10, 16); err == nil {
				return value.String((time.Duration(seconds) * time.Second).String())
			}
			if d, err := time.ParseDuration(text); err == nil {
				return value.String(d.String())
			}
			return value.String(text)
		},
		apply: func(st *Settings, v value.Value) string {
			bad := fmt.Sprintf("it must be 0s or a time from %v to %v, such as 250ms", minCommit, maxCommit)
			if v.Kind() != value.KindString {
				return bad
			}
			d, err := time.ParseDuration(v.AsString())
			if err != nil || d != 0 && (d < minCommit || d > maxCommit) {
				return bad
			}
			st.Commit = d
			return ""
		},
		show: func(st *Settings) string { return st.Commit.String() },
	},
}

func parseInt(text string) value.Value {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return value.Int(n)
	}
	return value.String(text)
}

// SettingNames returns the names of all settings.
func SettingNames() []string {
	names := make([]string, len(settings))
	for i := range settings {
		names[i] = settings[i].name
	}
	return names
}

func findSetting(name string) (*setting, error) {
	for i := range settings {
		if settings[i].name == name {
			return &settings[i], nil
		}
	}
	return nil, fmt.Errorf("setting %q: %w", name, ErrNotFound)
}

// defaultSettings are those of a store that sets none.
func (s *Store) defaultSettings() Settings {
	return Settings{ChunkSize: s.header.ChunkSize, ID: defaultIDMember, NewKey: "uuid1", Commit: defaultCommit}
}

// Settings returns the settings of the version. A member of MetaID that is no
// value of its setting makes it a *SettingError.
func (tx *Tx) Settings() (Settings, error) {
	st := tx.s.defaultSettings()
	for i := range settings {
		e, err := tx.Lookup(MetaID, value.String(settings[i].name))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return st, err
		}
		if e.IsContainer() {
			return st, &SettingError{settings[i].name, "a " + e.Kind.String(), "it must be a scalar"}
		}
		v, err := tx.Value(&e)
		if err != nil {
			return st, err
		}
		if why := settings[i].apply(&st, v); why != "" {
			return st, &SettingError{settings[i].name, v.String(), why}
		}
	}
	return st, nil
}

// Setting returns the text of a setting: what holds, whether it was set or not.
// ErrNotFound when there is no setting of that name.
func (tx *Tx) Setting(name string) (string, error) {
	def, err := findSetting(name)
	if err != nil {
		return "", err
	}
	st, err := tx.Settings()
	return def.show(&st), err
}

// SetSetting sets a setting by its text; an empty one makes it the default
// again. What the setting cannot be is a *SettingError and changes nothing.
// ErrNotFound when there is no setting of that name.
func (tx *Tx) SetSetting(name, text string) error {
	def, err := findSetting(name)
	if err != nil {
		return err
	}
	key := value.String(name)
	if text == "" {
		if err := tx.Remove(MetaID, key); !errors.Is(err, ErrNotFound) {
			return err
		}
		return nil
	}
	v := def.parse(text)
	var st Settings
	if why := def.apply(&st, v); why != "" {
		return &SettingError{name, strconv.Quote(text), why}
	}
	_, err = tx.Put(MetaID, key, v, PutOptions{Declared: true, New: NewAttr{Mode: 0o644}})
	return err
}

// Settings returns the settings of the newest version.
func (s *Store) Settings() (st Settings, err error) {
	err = s.View(func(tx *Tx) error {
		st, err = tx.Settings()
		return err
	})
	return st, err
}

// SetSetting is Tx.SetSetting in an Update of its own. It returns when the
// setting is durable.
func (s *Store) SetSetting(name, text string) error {
	if err := s.Update(func(tx *Tx) error { return tx.SetSetting(name, text) }); err != nil {
		return err
	}
	return s.Sync(context.Background())
}

// knownSettings are the settings as of the version that changed them last.
type knownSettings struct {
	seq uint64
	Settings
}

// learn takes the settings of the version that tx looks at, which the root
// record dates, so that it costs nothing while they stay the same.
//
// Settings that this program cannot take, which another one may have stored,
// leave the ones that were known.
func (tx *Tx) learn() {
	s := tx.s
	known := s.known.Load()
	if known != nil && known.seq == tx.root.Settings {
		return
	}
	st, err := tx.Settings()
	if err != nil {
		return
	}
	// A slower reader of an older version must not undo it.
	if known == nil || known.seq < tx.root.Settings {
		if s.known.CompareAndSwap(known, &knownSettings{tx.root.Settings, st}) {
			s.heap.SetChunkSize(st.ChunkSize)
		}
	}
}

// current returns the settings that this process goes by.
func (s *Store) current() Settings {
	if known := s.known.Load(); known != nil {
		return known.Settings
	}
	return s.defaultSettings()
}

// checkSettings is called before an edit that has changed the dict of settings
// is published: what is not good for a setting must not get there by any way.
func (tx *Tx) checkSettings() error {
	_, err := tx.Settings()
	return err
}
