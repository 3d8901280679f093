//go:build race

package heap

// raceEnabled says that the race detector runs, which makes everything many
// times slower and sees the race that a sweep is built to survive: it reads a
// header that may be rewritten, and believes it only if the lease count says
// that it was not.
const raceEnabled = true
