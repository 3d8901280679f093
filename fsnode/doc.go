// Package fsnode shows a store as a file system: dicts, collections and lists
// are directories, primitives are files, strings with a link mark are symbolic
// links. docs/semantics.md says what users see.
//
// It speaks the raw FUSE protocol through go-fuse (docs/adr/0003) and reaches
// the store through the interfaces Store and Tx, which engine's types satisfy.
// It knows ids, keys, values and images, never references or offsets. Mount
// serves one mount; any number of mounts and processes may share a store.
//
// # Caches
//
// The kernel keeps names and attributes for an hour. What others change, and what
// this mount changes in ways that the kernel does not know of, the follower takes
// back (follow.go, which has the argument why nothing stale is left): it compares
// the version that it has come to with the newest one (compare.go), and looks at
// what the kernel was told (held.go) and at open files that others have moved
// (adrift.go). The notifier tells the kernel (notify.go).
//
// # Requests
//
// Each method of fileSystem answers one kind of request, on a goroutine of its
// own. Reading ones run in one View, changing ones in one Update, so each
// request sees and makes one version of the store. No request waits for
// another client's, but for the moment of settle; fsync waits for a
// checkpoint and ends with EINTR when the disk hangs and it is interrupted.
//
// # Nodes
//
// A node stands for a file that the kernel knows. Its number, which is st_ino
// as well, is the id of the entry: ids are never reused, so a number means the
// same file for ever, and a container is found by it alone. A file is found by
// (parent, key) and recognized by its id:
//
//   - The mount itself moves or removes an entry: the node is told, under
//     node.loc.
//   - Somebody else does: the follower finds where it has gone, or the next
//     request, which finds another id there, or nothing, and looks where else the
//     entry may be (relocate). If it is nowhere, an
//     open file lives on with the content that its handles have (adopt), and
//     who opens it by its name looks the name up again (late.go), and then gets
//     the file that has it now in any case (openStale);
//     else the kernel gets ESTALE and looks the name up again. A directory that is
//     nowhere is what it was last (isRemovedDir).
//
// A node is in the table while the kernel has lookups of it that it has not
// forgotten, or while handles are open on it.
//
// An entry that is removed while it is open becomes an orphan: it moves to
// engine.OrphansID, keyed by its id, and the last release removes it. One that
// is removed while it is merely known leaves its image in the node (ghost), for
// the process that has looked it up and is about to open it: so nobody ever
// sees a name missing that is replaced atomically.
//
// # Handles
//
// A file handle has a version, the image that its reads come from (version.go,
// read.go), and on the writing side what was asked for and is not published
// yet: the truncation of O_TRUNC (truncation.go), and the draft of a declared scalar
// (draft.go). While it has something of that kind it is staged: the node knows
// it, since those who use the handle see another size than all others.
//
// A directory handle remembers the keys of the names it has handed out
// (dir.go), nothing else: each request reads the newest version behind the
// last name.
//
// # Frozen versions
//
// Snapshots and `now` are versions beside the newest one (frozen.go). Their
// nodes have numbers of their own, with the version in the high bits, and never
// change: requests that would change them end with EROFS before they look at the
// store, reading ones go through fs.view as all others do. A version is held in
// the store while files of it are open, a now for as long as its process lives
// (snapshots.go).
//
// # Virtual files
//
// What is not in the store implements virtual: .pongo (control.go, meta.go,
// snapshots.go) and the sidecars .pongo-types (sidecar.go, sideline.go).
//
// # Lock order
//
// Each lock may be taken while those above it are held:
//
//	fileHandle.mu, dirHandle.mu, sideFile.mu   one at a time
//	  frozens.mu
//	    frozen.mu
//	  node.cutting                             one at a time
//	  node.loc                                 of several nodes by rising id
//	    a View or Update of the store
//	      nodeTable.mu
//	        follower.mu
//	          node.mu                        one at a time
//	          notifier.mu
//	      sideStates.mu
//	      handleTable.mu, refusals.mu          leaves
//
// node.loc is held for reading by requests on a file, for writing by those that
// move or remove it; never by two requests for each other's sake, since the one
// that holds it is inside a short transaction. No lock is held while the kernel
// is waited for; expireAttr, which the kernel answers at once, aside. So whatever
// a notification has to wait for in the kernel, no request waits for it.
package fsnode
