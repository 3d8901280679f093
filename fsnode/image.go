package fsnode

import (
	"time"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

// atEnd as an offset means behind the last byte, wherever that is.
const atEnd = -1

// wholeImage is the length in bytes of the longest image that is rebuilt as a
// whole when a typed value becomes text; longer ones are written in parts.
const wholeImage = 1 << 20

// isDrafted reports whether writes to e go through a draft: its type is
// declared and not every text is a value of it.
func isDrafted(e *engine.Entry) bool { return e.Declared && !e.HasImage() }

// splice writes data at off into the image of e. Undeclared values take the
// type that their new bytes look like. fresh means that the old image does not
// count: O_TRUNC. Bytes that are there already change nothing, the times
// included.
//
// Preconditions: e is no container and not drafted.
func splice(tx Tx, e *engine.Entry, fresh bool, off int64, data []byte) error {
	size := imageSize(e)
	if fresh {
		return spliceFresh(tx, e, max(off, 0), data)
	}
	if off == atEnd {
		off = size
	}
	end := off + int64(len(data))
	if !e.HasImage() {
		old := encoding.AppendImage(nil, e.Scalar, e.NoEOL)
		if end > wholeImage {
			raw, err := tx.PutImage(e.Parent, e.Key, value.KindInvalid, old, rawOptions(old))
			if err != nil {
				return err
			}
			_, err = tx.WriteImage(raw.Parent, raw.Key, off, data)
			return err
		}
		return putWhole(tx, e, overlay(old, off, data))
	}
	if !e.Declared && max(size, end) <= encoding.MaxInferBytes {
		old, err := readImage(tx, e)
		if err != nil {
			return err
		}
		return putWhole(tx, e, overlay(old, off, data))
	}
	_, err := tx.WriteImage(e.Parent, e.Key, off, data)
	return err
}

// spliceFresh is splice into an empty image.
func spliceFresh(tx Tx, e *engine.Entry, off int64, data []byte) error {
	end := off + int64(len(data))
	if end <= wholeImage {
		image := data
		if off > 0 {
			image = overlay(nil, off, data)
		}
		return putWhole(tx, e, image)
	}
	if err := putWhole(tx, e, nil); err != nil {
		return err
	}
	empty, err := tx.Lookup(e.Parent, e.Key)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return resize(tx, &empty, off)
	}
	return splice(tx, &empty, false, off, data)
}

// resize cuts or extends the image of e.
//
// Preconditions: e is no container and not drafted.
func resize(tx Tx, e *engine.Entry, size int64) error {
	old := imageSize(e)
	if size == old {
		return nil
	}
	if e.HasImage() && (e.Declared || size > encoding.MaxInferBytes) {
		_, err := tx.TruncateImage(e.Parent, e.Key, size)
		return err
	}
	head := make([]byte, min(size, old))
	if e.HasImage() {
		if _, err := readImageAt(tx, e, head, 0); err != nil {
			return err
		}
	} else {
		copy(head, encoding.AppendImage(nil, e.Scalar, e.NoEOL))
	}
	if size <= wholeImage {
		return putWhole(tx, e, append(head, make([]byte, size-int64(len(head)))...))
	}
	raw, err := tx.PutImage(e.Parent, e.Key, value.KindInvalid, head, rawOptions(head))
	if err != nil {
		return err
	}
	_, err = tx.TruncateImage(raw.Parent, raw.Key, size)
	return err
}

// overlay returns old with data at off, zeros between.
func overlay(old []byte, off int64, data []byte) []byte {
	end := off + int64(len(data))
	image := make([]byte, max(int64(len(old)), end))
	copy(image, old)
	copy(image[off:], data)
	return image
}

// putWhole makes image the whole image of e: in the declared type when that is
// string or bytes, else in the type it looks like.
func putWhole(tx Tx, e *engine.Entry, image []byte) error {
	if e.Declared && e.HasImage() {
		_, err := tx.PutImage(e.Parent, e.Key, e.Kind, image, engine.PutOptions{
			Declared: true,
			NoEOL:    e.Kind == value.KindString && lacksEOL(image),
		})
		return err
	}
	return putGuess(tx, e.Parent, e.Key, image, engine.PutOptions{})
}

// putGuess stores image under a key in the type it looks like.
func putGuess(tx Tx, dir engine.ID, key value.Value, image []byte, o engine.PutOptions) error {
	if len(image) <= encoding.MaxInferBytes {
		if v, noEOL := encoding.Infer(image); v.Kind() != value.KindString && v.Kind() != value.KindBytes {
			o.NoEOL = noEOL
			_, err := tx.Put(dir, key, v, o)
			return err
		}
	}
	o.NoEOL = lacksEOL(image)
	_, err := tx.PutImage(dir, key, value.KindInvalid, image, o)
	return err
}

// rawOptions returns the options for storing an image as it is.
func rawOptions(image []byte) engine.PutOptions {
	return engine.PutOptions{NoEOL: lacksEOL(image)}
}

// lacksEOL reports whether an image does not end in a newline.
func lacksEOL(image []byte) bool {
	return len(image) == 0 || image[len(image)-1] != '\n'
}

// touch sets the modification time to now.
func touch(tx Tx, e *engine.Entry) error {
	now := time.Now().UnixNano()
	_, err := tx.SetAttr(e.Parent, e.Key, engine.AttrChange{Mtime: &now})
	return err
}

// clearSetID takes the set-user-id bit off a file, and the set-group-id bit
// when the group may execute it, as a write does. It reports whether that
// changed anything.
func clearSetID(tx Tx, e *engine.Entry) (bool, error) {
	mode := withoutSetID(e.Attr.Mode)
	if mode == e.Attr.Mode {
		return false, nil
	}
	_, err := tx.SetAttr(e.Parent, e.Key, engine.AttrChange{Mode: &mode})
	return true, err
}

// withoutSetID returns mode as clearSetID leaves it.
func withoutSetID(mode uint32) uint32 {
	const suid, sgid, groupExec = 0o4000, 0o2000, 0o010
	mode &^= suid
	if mode&groupExec != 0 {
		mode &^= sgid
	}
	return mode
}
