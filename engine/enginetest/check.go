package enginetest

import (
	"errors"
	"fmt"
	"os"

	"pongofs/engine"
	"pongofs/engine/check"
)

// Checks are what CheckImage does with the image of a store.
type Checks struct {
	// Path is the file to write the image to; it is removed.
	Path string
	// State says what is wrong with the content. It is asked after the recovery,
	// and again after Work and Collect, which take nothing away.
	State func(*engine.Store) error
	// Work changes the store, as somebody does who goes on with it.
	Work func(*engine.Store) error
	// Collect is a full collection.
	Collect func(*engine.Store) error
}

// CheckImage opens the image of a store and demands that the content is one that existed,
// that exactly what is reachable is allocated, that work can go on, and that
// the store is clean afterwards.
func (c Checks) CheckImage(image Image) (err error) {
	if err := os.WriteFile(c.Path, image.Bytes, 0o600); err != nil {
		return err
	}
	defer os.Remove(c.Path)
	defer os.Remove(c.Path + "-shm")
	s, err := engine.Open(c.Path, engine.Options{Commit: -1, AnyFS: true})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
		if err == nil {
			err = Clean(c.Path)
		}
	}()
	if err := sound(s); err != nil {
		return fmt.Errorf("after the recovery: %w", err)
	}
	if err := c.State(s); err != nil {
		return err
	}
	if err := c.Work(s); err != nil {
		return fmt.Errorf("work after the recovery: %w", err)
	}
	if err := c.Collect(s); err != nil {
		return err
	}
	if err := c.State(s); err != nil {
		return fmt.Errorf("after work and a collection: %w", err)
	}
	_, err = s.Internals().Verify()
	return err
}

// sound demands that exactly what is reachable is allocated.
func sound(s *engine.Store) error {
	live, err := s.Internals().Verify()
	if err != nil {
		return err
	}
	u := s.Internals().Heap().Usage()
	if u.Objects != live.Objects || u.UsedBytes != live.Bytes {
		return fmt.Errorf("%d objects of %d bytes are reachable, %d of %d bytes are allocated",
			live.Objects, live.Bytes, u.Objects, u.UsedBytes)
	}
	return nil
}

// Clean holds a store that nobody has open against every rule of the format.
func Clean(path string) (err error) {
	off, err := engine.OpenOffline(path, false, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, off.Close()) }()
	if why := off.Unclean(); why != "" {
		return fmt.Errorf("after a clean close: %s", why)
	}
	var rep check.Report
	check.Pages(off.File(), off.Size(), false, &rep)
	rep.Completed(off.Completed())
	v := off.Versions()
	if len(v) == 0 {
		return errors.New("no version is left")
	}
	err = check.Version(off, v[0].Root, check.Options{
		NextID: v[0].NextID, Allocated: off.Allocated(), AllocatedObjects: off.AllocatedObjects(),
	}, &rep)
	if err == nil && !rep.Clean() {
		err = fmt.Errorf("check: %+v", rep.Findings)
	}
	return err
}
