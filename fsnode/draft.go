package fsnode

import (
	"bytes"
	"errors"

	"pongofs/encoding"
	"pongofs/engine"
)

// draft is the text of a declared scalar while it is written through a handle.
// It is published whenever it is a value of the type and ends in a newline, or
// when a descriptor is closed; text that cannot become one any more is refused
// at once. A draft is not changed after it was made: a write makes another.
type draft struct {
	text  []byte // what the file contains as the handle sees it
	high  int    // end of what the handle has written; behind it is old text
	dirty bool   // the text is not published
	shown []byte // when not dirty: the image that publishing the text has made
}

// nextDraft returns the draft that a write through a handle begins with: d if
// it goes on, else a new one from the value or, for fresh, from nothing.
func nextDraft(tx Reader, e *engine.Entry, d *draft, fresh bool) (draft, error) {
	if fresh {
		return draft{}, nil
	}
	image, err := readImage(tx, e)
	if err != nil {
		return draft{}, err
	}
	if d == nil || !d.dirty && !bytes.Equal(d.shown, image) {
		return draft{text: image}, nil
	}
	return *d, nil
}

// writeDraft writes data at off into the draft of e and publishes the text if
// it is a value. It returns the draft that the handle has afterwards; with
// nil, errUnchanged or an error that refuses the write.
func writeDraft(tx Tx, e *engine.Entry, d *draft, fresh bool, off int64, data []byte) (*draft, error) {
	next, err := nextDraft(tx, e, d, fresh)
	if err != nil {
		return nil, err
	}
	if off == atEnd {
		off = int64(len(next.text))
	}
	if off+int64(len(data)) > encoding.MaxDeclaredBytes {
		return nil, tooLong(e, data)
	}
	next.text = overlay(next.text, off, data)
	next.high = max(next.high, int(off)+len(data))
	return next.settle(tx, e)
}

// truncateDraft cuts or extends the draft of e.
func truncateDraft(tx Tx, e *engine.Entry, d *draft, fresh bool, size int64) (*draft, error) {
	next, err := nextDraft(tx, e, d, fresh)
	if err != nil {
		return nil, err
	}
	if size > encoding.MaxDeclaredBytes {
		return nil, tooLong(e, next.text)
	}
	text := make([]byte, size)
	copy(text, next.text)
	next.text = text
	next.high = min(next.high, int(size))
	if size == 0 {
		// The beginning of a rewrite.
		next.dirty = true
		return &next, errUnchanged
	}
	ended := !lacksEOL(text)
	if ended {
		if done, err := next.publish(tx, e); err == nil || errors.Is(err, errUnchanged) {
			return done, err
		}
	}
	next.dirty = true
	return &next, errUnchanged
}

// settle publishes the text of a draft, keeps it for later, or refuses it.
func (d draft) settle(tx Tx, e *engine.Entry) (*draft, error) {
	overwrites := len(d.text) > d.high // old text follows: it may be cut off later
	if lacksEOL(d.text) {
		if !overwrites {
			if err := encoding.CheckPrefix(e.Kind, d.text); err != nil {
				return nil, err
			}
		}
		d.dirty = true
		return &d, errUnchanged
	}
	done, err := d.publish(tx, e)
	if err != nil && !errors.Is(err, errUnchanged) && overwrites {
		d.dirty = true
		return &d, errUnchanged
	}
	return done, err
}

// publish stores the value of the text and returns the draft that is left.
func (d draft) publish(tx Tx, e *engine.Entry) (*draft, error) {
	shown, err := publishText(tx, e, d.text)
	if err != nil && !errors.Is(err, errUnchanged) {
		return nil, err
	}
	d.dirty, d.shown = false, shown
	return &d, err
}

// publishText stores text as the value of the declared scalar e and returns
// the image that it then shows. errUnchanged when that is the present one.
func publishText(tx Tx, e *engine.Entry, text []byte) ([]byte, error) {
	v, noEOL, err := encoding.ParseDeclared(e.Kind, text)
	if err != nil {
		return nil, err
	}
	image := encoding.AppendImage(nil, v, noEOL)
	if v == e.Scalar && noEOL == e.NoEOL {
		return image, errUnchanged
	}
	_, err = tx.Put(e.Parent, e.Key, v, engine.PutOptions{Declared: true, NoEOL: noEOL})
	return image, err
}

// flushDraft publishes the draft of a handle, if there is something to
// publish. The draft stays as it is when its text is no value.
//
// Preconditions: h.mu is held.
func (fs *fileSystem) flushDraft(h *fileHandle) error {
	if h.draft == nil || !h.draft.dirty {
		return nil
	}
	var next *draft
	err := fs.update(h.n, func(tx Tx, e *engine.Entry) error {
		next = nil
		if !isDrafted(e) {
			// The declaration has ended: the text is as good as any other.
			return putWhole(tx, e, h.draft.text)
		}
		var err error
		next, err = h.draft.publish(tx, e)
		return err
	})
	if err != nil {
		return err
	}
	h.draft = next
	h.n.unstageHandle(h)
	return nil
}

// tooLong is the error for text that is longer than any declared scalar.
func tooLong(e *engine.Entry, text []byte) error {
	return &encoding.TextError{
		Kind: e.Kind, Text: string(text[:min(len(text), 32)]),
		Reason: "it is too long", Err: encoding.ErrSyntax,
	}
}
