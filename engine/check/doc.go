// Package check holds a store against every rule of docs/format.md, and writes
// what can be read of it into a new file.
//
// It reads through a container.Space: the heap of an open store, for a version
// that the caller has pinned, or the file itself when no process has it open.
// It changes nothing that it reads. Repairing is rewriting: a fresh file gets
// what is whole, and the damaged one stays.
//
// No input makes it panic, hang or take memory out of proportion: each object
// of a version is used once, so time and memory are bounded by the length of
// the file, and the number of findings by Options.
//
// Everything here belongs to one goroutine.
package check
