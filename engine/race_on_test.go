//go:build race

package engine_test

// raceEnabled says that the race detector runs. It reports the sweep's look at
// a header as a race, which the sweep finds out by itself: see heap.Sweep.
const raceEnabled = true
