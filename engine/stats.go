package engine

import (
	"github.com/google/uuid"

	"pongofs/engine/layout"
)

// Stats returns the present figures. It is cheap: it reads no object but the
// root record.
func (s *Store) Stats() (Stats, error) {
	pin, err := s.pin()
	if err != nil {
		return Stats{}, err
	}
	defer s.epochs.Unpin(pin)
	st := Stats{
		UUID: uuid.UUID(s.header.UUID).String(), Path: s.path,
		DurableSeq: s.hdr.Completed.Load(), ChunkSize: s.current().ChunkSize,
		LimboBytes: s.epochs.LimboBytes(), Poisoned: s.hdr.Poison.Load() != 0,
		Collections: s.hdr.GCCount.Load(),
		Pins:        s.epochs.CountPins() - 1, NamedPins: len(s.epochs.NamedPins(nil)),
	}
	err = safely(func() error {
		root, ref, err := s.readRoot()
		if err != nil {
			return err
		}
		st.Seq, st.Entries, st.Containers = root.Seq, root.Entries, root.Containers
		tx := &Tx{s: s}
		if err := tx.reset(ref); err != nil {
			return err
		}
		table, err := tx.open(SnapshotsID)
		if err != nil {
			return err
		}
		st.Snapshots = table.rec.Body.Count
		if !s.readOnly { // else nobody has said what is allocated
			u := s.heap.Estimate()
			st.UsedBytes, st.Objects = u.UsedBytes, u.Objects
		}
		return nil
	})
	if err != nil {
		return st, err
	}
	if st.FileBytes, err = s.store.Size(); err != nil {
		return st, err
	}
	if st.FreeDisk, st.TotalDisk, err = s.store.DiskSpace(); err != nil {
		return st, err
	}
	for i := range layout.MaxProcesses {
		if s.view.Slot(i).Used.Load() != 0 {
			st.Processes++
		}
	}
	return st, nil
}

// Figure is one of the Stats, under the name that it has for people and
// programs: in .pongo/stats of a mount and for pongofs stats.
type Figure struct {
	Name  string
	Value any // a string or an integer
}

// Figures returns the Stats by name. Names stay; new ones may come.
func (st *Stats) Figures() []Figure {
	return []Figure{
		{"uuid", st.UUID},
		{"path", st.Path},
		{"sequence", st.Seq},
		{"durable_sequence", st.DurableSeq},
		{"file_bytes", st.FileBytes},
		{"used_bytes", st.UsedBytes},
		{"limbo_bytes", st.LimboBytes},
		{"chunk_bytes", st.ChunkSize},
		{"objects", st.Objects},
		{"entries", st.Entries},
		{"containers", st.Containers},
		{"collections", st.Collections},
		{"processes", st.Processes},
		{"pins", st.Pins},
		{"named_pins", st.NamedPins},
		{"snapshots", st.Snapshots},
		{"disk_free_bytes", st.FreeDisk},
		{"disk_total_bytes", st.TotalDisk},
	}
}
