package engine

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"sort"

	"pongofs/engine/container"
	"pongofs/engine/value"
)

// Member is an entry that is to be: a scalar under a key.
type Member struct {
	Key, Value value.Value
}

// PutAll is a Put of each member, in whatever order they come; of several with
// one key the last stays. It goes along the container once, in the order of the
// keys, and comes to each node on the way once, which a Put for each would come
// to again and again. Hundreds of members are stored by several goroutines, up to
// GOMAXPROCS; it returns when all have ended.
//
// It ends with an error about the first key that cannot be stored. Some of the members
// may have been stored then, so the edit cannot be published any more: the Update
// fails with that error. But if a key is not valid, or the container, nothing was.
func (tx *Tx) PutAll(dir ID, members []Member, o PutOptions) error {
	_, err := tx.putAll(dir, members, o, nil)
	return err
}

// putAll calls instead, unless that is nil, for each member whose key has a
// container, when all the others are stored. It reports whether anything was changed
// or may have been.
func (tx *Tx) putAll(dir ID, members []Member, o PutOptions, instead func(Member) error) (changed bool, err error) {
	defer tx.end(tx.begin(), &err)
	c, err := tx.edits(dir)
	if err != nil {
		return false, err
	}
	order, err := tx.inOrder(c, members)
	if err != nil {
		return false, err
	}
	b := batch{members: members, ordered: order, options: o, replace: instead != nil, lanes: tx.lanes(c, len(members))}
	done, err := tx.putRange(c, &b, 0, len(order.at))
	changed = done.changed
	for _, at := range done.containers {
		if err != nil {
			break
		}
		err = atKey(members[at].Key, instead(members[at]))
		changed = changed || err == nil
	}
	return changed, tx.fail(err)
}

// batch is what one PutAll stores.
type batch struct {
	members []Member
	ordered
	options PutOptions
	replace bool // containers are left to the caller; else they are an error
	lanes   int  // how many goroutines may store them
}

// stored says what has become of some members.
type stored struct {
	changed    bool
	containers []uint64 // of the members, those whose keys have containers
}

// putRange stores the members from to to−1 in the order of their keys. The error
// names a key.
func (tx *Tx) putRange(c *openContainer, b *batch, from, to int) (done stored, err error) {
	if b.lanes > 1 && to-from >= 2*laneMembers && c.rec.Body.Weight > 1 {
		left, sep, right, err := container.Halves(&tx.ed, c.rec.Body)
		if err != nil {
			return done, err
		}
		mid := from + sort.Search(to-from, func(i int) bool { return bytes.Compare(b.key(int(b.at[from+i])), sep) >= 0 })
		if min(mid-from, to-mid) >= laneMembers {
			return tx.putHalves(c, b, [3]int{from, mid, to}, left, right)
		}
	}
	ahead := false // the cursor is in the body, and of no later key
	for _, at := range b.at[from:to] {
		member := &b.members[at]
		changed, err := tx.putMember(c, member, b.key(int(at)), b.options, ahead)
		ahead = true
		if b.replace && errors.Is(err, ErrIsContainer) {
			done.containers = append(done.containers, at)
			err = nil
		}
		if err != nil {
			return done, atKey(member.Key, err)
		}
		done.changed = done.changed || changed
	}
	return done, nil
}

// putMember stores one member and reports whether that has changed anything. enc is
// its encoded key, nil in a list.
func (tx *Tx) putMember(c *openContainer, m *Member, enc []byte, o PutOptions, ahead bool) (changed bool, err error) {
	content, blob, err := tx.content(m.Value, o)
	if err != nil {
		return false, err
	}
	var p place
	switch {
	case enc == nil: // of a list
		p, err = tx.seek(c.id, m.Key)
	case ahead:
		p = place{c: c, key: m.Key, enc: enc}
		p.found, err = tx.cursor.FindAhead(enc)
	default:
		p = place{c: c, key: m.Key, enc: enc}
		tx.cursor.Open(&tx.ed, c.rec.Body)
		p.found, err = tx.cursor.Find(enc)
	}
	if err == nil && p.found {
		err = tx.cursor.Item(&p.item)
	}
	if err != nil {
		return false, err
	}
	it, changed, err := tx.putAt(&p, &content, blob, o)
	if err != nil || !changed {
		return false, err
	}
	return true, tx.store(&p, &it)
}

// ordered are members in the order of their keys.
type ordered struct {
	keys []byte   // encoded, in the order of the members; none of a list
	ends []int    // where each key ends in keys
	at   []uint64 // of the members, in the order of their keys
}

// key returns the encoded key of a member, nil in a list.
func (o *ordered) key(i int) []byte {
	switch {
	case o.ends == nil:
		return nil
	case i == 0:
		return o.keys[:o.ends[0]:o.ends[0]]
	}
	return o.keys[o.ends[i-1]:o.ends[i]:o.ends[i]]
}

// inOrder puts members in the order of their keys; those of a list are taken as they
// come, and so are those with one key.
func (tx *Tx) inOrder(c *openContainer, members []Member) (o ordered, err error) {
	o.at = make([]uint64, len(members))
	if c.rec.Kind == value.KindList {
		for i := range o.at {
			o.at[i] = uint64(i)
		}
		return o, nil
	}
	o.keys, o.ends = make([]byte, 0, 24*len(members)), make([]int, len(members))
	common := 0
	for i := range members {
		enc, _, _, err := tx.encodeKey(c, members[i].Key)
		if err != nil {
			return o, atKey(members[i].Key, err)
		}
		o.keys = append(o.keys, enc...)
		o.ends[i] = len(o.keys)
		if i == 0 {
			common = len(enc)
		}
		common = commonPrefix(o.keys[:common], enc)
	}
	// Keys are alike at their beginning more often than not: the bytes behind what
	// all have in common decide nearly always. They are sorted as numbers, with the
	// member in the low bits, several times as fast as the keys.
	low := bits.Len(uint(len(members)))
	for i := range members {
		var lead [8]byte
		copy(lead[:], o.key(i)[common:])
		o.at[i] = binary.BigEndian.Uint64(lead[:])>>low<<low | uint64(i)
	}
	slices.Sort(o.at)
	for i, j := 0, 0; i < len(o.at); i = j {
		for j = i + 1; j < len(o.at) && o.at[i]>>low == o.at[j]>>low; j++ {
		}
		for k := range o.at[i:j] {
			o.at[i+k] &= 1<<low - 1
		}
		if j > i+1 {
			slices.SortFunc(o.at[i:j], func(a, b uint64) int {
				return cmp.Or(bytes.Compare(o.key(int(a)), o.key(int(b))), cmp.Compare(a, b))
			})
		}
	}
	return o, nil
}

// commonPrefix returns how many bytes a and b begin with in common.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
