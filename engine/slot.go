package engine

import (
	"os"
	"time"

	"pongofs/engine/epoch"
	"pongofs/engine/layout"
	"pongofs/engine/mapping"
)

// claimSlot takes a process slot: the lock of its byte on the store file tells
// everybody that the owner is alive. It finishes what a dead owner left before
// the slot is used again. The caller holds the gate.
func (s *Store) claimSlot() error {
	for i := range layout.MaxProcesses {
		ok, err := s.store.TryLock(mapping.LockSlots+int64(i), 1)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := s.settleSlot(i); err != nil {
			return err
		}
		p := s.view.Slot(i)
		p.Unsettled.Store(1)
		s.slot = i
		s.token = epoch.Token(i, p.Incarnation.Add(1))
		p.PID.Store(uint64(os.Getpid()))
		p.Opened.Store(time.Now().UnixNano())
		p.Used.Store(1)
		for {
			high := s.hdr.SlotHigh.Load()
			if high > uint64(i) || s.hdr.SlotHigh.CompareAndSwap(high, uint64(i)+1) {
				return nil
			}
		}
	}
	return ErrBusy
}

// settleSlot cleans slot i, whose lock the caller holds. If its last owner has died,
// what that has written to the slot's checkpoint pages may not be on the disk. So
// it syncs: after that no page of the slot can change on the disk by itself any more,
// the checkpoints that were announced are either complete or never will be, and
// olderPage may trust what it sees.
func (s *Store) settleSlot(i int) error {
	s.cleanDeadSlot(i)
	p := s.view.Slot(i)
	if p.Unsettled.Load() == 0 {
		return nil
	}
	if err := s.store.Sync(); err != nil {
		return s.poison(err)
	}
	for page := range layout.CheckpointPages {
		rec, ok := s.checkpointAt(i*layout.CheckpointPages + page)
		for a := range p.Announced {
			if ok && p.Announced[a].Seq.Load() == rec.Seq && p.Announced[a].Nonce.Load() == rec.Nonce {
				if rec.Base != 0 {
					raise(&s.hdr.Listed, rec.Seq)
				}
				s.complete(rec.Seq)
			}
		}
	}
	for a := range p.Announced {
		if p.Announced[a].Seq.Load() != s.hdr.Completed.Load() {
			p.Announced[a].Seq.Store(0)
		}
	}
	return nil
}

// cleanSlot removes what the owner of slot i has left: pins and leases. The
// caller holds the lock of the slot. It may be interrupted at any point and
// repeated; the caller clears Used last.
func (s *Store) cleanSlot(i int) {
	token := epoch.Token(i, s.view.Slot(i).Incarnation.Load())
	s.at("clean.begin")
	epoch.CleanSlot(s.view, i, token)
	s.heap.ReleaseLeases(token)
	s.hdr.GCLease.CompareAndSwap(token, 0)
	s.at("clean.end")
}

// cleanDeadSlot cleans slot i if its last owner has died, and counts the death.
// The caller keeps others from claiming or cleaning the slot.
func (s *Store) cleanDeadSlot(i int) {
	p := s.view.Slot(i)
	if p.Used.Load() == 0 {
		return
	}
	s.cleanSlot(i)
	// Counted when no pin is left that a collection would mark from, and while the
	// slot is still in use: who is killed in between counts twice, not never.
	s.hdr.Deaths.Add(1)
	p.Used.Store(0)
}

// cleanDead cleans the slots of processes that have died.
func (s *Store) cleanDead() {
	if s.store.File() == nil {
		return
	}
	// The lock of a slot does not keep out another goroutine of this process.
	s.cleaning.Lock()
	defer s.cleaning.Unlock()
	for i := range int(s.hdr.SlotHigh.Load()) {
		if i == s.slot || s.view.Slot(i).Used.Load() == 0 {
			continue
		}
		if ok, err := s.store.TryLock(mapping.LockSlots+int64(i), 1); err != nil || !ok {
			continue
		}
		s.cleanDeadSlot(i)
		_ = s.store.Unlock(mapping.LockSlots+int64(i), 1)
	}
}

// releaseSlot gives the own slot up in good order.
func (s *Store) releaseSlot() error {
	s.heap.Close()
	s.cleanSlot(s.slot)
	if s.hdr.Poison.Load() == 0 {
		s.view.Slot(s.slot).Unsettled.Store(0)
	}
	s.view.Slot(s.slot).Used.Store(0)
	return s.store.Unlock(mapping.LockSlots+int64(s.slot), 1)
}
