package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

type umountOptions struct {
	lazy bool
	wait time.Duration
}

func newUmountCommand() *cobra.Command {
	var o umountOptions
	cmd := &cobra.Command{
		Use:   "umount [-l] DIR",
		Short: "Unmount a store and wait until it is closed",
		Long: `Unmount DIR and wait until its server has made everything durable and has
exited, so that the store file may then be copied, moved or removed.`,
		Example: `  pongofs umount mnt`,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runUmount(cmd.Context(), o, args[0])
		},
	}
	cmd.Flags().BoolVarP(&o.lazy, "lazy", "l", false, "take the mount away now, even if it is in use, and do not wait")
	cmd.Flags().DurationVar(&o.wait, "wait", time.Minute, "wait so long for the server to finish")
	return cmd
}

func runUmount(ctx context.Context, o umountOptions, dir string) error {
	path, err := realPath(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s: no such directory", dir)
		}
		return pathError(err)
	}
	m, mounted, err := mountAt(path)
	switch {
	case err != nil:
		return err
	case !mounted:
		return fmt.Errorf("%s: nothing is mounted here", dir)
	case m.fsType != fsType:
		return fmt.Errorf("%s: is a mount of type %s, not of pongofs; use umount(8)", dir, m.fsType)
	}
	server := findServer(&m)
	if server != nil {
		defer server.Close()
	}
	if err := unmount(path, o.lazy); err != nil {
		if errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("%s: is in use; see who uses it with: fuser -vm %s, or use: pongofs umount --lazy %s", dir, dir, dir)
		}
		return fmt.Errorf("%s: %w", dir, err)
	}
	if server == nil || o.lazy {
		return nil
	}
	if err := awaitExit(ctx, server, o.wait); err != nil {
		return fmt.Errorf("%s: is unmounted, but its server has not finished: %w", dir, err)
	}
	return nil
}

// unmount unmounts path: by itself as root, else through fusermount3. A lazy
// one takes the mount out of the tree at once.
func unmount(path string, lazy bool) error {
	flags := umountNoFollow
	if lazy {
		flags |= syscall.MNT_DETACH
	}
	err := syscall.Unmount(path, flags)
	if !errors.Is(err, syscall.EPERM) {
		return err
	}
	args := []string{"-u", "--", path}
	if lazy {
		args = []string{"-u", "-z", "--", path}
	}
	output, err := exec.Command("fusermount3", args...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		message := strings.TrimSpace(string(output))
		if strings.Contains(message, "busy") {
			return syscall.EBUSY
		}
		return errors.New(message)
	}
	return err
}

// umountNoFollow is UMOUNT_NOFOLLOW of umount2(2).
const umountNoFollow = 8

// A server listens on a socket in the abstract namespace, named after the
// device number of its mount, which no two mounts share at a time. The kernel
// closes all connections when the process ends, however it ends, so end of file
// on a connection means that the server is gone and its store closed. There is no
// file to go stale and no process id to be reused.

// presenceName returns the name of the socket of a mount.
func presenceName(m *mountEntry) string { return "@pongofs-mount-" + m.device }

// presence is the socket of a server, and who waits for its end.
type presence struct {
	listener *net.UnixListener
	done     chan struct{} // closed when nobody is let in any more
	waiting  []net.Conn    // to be read when done is closed
}

// announce opens the socket of the mount at dir.
func announce(ctx context.Context, dir string) (*presence, error) {
	m, mounted, err := mountAt(dir)
	if err != nil {
		return nil, err
	}
	if !mounted || m.fsType != fsType {
		return nil, fmt.Errorf("%s: the mount is not in /proc/self/mountinfo", dir)
	}
	listener, err := listen(ctx, presenceName(&m))
	if err != nil {
		return nil, err
	}
	p := &presence{listener: listener, done: make(chan struct{})}
	go p.accept()
	return p, nil
}

// listen opens a socket. The device number may be that of a mount which has just
// ended, whose server has not noticed yet.
func listen(ctx context.Context, name string) (*net.UnixListener, error) {
	const poll, longest = 5 * time.Millisecond, 10 * time.Second
	for start := time.Now(); ; {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
		if !errors.Is(err, syscall.EADDRINUSE) || time.Since(start) > longest {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(poll):
		}
	}
}

func (p *presence) accept() {
	defer close(p.done)
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			p.listener.Close()
			return
		}
		p.waiting = append(p.waiting, conn)
	}
}

// retire gives the name of the socket back, since the mount has ended and the
// next one may have its device number. Whoever has connected goes on waiting.
func (p *presence) retire() {
	const linger = 10 * time.Millisecond // for those in the backlog
	if p.listener.SetDeadline(time.Now().Add(linger)) != nil {
		p.listener.Close()
	}
	<-p.done
}

// Close tells whoever waits that the store is closed.
func (p *presence) Close() error {
	p.retire()
	var err error
	for _, conn := range p.waiting {
		err = errors.Join(err, conn.Close())
	}
	return err
}

// findServer connects to the server of a mount, nil when it cannot be found:
// it is dead, or in another network namespace.
func findServer(m *mountEntry) net.Conn {
	conn, err := net.DialTimeout("unix", presenceName(m), time.Second)
	if err != nil {
		return nil
	}
	return conn
}

// awaitExit waits until the process at the other end is gone.
func awaitExit(ctx context.Context, server net.Conn, wait time.Duration) error {
	if err := server.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = server.SetReadDeadline(time.Now()) })
	defer stop()
	var buf [1]byte
	_, err := server.Read(buf[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("no end after %v", wait)
	}
	return nil
}
