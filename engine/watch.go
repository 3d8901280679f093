package engine

import (
	"context"
	"fmt"
	"time"
)

// Watch calls fn with the differences between a version and a newer one, then
// with those between that one and a newer one, and so on, until fn returns an
// error, which Watch returns, or until ctx is done, whose error it returns.
//
// It begins with the version of sequence from, as OpenAt finds it, or with the
// newest one if from is 0. The first call comes at once, also if nothing
// differs yet: what reads Now in it whole and then follows the changes has
// seen everything.
//
// The versions follow each other without gap, but not each version that was
// published is looked at: what came while fn was running, or in quick
// succession, is one step, and what has come and gone in it is not seen. So
// the feed never lags behind by more than the call under way, and the memory
// that it holds does not depend on how slow fn is or on how much others write
// meanwhile: it holds up the reuse of what two versions use while fn runs, of
// one version while it waits.
//
// Versions that were published and not yet durable are seen as well. None of
// their sequences is used again after a power cut.
func (s *Store) Watch(ctx context.Context, from uint64, fn func(*Differ) error) error {
	if s.readOnly {
		// It would wait for ever, and keep everybody from writing.
		return fmt.Errorf("watching a store that nobody can change: %w", ErrReadOnly)
	}
	old, err := s.openFrom(from)
	if err != nil {
		return err
	}
	defer func() { _ = old.Close() }()
	now := old
	if from != 0 {
		if now, err = s.OpenVersion(); err != nil {
			return err
		}
	}
	for {
		err := differ(old, now, fn)
		if old != now {
			_ = old.Close()
			old = now
		}
		if err != nil {
			return err
		}
		if _, err := s.WaitChange(ctx, old.seq); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil { // busy writers leave WaitChange no time to look
			return err
		}
		if now, err = s.OpenVersion(); err != nil {
			return err
		}
	}
}

func (s *Store) openFrom(seq uint64) (*Version, error) {
	if seq == 0 {
		return s.OpenVersion()
	}
	return s.OpenAt(seq)
}

func differ(old, now *Version, fn func(*Differ) error) error {
	return old.View(func(a *Tx) error {
		return now.View(func(b *Tx) error {
			d, err := NewDiffer(a, b)
			if err != nil {
				return err
			}
			return fn(d)
		})
	})
}

// OpenAt keeps the version of a sequence, if that can still be found: it is the
// newest one, or a snapshot shows it. A snapshot shows the version whose
// sequence it has, and as taking it changes nothing else, the one before. Else
// the error is ErrNotFound: what a version does not share with a newer one is
// given up as soon as nothing holds it.
func (s *Store) OpenAt(seq uint64) (*Version, error) {
	return s.openVersion(func(tx *Tx) (name string, err error) {
		if tx.root.Seq == seq {
			return "", nil
		}
		all, err := tx.Snapshots()
		if err != nil {
			return "", err
		}
		for _, snap := range all {
			if snap.Seq == seq || snap.Seq == seq+1 {
				return snap.Name, tx.load(snap.ref)
			}
		}
		return "", fmt.Errorf("version %d: %w", seq, ErrNotFound)
	})
}

// Time returns when the version that the Tx looks at was published, or in an
// Update the version that it began from.
func (tx *Tx) Time() time.Time { return time.Unix(0, tx.root.Time) }
