package fsnode

import (
	"errors"
	"sync/atomic"
	"time"

	"pongofs/engine"
)

// patientStore is a Store in which space that was given up a moment ago counts as
// free. It is not at once: the follower holds the version before until its next
// round, and the kernel says that a file is closed or forgotten a moment after it
// is. A program that removes a file and then writes one knows nothing of that.
// (ext4 waits in such a case for the end of a transaction of its journal.)
type patientStore struct {
	Store
	freed atomic.Int64 // when something was given up last, in nanoseconds
}

const (
	// freedTime is how long ago something may have been given up that is not free yet.
	freedTime = time.Second
	// spaceTries is how often an update is tried again, spaceWait how long it waits
	// before the first time. It doubles.
	spaceTries = 4
	spaceWait  = 5 * time.Millisecond
)

// gaveUp notes that something was given up.
func (p *patientStore) gaveUp() { p.freed.Store(time.Now().UnixNano()) }

// Update implements Store.
func (p *patientStore) Update(fn func(Tx) error) error {
	wait := spaceWait
	for try := 0; ; try++ {
		err := p.Store.Update(fn)
		if !errors.Is(err, engine.ErrNoSpace) || try == spaceTries ||
			time.Since(time.Unix(0, p.freed.Load())) > freedTime {
			return err
		}
		time.Sleep(wait)
		wait *= 2
	}
}
