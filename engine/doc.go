// Package engine is the pongofs store: typed values in nested containers, kept
// in one memory-mapped file that any number of goroutines and processes read
// and write at the same time.
//
// # Start here
//
// Four types are enough to use it:
//
//   - [Store] is an open store file. [Create] makes one, [Open] opens it,
//     [Store.Close] closes it.
//   - [Tx] is a look at one version of the store: [Store.View] gives one for
//     reading, [Store.Update] one that also writes.
//   - [Collection], [Dict] and [List] are handles to the containers in it.
//     [Tx.Root] is the collection that everything else is in.
//   - [value.Value] is one scalar, of one of eight types: null, bool, int,
//     float, datetime, uuid, bytes, string.
//
// The methods of the handles take Go values as [FromGo] describes them, maps
// and slices included, and keep their types:
//
//	err := s.Update(func(tx *engine.Tx) error {
//		return tx.Root().Set("ada", map[string]any{"born": 1815, "tags": []string{"math"}})
//	})
//
// Below the handles is Tx itself, which knows containers by their [ID] and
// entries with everything that a file system shows of them: attributes, file
// images, declared and guessed types. Package fsnode mounts a store on top of
// it, so what a Go program stores is there as files, and the other way round.
//
// # Model
//
// The store is one immutable tree. An Update builds the nodes that it changes
// beside the old ones, and swaps one word to publish the new tree: a version.
//
//   - A View looks at one version from beginning to end. It takes no lock,
//     never waits and never retries, whatever others write meanwhile.
//   - An Update is atomic, however many keys and containers it changes: others
//     see all of it or nothing. When it returns an error nothing has happened.
//   - Updates, of all processes together, happen one after the other, each on
//     the result of the one before. None is lost. One that finds that another
//     was faster calls its function again, on the newer version.
//   - What an Update has published, every View that begins later sees, in every
//     process.
//
// Every container, and every entry, has an ID that it keeps when it moves or
// changes and that is never used again.
//
// A dict or collection holds entries under keys of any scalar type, in key
// order. The two have the same operations; collections also generate keys. A
// list holds elements by number and may have gaps: [Tx.Remove] leaves one, as
// removing a file must not rename others, while [List.Delete] moves what
// follows.
//
// Values set through the handles are declared: a write through a mount must
// keep their type. What is written as a file without a declaration is kept as
// its bytes and reads as a string, or as bytes when it is no text; package
// encoding tells what else such bytes look like.
//
// # Concurrency
//
// The methods of Store may be called by any number of goroutines at once. A Tx
// with its handles belongs to the goroutine that runs the function it was given
// to, and ends with that function. What it returns, entries and values, is
// copied and stays valid; a [ValuePin] keeps one large value readable for
// longer without a copy.
//
// There is no lock between writers. The function of an Update should be quick:
// while it runs others publish, and then it runs again. One that loses often is
// given precedence for a moment, so that large Updates end too.
//
// # Durability
//
// A change is visible to all as soon as Update returns. It is durable, that is
// survives a power loss, after the next checkpoint: at most [Options].Commit
// later (a second by default), when [Store.Sync] or [Store.Close] returns, or
// with Options.SyncEach before Update returns. After a power loss the store
// opens as it was at a version no older than the last completed checkpoint,
// whole.
//
// A process that is killed loses nothing that it has published, since the
// pages are the kernel's. If it was the only one, its last interval is made
// durable by whoever opens the store next.
//
// # Snapshots
//
// [Store.Snapshot] keeps the newest version under a name until
// [Store.DropSnapshot]; [Store.ViewSnapshot] reads it. A snapshot survives
// restarts and power cuts, and takes no more space than what has been replaced
// since. [Store.OpenVersion] and [Store.OpenSnapshot] keep a version for as long
// as the program wants to read it.
//
// # Changes
//
// [Store.Watch] is a feed of what everybody changes, as the difference of each
// version that it looks at to the one before: what was added, removed, written
// or moved, with the old and the new entry at hand. [NewDiffer] and
// [Differ.Changes] compare any two versions of a store, at the cost of what
// differs.
//
// # Caveats
//
// An Update's function may run several times. It must do nothing that it cannot
// do again: keep results in variables that each run sets anew, send nothing,
// print nothing.
//
// Do not call Update inside the function of an Update of the same store: the
// outer one finds each time that the inner one was faster, and never ends.
// Close waits for Views and Updates, so calling it inside one never ends either.
//
// An error of a method that wrote leaves the Tx usable when it says that
// nothing fits: [ErrNotFound], [ErrExist], [ErrKind], [ErrKey] and the like.
// After any other one the function should return; if it does not, Update fails
// all the same and publishes nothing.
//
// Keep Views short. While one lasts, no memory that was in use when it began is
// used again, so the file grows under writers. A ValuePin holds only its value,
// a Version only what that version uses.
//
// Dead processes are noticed by the others within a second or so, which then
// drop their pins and leases; what a killed process had allocated and not
// published comes back with the next full collection (package gc). A process
// that is stopped inside a View (SIGSTOP, a debugger) holds up the reuse of
// memory, never anybody's progress.
//
// A Store does not survive fork without exec: the child would share its locks.
// Processes started by os/exec are fine.
//
// The store must be on a local file system that can promise space. Network file
// systems, and others on which memory shared by processes is not reliable, are
// refused; Options.AnyFS overrides that for tests.
//
// All processes must open the store by the same file name: NAME-shm beside it
// is shared by them. Opening through a hard link or a bind mount of the file
// alone while it is open elsewhere is [ErrBusy]. Deleting, replacing, truncating
// or copying either file while the store is open is wrong: the copy is torn
// ([Store.Backup] makes one that is not), and a cut file is [ErrIO] or [ErrCorrupt] for whoever reads there (not a
// crash). NAME-shm may be deleted when nobody has the store open.
//
// Space is allocated before it is used: a full disk is [ErrNoSpace], the store
// stays as it was, and removing things makes room again. Removed entries do not
// shrink the file; their space is used again.
//
// A failed sync poisons the store for all processes ([ErrPoisoned]), because
// what the disk holds is then unknown: close it everywhere and open it again.
//
// At most 126 processes have a store open. Each reserves a large range of
// addresses, up to 1 TiB, less under a limit (ulimit -v).
//
// A key is at most [MaxKeyBytes] long, a value [MaxValue], and a list may have
// [MaxListGap] gaps in a row made at once. The nesting of containers has no
// limit, but documents are copied as a whole, by [FromGo], [Tx.Copy] and what
// uses them, to a depth of 10 000 only.
//
// Of this module only package engine, with package value, is meant for other
// programs; the packages below it may change at any time.
package engine
