package fsnode

import (
	"bytes"
	"io"

	"pongofs/encoding"
	"pongofs/engine"
)

// smallImage is the length in bytes of the longest image that an open handle
// copies; longer ones are pinned in the store.
const smallImage = 64 << 10

// unpinnedImage is the length of the longest image that is copied when no pin
// is left.
const unpinnedImage = 64 << 20

// readImage returns the whole image of e.
func readImage(tx Reader, e *engine.Entry) ([]byte, error) {
	if !e.HasImage() {
		return encoding.AppendImage(nil, e.Scalar, e.NoEOL), nil
	}
	b := make([]byte, e.Size)
	_, err := readImageAt(tx, e, b, 0)
	return b, err
}

// readImageAt reads len(p) bytes at off from the image of an entry that has
// one; fewer only at its end, which is no error.
func readImageAt(tx Reader, e *engine.Entry, p []byte, off int64) (int, error) {
	n, err := tx.ReadImage(e, p, off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// version is the image of a file as of one version of the store: what an open
// handle reads. The zero version is none.
type version struct {
	seq  uint64 // newest version of the store in which it was the image; 0: none
	inc  uint64 // incarnation
	size int64
	data []byte // the image, when it is at most smallImage long
	pin  Pin    // else
}

// loadVersion takes the image of e, which tx has returned.
func loadVersion(store Store, tx Tx, e *engine.Entry) (version, error) {
	v := version{seq: tx.Seq(), inc: e.Incarnation, size: imageSize(e)}
	var err error
	if v.size <= smallImage {
		v.data, err = readImage(tx, e)
	} else if v.pin, err = store.Pin(tx, e); err != nil && v.size <= unpinnedImage {
		// Pins are few, and shared by all processes.
		v.pin = nil
		v.data, err = readImage(tx, e)
	}
	if err != nil {
		return version{}, err
	}
	return v, nil
}

// close lets the image go.
func (v *version) close() error {
	var err error
	if v.pin != nil {
		err = v.pin.Close()
	}
	*v = version{}
	return err
}

// readAt reads from the image; fewer bytes only at its end.
func (v *version) readAt(p []byte, off int64) (int, error) {
	if off >= v.size {
		return 0, nil
	}
	if v.pin == nil {
		return copy(p, v.data[off:]), nil
	}
	n, err := v.pin.ReadAt(p[:min(int64(len(p)), v.size-off)], off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// copy returns the same version with a copy of the image.
func (v *version) copy() (version, error) {
	c := version{seq: v.seq, inc: v.inc, size: v.size, data: make([]byte, v.size)}
	_, err := v.readAt(c.data, 0)
	return c, err
}

// isImageOf reports whether e still has this image. Only images that were not
// copied are taken at their incarnation's word.
func (v *version) isImageOf(tx Reader, e *engine.Entry) (bool, error) {
	if v.seq == 0 || imageSize(e) != v.size {
		return false, nil
	}
	if v.pin != nil {
		return e.Incarnation == v.inc, nil
	}
	if e.HasImage() && e.Incarnation == v.inc {
		return true, nil
	}
	b, err := readImage(tx, e)
	return bytes.Equal(b, v.data), err
}

// isExtendedBy reports whether the image w begins with this one, so that a
// reader at the end of this one may go on in w.
func (v *version) isExtendedBy(w *version) bool {
	if w.size < v.size {
		return false
	}
	if v.pin == nil && w.pin == nil {
		return bytes.HasPrefix(w.data, v.data)
	}
	return v.inc == w.inc
}
