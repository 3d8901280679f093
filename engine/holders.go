package engine

import (
	"slices"
	"time"

	"pongofs/engine/layout"
)

// Holder says who keeps a version of the store, or of one value, from being
// given up.
type Holder struct {
	// Kind is "view" for a View or Update under way, "version" for a Version or a
	// collection, "value" for a ValuePin, "snapshot" for a snapshot.
	Kind string
	PID  int       // of the process; 0 for a snapshot
	Seq  uint64    // sequence of the version; of a view, the oldest that it may have
	ID   ID        // of the value
	Name string    // of the snapshot
	Time time.Time // since when; zero for a view
}

// Holders returns who holds what at the moment, the oldest version first. Views
// that begin or end meanwhile may be missing.
func (s *Store) Holders() (all []Holder, err error) {
	snaps, err := s.Snapshots()
	if err != nil {
		return nil, err
	}
	d, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer d.leave()
	for _, snap := range snaps {
		all = append(all, Holder{Kind: "snapshot", Seq: snap.Seq, Name: snap.Name, Time: snap.Time})
	}
	pid := func(slot int) int {
		if slot < 0 || slot >= layout.MaxProcesses {
			return 0
		}
		return int(s.view.Slot(slot).PID.Load())
	}
	for _, p := range s.epochs.NamedPins(nil) {
		h := Holder{Kind: "version", PID: pid(p.Slot), Seq: p.Seq, Time: p.Since}
		if p.Value {
			h.Kind, h.ID = "value", ID(p.ID)
		}
		all = append(all, h)
	}
	for i := range int(s.hdr.SlotHigh.Load()) {
		proc := s.view.Slot(i)
		if proc.Used.Load() == 0 {
			continue
		}
		for w := range proc.Pins {
			if seq := proc.Pins[w].Load(); seq != 0 {
				all = append(all, Holder{Kind: "view", PID: pid(i), Seq: seq})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Holder) int {
		switch {
		case a.Seq < b.Seq:
			return -1
		case a.Seq > b.Seq:
			return 1
		}
		return 0
	})
	return all, nil
}
