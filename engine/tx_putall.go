package engine

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"pongofs/engine/value"
)

// Member is an entry that is to be: a scalar under a key.
type Member struct {
	Key, Value value.Value
}

// PutAll is a Put of each member, in whatever order they come; of several with
// one key the last stays. It goes along the container once, in the order of the
// keys, and comes to each node on the way once, which a Put for each would come
// to again and again.
//
// The first error ends it and names the key. If some members were stored before,
// the edit cannot be published any more: the Update fails with that error.
func (tx *Tx) PutAll(dir ID, members []Member, o PutOptions) error {
	_, err := tx.putAll(dir, members, o, nil)
	return err
}

// putAll calls instead, unless that is nil, for a member whose key has a
// container. It reports whether anything was changed.
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
	ahead := false // the cursor is in the body, and of no later key
	for _, m := range order {
		member := &members[m.index]
		stored, err := tx.putMember(c, member, m, o, ahead)
		ahead = true
		if errors.Is(err, ErrIsContainer) && instead != nil {
			stored, ahead = true, false
			err = instead(*member)
		}
		if err != nil {
			if changed {
				err = tx.fail(err) // there are some of them
			}
			return changed, atKey(member.Key, err)
		}
		changed = changed || stored
	}
	return changed, nil
}

// putMember stores one member and reports whether that has changed anything.
func (tx *Tx) putMember(c *openContainer, m *Member, at memberAt, o PutOptions, ahead bool) (changed bool, err error) {
	content, blob, err := tx.content(m.Value, o)
	if err != nil {
		return false, err
	}
	var p place
	switch {
	case at.enc == nil: // of a list
		p, err = tx.seek(c.id, m.Key)
	case ahead:
		p = place{c: c, key: m.Key, enc: at.enc}
		p.found, err = tx.cursor.FindAhead(p.enc)
	default:
		p = place{c: c, key: m.Key, enc: at.enc}
		tx.cursor.Open(&tx.ed, c.rec.Body)
		p.found, err = tx.cursor.Find(p.enc)
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

// memberAt is a member of some by its encoded key.
type memberAt struct {
	lead  uint64 // the bytes of enc behind what all have in common
	enc   []byte // nil in a list, which is taken as it comes
	index int
}

// inOrder returns the members in the order of their keys.
func (tx *Tx) inOrder(c *openContainer, members []Member) ([]memberAt, error) {
	order := make([]memberAt, len(members))
	if c.rec.Kind == value.KindList {
		for i := range order {
			order[i].index = i
		}
		return order, nil
	}
	keys := make([]byte, 0, 24*len(members))
	for i := range members {
		enc, _, _, err := tx.encodeKey(c, members[i].Key)
		if err != nil {
			return nil, atKey(members[i].Key, err)
		}
		at := len(keys)
		keys = append(keys, enc...)
		order[i] = memberAt{enc: keys[at:len(keys):len(keys)], index: i}
	}
	// Keys are alike at their beginning more often than not, so that to compare
	// what comes behind as a number decides nearly always.
	common := 0
	if len(order) > 0 {
		common = len(order[0].enc)
	}
	for i := range order {
		common = commonPrefix(order[0].enc[:common], order[i].enc)
	}
	for i := range order {
		var lead [8]byte
		copy(lead[:], order[i].enc[common:])
		order[i].lead = binary.BigEndian.Uint64(lead[:])
	}
	slices.SortFunc(order, func(a, b memberAt) int {
		if a.lead != b.lead {
			return cmp.Compare(a.lead, b.lead)
		}
		if d := bytes.Compare(a.enc, b.enc); d != 0 {
			return d
		}
		return a.index - b.index
	})
	return order, nil
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
