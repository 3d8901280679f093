package check

import "pongofs/engine/layout"

// cover knows which granules of a store belong to objects that were seen.
type cover struct {
	slabs map[uint64]*slabCover
}

// slabCover has two bits for each granule: an object starts here, an object
// reaches here.
type slabCover struct {
	starts, used [layout.SlabSize / layout.Granule / 64]uint64
}

func newCover() *cover { return &cover{slabs: map[uint64]*slabCover{}} }

func (c *cover) at(ref layout.Ref) (s *slabCover, granule uint64) {
	slab := uint64(ref) / layout.SlabSize
	if s = c.slabs[slab]; s == nil {
		s = new(slabCover)
		c.slabs[slab] = s
	}
	return s, uint64(ref) % layout.SlabSize / layout.Granule
}

// has reports whether an object that was added starts at ref.
func (c *cover) has(ref layout.Ref) bool {
	s := c.slabs[uint64(ref)/layout.SlabSize]
	g := uint64(ref) % layout.SlabSize / layout.Granule
	return s != nil && s.starts[g/64]&(1<<(g%64)) != 0
}

// add adds an object of n bytes that does not cross the end of its slab. It
// reports false, adding nothing, when it shares bytes with another.
func (c *cover) add(ref layout.Ref, n int) bool {
	s, g := c.at(ref)
	end := min(g+uint64(n)/layout.Granule, uint64(len(s.used))*64)
	for i := g; i < end; i++ {
		if s.used[i/64]&(1<<(i%64)) != 0 {
			return false
		}
	}
	for i := g; i < end; i++ {
		s.used[i/64] |= 1 << (i % 64)
	}
	s.starts[g/64] |= 1 << (g % 64)
	return true
}

// each calls fn for every object that was added.
func (c *cover) each(fn func(ref layout.Ref)) {
	for slab, s := range c.slabs {
		for g := range uint64(len(s.starts)) * 64 {
			if s.starts[g/64]&(1<<(g%64)) != 0 {
				fn(layout.Ref(slab*layout.SlabSize + g*layout.Granule))
			}
		}
	}
}

// idSet is a set of ids, 64 to a word.
type idSet map[uint64]uint64

// add reports whether id was absent.
func (s idSet) add(id uint64) bool {
	word, mask := s[id>>6], uint64(1)<<(id&63)
	s[id>>6] = word | mask
	return word&mask == 0
}
