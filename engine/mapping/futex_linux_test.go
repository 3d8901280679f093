package mapping

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFutexWaitReturns(t *testing.T) {
	var word atomic.Uint32
	start := time.Now()
	FutexWait(&word, 1, time.Hour) // the word is another one: at once
	require.Less(t, time.Since(start), time.Minute)
	FutexWait(&word, 0, 2*time.Millisecond) // nobody wakes: at the timeout
	require.Less(t, time.Since(start), time.Minute)
}

// A wake-up reaches a waiter that has mapped the file elsewhere. The waiter
// looks at the word again and again, since a wait may end early.
func TestFutexWakesAcrossMappings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	a, b := openFile(t, path, 1<<20), openFile(t, path, 1<<20)
	require.NoError(t, a.Allocate(0, 1<<16))
	mine, yours := word(a, 4096), word(b, 4096)
	const rounds = 200
	done := make(chan int)
	go func() {
		early := 0
		for want := uint32(1); want <= rounds; want++ {
			for yours.Load() < want {
				FutexWait(yours, want-1, time.Minute)
				early++
			}
		}
		done <- early
	}()
	for range rounds {
		mine.Add(1)
		FutexWake(mine)
		time.Sleep(50 * time.Microsecond)
	}
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("a wake-up was lost")
	}
}
