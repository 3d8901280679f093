package fsnode

import (
	"slices"
	"sync"
	"time"

	"pongofs/engine"
)

// hideTime is how long a sidecar stays away after it was unlinked.
const hideTime = 10 * time.Second

// sideStates is what this mount knows of the sidecars of directories. Entries
// are few: hidden ones, ones being written, and some content made lately.
type sideStates struct {
	mu    sync.Mutex
	dir   map[engine.ID]*sideState
	limit int // how many to have before the idle ones are looked for
}

// sideState is the state of one sidecar in this mount.
type sideState struct {
	hidden  time.Time // until then there is none
	listed  time.Time // until then there is one, since a listing has said so
	maker   uint32    // process that has made the directory
	fresh   time.Time // until then the maker may take it for empty
	writers []*sideFile
	seq     uint64 // version of the store that made is from, 0 for none
	made    sideContent
}

// sideContent is a sidecar as the store has it.
type sideContent struct {
	text  []byte
	mtime int64
	info  sideInfo
	dir   engine.Attr
}

// minSideStates is how many directories are remembered at least.
const minSideStates = 64

// with calls fn with the state of a directory.
func (s *sideStates) with(dir engine.ID, fn func(*sideState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.dir[dir]
	if st == nil {
		if s.dir == nil {
			s.dir = map[engine.ID]*sideState{}
		}
		if len(s.dir) >= max(s.limit, minSideStates) {
			now := time.Now()
			for id, old := range s.dir {
				if len(old.writers) == 0 && now.After(old.hidden) && now.After(old.fresh) && now.After(old.listed) {
					delete(s.dir, id)
				}
			}
			s.limit = 2 * len(s.dir)
		}
		st = &sideState{}
		s.dir[dir] = st
	}
	fn(st)
}

// isHidden reports whether the sidecar was unlinked a moment ago.
func (s *sideStates) isHidden(dir engine.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.dir[dir]
	return st != nil && time.Now().Before(st.hidden)
}

// wasListed notes that a listing has named the sidecar. It stays, if need be
// empty, until nothing was removed for a while: rm -r lists a directory, removes
// the files, and expects to find the sidecar that spoke of them.
func (s *sideStates) wasListed(dir engine.ID) {
	s.with(dir, func(st *sideState) { st.listed = time.Now().Add(hideTime) })
}

// lingers reports whether a listing has named the sidecar a while ago. With
// removed it notes that a file of the directory was removed.
func (s *sideStates) lingers(dir engine.ID, removed bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.dir[dir]
	now := time.Now()
	if st == nil || now.After(st.listed) {
		return false
	}
	if removed {
		st.listed = now.Add(hideTime)
	}
	return true
}

// writers returns the files that are open for writing.
func (s *sideStates) writers(dir engine.ID) []*sideFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.dir[dir]; st != nil {
		return slices.Clone(st.writers)
	}
	return nil
}

// made notes that a process has made a directory.
func (s *sideStates) made(dir engine.ID, pid uint32) {
	s.with(dir, func(st *sideState) { st.maker, st.fresh = pid, time.Now().Add(hideTime) })
}

// isFreshFor reports whether a process takes the directory for empty, having
// made it a moment ago. cp -a fills it, extended attributes included, and
// then wants to create the sidecar exclusively.
func (s *sideStates) isFreshFor(dir engine.ID, pid uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.dir[dir]
	return st != nil && st.maker == pid && pid != 0 && len(st.writers) == 0 && time.Now().Before(st.fresh)
}
