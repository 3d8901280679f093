package fsnode

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/engine"
)

// sidecar is the file .pongo-types of a directory.
type sidecar struct {
	fs  *fileSystem
	dir *node
}

func (sidecar) attr(*fuse.Attr) error { return engine.ErrNotFound }

func (s sidecar) parent() uint64 { return s.dir.id }

// listSidecar ends a listing with the sidecar, if there is one.
func (fs *fileSystem) listSidecar(*dirHandle, func(fuse.DirEntry, *listed) bool) fuse.Status {
	return fuse.OK
}
