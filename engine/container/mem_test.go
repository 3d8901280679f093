package container

import (
	"bytes"
	"errors"
	"fmt"

	"pgregory.net/rapid"

	"pongofs/engine/layout"
)

// mem is an Editor in memory that keeps account of every object. Misuse, such
// as freeing twice, fails the test.
type mem struct {
	t    rapid.TB
	objs []memObject // the object at ref is number ref/Granule − 1

	fresh int // objects before it are not owned

	bytes   int // live bytes
	copied  int // bytes allocated since the last reset
	allocs  int
	failing int // allocations until one fails, negative for never

	lax bool // objects are damaged, so that anything may be freed
}

type memObject struct {
	data  []byte
	state memState
	was   []byte // content when it was published
}

type memState uint8

const (
	memOwned     memState = iota // made by the present edit
	memPublished                 // part of the newest version
	memRetired                   // part of older versions only
	memFreed                     // not to be read any more
)

var errFull = errors.New("test editor is full")

func newMem(t rapid.TB) *mem { return &mem{t: t, failing: -1} }

func (m *mem) object(ref layout.Ref) *memObject {
	i := int(ref/layout.Granule) - 1
	if ref%layout.Granule != 0 || i < 0 || i >= len(m.objs) {
		return nil
	}
	return &m.objs[i]
}

func (m *mem) Object(ref layout.Ref, kind layout.Kind) ([]byte, error) {
	o := m.object(ref)
	if o == nil || o.state == memFreed {
		return nil, layout.Corrupt("object", ref, "not there")
	}
	if k := layout.Kind(o.data[0]); kind != KindAny && k != kind {
		return nil, layout.Corrupt("object", ref, "kind is %d, not %d", k, kind)
	}
	return o.data, nil
}

func (m *mem) Alloc(kind layout.Kind, size int) (layout.Ref, []byte, error) {
	if m.failing == 0 {
		return layout.Nil, nil, errFull
	}
	m.failing--
	if size > layout.MaxObject {
		m.t.Fatalf("object of %d bytes", size)
	}
	size = (size + layout.Granule - 1) / layout.Granule * layout.Granule
	data := make([]byte, size)
	data[0] = byte(kind)
	m.objs = append(m.objs, memObject{data: data})
	m.bytes += size
	m.copied += size
	m.allocs++
	return layout.Ref(len(m.objs)) * layout.Granule, data, nil
}

// AllocUnset fills the object with what nothing can be made of.
func (m *mem) AllocUnset(kind layout.Kind, size int) (layout.Ref, []byte, error) {
	ref, obj, err := m.Alloc(kind, size)
	for i := layout.HeaderSize; i < len(obj); i++ {
		obj[i] = 0xdb
	}
	return ref, obj, err
}

func (m *mem) Copy(ref layout.Ref, obj []byte, size int) (layout.Ref, []byte, error) {
	m.t.Helper()
	if m.Owned(ref) {
		m.t.Fatalf("copy of %d, which is owned", ref)
	}
	to, dst, err := m.Alloc(layout.ObjectKind(obj), size)
	if err != nil {
		return ref, obj, err
	}
	copy(dst[layout.HeaderSize:], obj[layout.HeaderSize:size])
	m.Free(ref)
	return to, dst, nil
}

func (m *mem) Owned(ref layout.Ref) bool {
	o := m.object(ref)
	return o != nil && o.state == memOwned
}

func (m *mem) Free(ref layout.Ref) {
	m.t.Helper()
	o := m.object(ref)
	switch o.state {
	case memOwned:
		// What still reads it gets rubbish.
		o.state = memFreed
		for i := range o.data {
			o.data[i] = 0xdb
		}
	case memPublished:
		o.state = memRetired
	default:
		if m.lax {
			return
		}
		m.t.Fatalf("object %d freed twice", ref)
	}
	m.bytes -= len(o.data)
}

func (m *mem) FreeValue(ref layout.Ref, id uint64) {
	m.t.Helper()
	if id != blobID && !m.lax {
		m.t.Fatalf("value %d freed as one of %d", ref, id)
	}
	m.Free(ref)
}

// blobID is the id of all values in the tests.
const blobID = 77

// publish ends an edit: what it made is not owned any more.
func (m *mem) publish() {
	for i := m.fresh; i < len(m.objs); i++ {
		if o := &m.objs[i]; o.state == memOwned {
			o.state = memPublished
			o.was = bytes.Clone(o.data)
		}
	}
	m.fresh = len(m.objs)
}

// check fails the test when a published object was changed, or the live objects
// are not exactly those that the roots lead to.
func (m *mem) check(roots ...root) {
	m.t.Helper()
	reached := make(map[layout.Ref]bool)
	var visit func(ref layout.Ref, kind layout.Kind) error
	visit = func(ref layout.Ref, kind layout.Kind) error {
		obj, err := m.Object(ref, kind)
		if err != nil {
			return err
		}
		if reached[ref] {
			return fmt.Errorf("object %d has two parents", ref)
		}
		reached[ref] = true
		kind = layout.Kind(obj[0])
		return Children(obj, kind, func(ref layout.Ref, kind layout.Kind) error {
			if kind == layout.KindContainer || kind == layout.KindRoot {
				return nil // the tests use made-up records
			}
			return visit(ref, kind)
		})
	}
	for _, r := range roots {
		if r.ref == layout.Nil {
			continue
		}
		if err := visit(r.ref, r.kind); err != nil {
			m.t.Fatal(err)
		}
	}
	live := 0
	for i := range m.objs {
		o := &m.objs[i]
		ref := layout.Ref(i+1) * layout.Granule
		if o.was != nil && !bytes.Equal(o.was, o.data) {
			m.t.Fatalf("published object %d was changed", ref)
		}
		if o.state != memOwned && o.state != memPublished {
			if reached[ref] {
				m.t.Fatalf("object %d is in use but was freed", ref)
			}
			continue
		}
		live++
		if !reached[ref] {
			m.t.Fatalf("object %d of kind %d leaked", ref, o.data[0])
		}
	}
	if live != len(reached) {
		m.t.Fatalf("%d objects live, %d reached", live, len(reached))
	}
}

// root is where check starts.
type root struct {
	ref  layout.Ref
	kind layout.Kind
}

func (t Tree) root() root { return root{t.Ref, t.kind()} }
