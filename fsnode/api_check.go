package fsnode

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/engine"
)

// The compiler checks here that the types are what others take them for.
// fileSystem embeds no default implementation, so no request can get lost by a
// method that is renamed.
var (
	_ fuse.RawFileSystem = (*fileSystem)(nil)
	_ Tx                 = (*engine.Tx)(nil)
	_ Pin                = (*engine.ValuePin)(nil)
	_ Store              = engineStore{}

	_ Version = engineVersion{}

	_ virtualDir  = snapshotsDir{}
	_ virtualDir  = metaDir{}
	_ virtualFile = metaFile{}
	_ openFile    = (*metaWriter)(nil)
	_ virtualFile = frozenSide{}
	_ openFile    = (*frozenFile)(nil)
	_ virtualDir  = controlDir{}
	_ virtualFile = controlFile{}
	_ openFile    = fixedFile(nil)

	_ virtualFile    = sidecar{}
	_ virtualSetter  = sidecar{}
	_ virtualRemover = sidecar{}
	_ virtualCreator = sidecar{}
	_ virtualTarget  = sidecar{}
	_ virtualHider   = sidecar{}
	_ openFile       = (*sideFile)(nil)
)
