package mapping

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A test process that finds this variable set is a child: it does what the
// value says with the file named by its argument.
const childRole = "PONGOFS_MAPPING_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := runChild(role, os.Args[1]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func runChild(role, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	switch role {
	case "lock": // takes a lock, says so, and stays until it is killed
		m, err := OpenFile(f, 1<<20, 1<<20, false)
		if err != nil {
			return err
		}
		ok, err := m.TryLock(LockSlots, 1)
		fmt.Println("locked", ok, err)
		_, err = io.Copy(io.Discard, os.Stdin)
		return err
	case "limited": // maps with little address space
		limit := unix.Rlimit{Cur: 4 << 30, Max: 4 << 30}
		if err := unix.Setrlimit(unix.RLIMIT_AS, &limit); err != nil {
			return err
		}
		if _, err := OpenFile(f, 1<<40, 1<<39, false); err == nil {
			return fmt.Errorf("mapped 512 GiB under a limit of 4 GiB")
		}
		m, err := OpenFile(f, 1<<40, 1<<28, false)
		if err != nil {
			return err
		}
		fmt.Println("reserved", m.Reserved())
		return nil
	}
	return fmt.Errorf("unknown role %q", role)
}

func child(t *testing.T, role, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], path)
	cmd.Env = append(os.Environ(), childRole+"="+role)
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, bufio.NewScanner(out)
}

func TestLocksExcludeOtherOpenFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	a, b := openFile(t, path, 1<<20), openFile(t, path, 1<<20)
	must := func(want bool) func(bool, error) {
		t.Helper()
		return func(got bool, err error) {
			t.Helper()
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
	must(true)(a.TryLock(LockSlots+3, 1))
	must(true)(a.TryLock(LockSlots+3, 1)) // one's own lock does not exclude oneself
	must(false)(b.TryLock(LockSlots+3, 1))
	must(false)(b.TryShare(LockSlots+3, 1))
	must(true)(b.TryLock(LockSlots+4, 1)) // bytes are independent
	must(true)(b.Locked(LockSlots, 126))
	must(true)(a.Locked(LockSlots, 126))
	must(false)(a.Locked(LockSlots, 4)) // one's own lock is not seen
	must(false)(b.Locked(LockGate, 1))

	// Closing another descriptor of the file drops nothing.
	f, err := os.Open(path)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	must(false)(b.TryLock(LockSlots+3, 1))

	require.NoError(t, a.Unlock(LockSlots+3, 1))
	must(true)(b.TryLock(LockSlots+3, 1))

	must(true)(a.TryShare(LockReaders, 1))
	must(true)(b.TryShare(LockReaders, 1))
	must(true)(b.Locked(LockReaders, 1)) // of a
	must(false)(b.TryLock(LockReaders, 1))
	require.NoError(t, a.Close()) // closing the mapping drops its locks
	must(true)(b.TryLock(LockReaders, 1))
}

func TestLockWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	a, b := openFile(t, path, 1<<20), openFile(t, path, 1<<20)
	ok, err := a.LockWait(LockGate, 1, time.Minute)
	require.NoError(t, err)
	require.True(t, ok)
	start := time.Now()
	ok, err = b.LockWait(LockGate, 1, 20*time.Millisecond)
	require.NoError(t, err)
	require.False(t, ok)
	require.GreaterOrEqual(t, time.Since(start), 20*time.Millisecond)

	unlocked := make(chan error)
	go func() {
		time.Sleep(10 * time.Millisecond)
		unlocked <- a.Unlock(LockGate, 1)
	}()
	ok, err = b.LockWait(LockGate, 1, time.Minute)
	require.NoError(t, <-unlocked)
	require.NoError(t, err)
	require.True(t, ok)
}

// The lock of a killed process is free at once, and not before.
func TestLockEndsWithTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	m := openFile(t, path, 1<<20)
	cmd, out := child(t, "lock", path)
	require.True(t, out.Scan())
	require.Equal(t, "locked true <nil>", out.Text())
	ok, err := m.TryLock(LockSlots, 1)
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	ok, err = m.TryLock(LockSlots, 1)
	require.NoError(t, err)
	require.True(t, ok)
}

// Where the address space is limited less is reserved.
func TestReservationFallsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	openFile(t, path, 1<<20)
	_, out := child(t, "limited", path)
	require.True(t, out.Scan())
	var got int64
	_, err := fmt.Sscanf(out.Text(), "reserved %d", &got)
	require.NoError(t, err, "child says %q", out.Text())
	require.GreaterOrEqual(t, got, int64(1<<28))
	require.LessOrEqual(t, got, int64(4<<30))
}
