package engine

import (
	"context"
	"errors"
	"runtime/debug"

	"pongofs/engine/container"
	"pongofs/engine/epoch"
	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

// View calls fn with a look at the newest version, which stays the same while
// fn runs. A View should be short: it holds up the reuse of memory.
//
// It takes no lock and never retries: it stores a pin, loads the root word once
// and reads immutable objects.
func (s *Store) View(fn func(*Tx) error) (err error) {
	pin, err := s.pin()
	if err != nil {
		return err
	}
	defer s.epochs.Unpin(pin)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))

	tx := s.getTx()
	tx.writable, tx.version = false, nil
	defer s.putTx(tx)
	if err := tx.load(layout.Ref(s.hdr.Root.Load())); err != nil {
		return err
	}
	return fn(tx)
}

// load points tx at a root, whatever the state of the store file.
func (tx *Tx) load(ref layout.Ref) (err error) {
	tx.callback = false
	defer tx.end(tx.begin(), &err)
	return tx.reset(ref)
}

// Update calls fn with an edit of the newest version and publishes it in one
// step when fn returns nil. When another writer was faster, fn is called again
// on the newer version, so it must have no side effects that it cannot repeat.
// Updates of several goroutines that are made durable at once (Options.SyncEach) may
// be published as one version, in some order; fn then sees what those before it have
// changed. If that comes to nothing it is called again, and may find the store as it was
// without those changes.
//
// The life of an update: pin; load the root word R; build new objects beside
// the old ones; swap R for the new root R'. The swap is the linearization
// point. It is valid because R is pinned: its block cannot have been reused, so
// the root word holds R only if nothing was published since. A loser drops
// what it built and begins again from the newer root (turn.go). After the
// swap the objects that R' no longer refers to are retired, still under the
// pin.
func (s *Store) Update(fn func(*Tx) error) error {
	d, err := s.enter()
	if err != nil {
		return err
	}
	defer d.leave()
	if s.durable() {
		return s.updateDurable(fn)
	}
	seq, err := s.update(fn)
	// The update may have learned that the setting has changed.
	if err == nil && seq > 0 && s.durable() {
		return s.syncTo(context.Background(), seq, false)
	}
	return err
}

// durable reports whether every publish is to be made durable.
func (s *Store) durable() bool { return s.syncEach || s.current().Sync }

// update is Update without making durable. It returns the sequence published,
// 0 when fn changed nothing.
//
// Preconditions: the caller has entered the store, so that it stays mapped
// until everything is put away.
func (s *Store) update(fn func(*Tx) error) (seq uint64, err error) {
	if s.readOnly {
		return 0, ErrReadOnly
	}
	// First, so that it is undone last: giving up an edit may fault as well.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	contest := contest{s: s}
	contest.begin()
	pin, pinned := s.epochs.Pin(), true
	// Who waits has no pin, so that what others free meanwhile can be used again, and
	// needs none: it goes on from the root that it finds afterwards.
	unpinned := func(wait func()) {
		s.epochs.Unpin(pin)
		pinned = false
		wait()
		pin, pinned = s.epochs.Pin(), true
	}
	tx := s.getTx()
	tx.writable, tx.version, tx.crowded = true, nil, false
	published := false
	defer func() {
		// Not a method value: pin may be another one by then.
		if !published {
			// What cannot be given up because the file is gone is lost, like all else.
			_ = safely(func() error {
				tx.ed.abandon()
				return nil
			})
		}
		tx.ed.end()
		s.putTx(tx)
		if pinned { // else what it waited for has panicked
			s.epochs.Unpin(pin)
		}
		contest.end(published)
		if published {
			s.epochs.Drain(false)
		}
	}()

	full := 0
	for {
		if s.hdr.Poison.Load() != 0 {
			return 0, ErrPoisoned
		}
		if err := tx.load(layout.Ref(s.hdr.Root.Load())); err != nil {
			return 0, err
		}
		tx.ed.begin(s.heap, tx.root.Seq+1)
		tx.learn()
		err := fn(tx)
		if err == nil {
			err = tx.broken
		}
		var root layout.Ref
		changed := false
		if err == nil {
			root, changed, err = tx.build()
			err = wrap(err)
		}
		if err != nil {
			if !errors.Is(err, ErrNoSpace) || full > 1 {
				return 0, err
			}
			// What can be freed is held by readers, by the last checkpoint or by
			// nobody at all: help each of them once. The pin must not be ours.
			tx.ed.abandon()
			tx.crowded = true
			unpinned(func() { s.makeRoom(full) })
			full++
			continue
		}
		if !changed {
			return 0, nil
		}
		if published = s.publish(tx, root, &contest); published {
			return tx.ed.birth, nil
		}
		tx.ed.abandon()
		unpinned(func() {
			contest.lost()
			contest.begin()
		})
	}
}

// publish makes root, which tx has built, the newest version, and retires what it
// does not use any more. It reports false when somebody else was faster.
//
// Preconditions: the pin under which tx has loaded its base is still held.
func (s *Store) publish(tx *Tx, root layout.Ref, contest *contest) bool {
	contest.giveWay(tx.rootRef)
	s.at("publish.before-swap")
	if !s.hdr.Root.CompareAndSwap(uint64(tx.rootRef), uint64(root)) {
		return false
	}
	if s.durable() {
		s.ckpt.fresh.note(tx.ed.birth, tx.ed.built)
	}
	tx.ed.built = tx.ed.built[:0] // not to be given up, whatever comes
	s.at("publish.after-swap")
	s.epochs.Advance(tx.ed.birth)
	contest.end(true)
	s.wake()
	s.at("publish.before-retire")
	tx.retire()
	return true
}

// makeRoom tries to free space in a full store: a checkpoint lets go of what
// only the one before held, a full collection finds the rest.
func (s *Store) makeRoom(attempt int) {
	_ = safely(func() error {
		if attempt > 0 && s.collect != nil {
			return s.collect()
		}
		err := s.checkpoint(listed)
		s.epochs.Drain(true)
		return err
	})
}

// build turns what the transaction changed into a new root record and seals
// everything. changed is false when there is nothing to publish.
func (tx *Tx) build() (root layout.Ref, changed bool, err error) {
	defer tx.end(tx.begin(), &err)
	ids := tx.ids
	settings := tx.root.Settings
	if meta := tx.opened(MetaID); meta != nil && meta.dirty && tx.rootRef != layout.Nil {
		if err := tx.checkSettings(); err != nil {
			return 0, false, err
		}
		settings = tx.ed.birth
	}
	for _, c := range tx.containers {
		switch {
		case c.removed && c.ref == layout.Nil:
			continue // made and removed in this transaction
		case c.removed:
			if ids, err = ids.Put(&tx.ed, uint64(c.id), layout.Nil); err != nil {
				return 0, false, err
			}
			tx.ed.Free(c.ref)
		case c.dirty:
			ref, err := container.EncodeRecord(&tx.ed, c.ref, &c.rec)
			if err != nil {
				return 0, false, err
			}
			if ids, err = ids.Put(&tx.ed, uint64(c.id), ref); err != nil {
				return 0, false, err
			}
		default:
			continue
		}
		changed = true
	}
	if !changed && !tx.forced {
		return 0, false, nil
	}
	ref, obj, err := tx.ed.Alloc(layout.KindRoot, layout.RootSize)
	if err != nil {
		return 0, false, err
	}
	next := layout.Root{
		Seq: tx.ed.birth, Time: tx.time(), IDTable: ids.Ref, IDHeight: ids.Height,
		Entries:    tx.root.Entries + uint64(tx.dEntries),
		Containers: tx.root.Containers + uint64(tx.dConts),
		Snapshot:   tx.root.Snapshot, Taken: tx.root.Taken, Settings: settings,
	}
	if err := tx.listSnapshots(&next); err != nil {
		return 0, false, err
	}
	next.Encode(obj)
	tx.ed.Free(tx.rootRef)
	tx.ed.seal()
	return ref, true, nil
}

// wake tells waiters in all processes that there is a newer version. Killed
// before it, a publisher leaves them to their timeout.
func (s *Store) wake() {
	if s.hdr.Waiters.Load() != 0 {
		s.hdr.Gen.Add(1)
		mapping.FutexWake(&s.hdr.Gen)
	}
}

// rootPin makes a named pin of the newest root.
func (s *Store) rootPin() (*epoch.Named, layout.Root, layout.Ref, error) {
	pin := s.epochs.Pin()
	defer s.epochs.Unpin(pin)
	ref := layout.Ref(s.hdr.Root.Load())
	obj, err := s.heap.Object(ref, layout.KindRoot)
	if err != nil {
		return nil, layout.Root{}, 0, err
	}
	root, err := layout.DecodeRoot(obj)
	if err != nil {
		return nil, layout.Root{}, 0, err
	}
	named, err := s.epochs.PinRoot(root.Seq, ref)
	return named, root, ref, err
}
