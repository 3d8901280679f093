package engine

import (
	"errors"

	"pongofs/engine/container"
	"pongofs/engine/layout"
)

// The errors that callers tell apart. Each leaves the store as it was.
var (
	// ErrNotFound: no entry has that key, or no container that id.
	ErrNotFound = errors.New("not found")
	// ErrExist: an entry of that key exists.
	ErrExist = errors.New("exists already")
	// ErrNotEmpty: the container still holds entries.
	ErrNotEmpty = errors.New("container is not empty")
	// ErrNotContainer: the entry is a scalar where a container is needed.
	ErrNotContainer = errors.New("not a container")
	// ErrIsContainer: the entry is a container where a scalar is needed.
	ErrIsContainer = errors.New("is a container")
	// ErrKind: the operation does not fit the kind of the value.
	ErrKind = errors.New("wrong kind of value")
	// ErrKey: the key does not fit the container, such as an int beyond the
	// range of a list.
	ErrKey = errors.New("key does not fit the container")
	// ErrKeyTooLong: the encoded key is longer than MaxKeyBytes.
	ErrKeyTooLong = errors.New("key is too long")
	// ErrTooLarge: the value is larger than the store's max_value, or a list
	// index lies too far past the end.
	ErrTooLarge = errors.New("too large")
	// ErrLoop: a container would become its own descendant.
	ErrLoop = errors.New("container would contain itself")
	// ErrNoSpace: the disk or the store is full; a collection may help.
	ErrNoSpace = errors.New("no space left in store")
	// ErrReadOnly: a write in a View, or in a store opened read-only.
	ErrReadOnly = errors.New("read-only")
	// ErrPoisoned: an earlier sync failed, so what is durable is unknown. The
	// store must be closed by every process and opened again.
	ErrPoisoned = errors.New("store is poisoned by a failed sync")
	// ErrIO: the store file could not be read or written.
	ErrIO = errors.New("input/output error")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("store is closed")
	// ErrBusy: the store is in use in a way that excludes this operation.
	ErrBusy = errors.New("store is busy")
	// ErrNoXattr: the entry has no extended attribute of that name.
	ErrNoXattr = errors.New("no such attribute")
	// ErrSetting: a setting cannot have that value; see SettingError.
	ErrSetting = errors.New("bad setting")
	// ErrNotStore: the file is not a pongofs store.
	ErrNotStore = layout.ErrNotStore
	// ErrVersion: the store has a format that this program does not know.
	ErrVersion = layout.ErrVersion
	// ErrCorrupt: the store violates its format; the store is damaged.
	ErrCorrupt = layout.ErrCorrupt
)

// MaxKeyBytes is the length in bytes of the longest key, as value.AppendKey
// encodes it.
const MaxKeyBytes = container.MaxKeyBytes

// MaxListGap is how far past the end of a list an index may be set.
const MaxListGap = 1 << 20
