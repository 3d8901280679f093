package value

// Document is a whole document in memory: a Builder that takes one value and a
// Tree that reads it.
type Document struct {
	unbuilt struct{}
}
