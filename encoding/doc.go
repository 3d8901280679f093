// Package encoding turns typed values into bytes and names and back: the text
// of a file, the name of a key, the lines of a sidecar, and whole documents.
//
// It is made of pure functions. It knows neither the store nor the file
// system and does no I/O of its own; documents stream between an io.Reader or
// io.Writer and the two interfaces of package value. Everything here may be
// called by any number of goroutines at once, and nothing that is returned
// aliases an argument unless its comment says so.
//
// # Text
//
// A scalar has one canonical text ([AppendText]) and, as a file, one image
// ([AppendImage]): the text and a final newline. [Infer] guesses the type of
// an image that nobody declared; a guess never changes a byte:
//
//	AppendImage(nil, Infer(image)) == image, for every image
//
// [ParseDeclared] reads the text of a declared type, which may be written in
// more ways than the canonical one, and [CheckPrefix] and [CanBecome] tell
// while it is being written whether it can still become one.
//
// # Names
//
// [EscapeName] and [UnescapeName] are a bijection between keys and file
// names, [EscapeListName] and [UnescapeListName] the same for the entries of a
// list. name.go has the grammar. [EscapeKey] and [UnescapeKey] are the same
// escape without a limit of length.
//
// # Sidecars
//
// [AppendSidecar] and [ParseSidecar] are the codec of .pongo-types.
//
// # Documents
//
// [Encode] writes a value.Tree and [Decode] feeds a value.Builder, in one of
// the [Format]s. Extended JSON is lossless (extjson.go has its dialect); what
// another format cannot say is counted in the [Report], and what it can in no
// way write is an error.
//
// Entries are written in key order, whatever the order they were read in. An
// integer is an int, a number with fraction or exponent a float, and is written
// as such. Errors are duplicate keys, strings that are not valid text, more
// than MaxDepth containers in one another, and numbers that would lose digits:
// an integer beyond int64 that no float64 equals, a number too large for a
// float64, or one so small that it would be 0. (The libraries decide on two of
// these: a YAML number too large is a string, a TOML number too small is 0.)
package encoding
