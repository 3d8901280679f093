package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pongofs/engine"
	"pongofs/fsnode"
)

type mountFlags struct {
	foreground bool
	options    []string
	log        string
	readyFD    int
}

func newMountCommand() *cobra.Command {
	var f mountFlags
	cmd := &cobra.Command{
		Use:   "mount [-f] [-o OPTION,...] STORE DIR",
		Short: "Mount a store as a directory tree",
		Long: `Mount a store on an empty directory. The command returns when the mount can be
used; the server goes on in the background until pongofs umount DIR, SIGINT or
SIGTERM. A mount whose server has died is cleaned up first.

Options:
` + mountOptionHelp(),
		Example: `  mkdir mnt && pongofs mount data.pongo mnt
  pongofs mount -o ro,allow_other data.pongo /srv/data`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := parseMountOptions(f.options)
			if err != nil {
				return usageError(cmd, err)
			}
			if !f.foreground {
				return startServer(cmd.Context(), f, args[0], args[1])
			}
			return runMount(cmd.Context(), f, config, args[0], args[1])
		},
	}
	cmd.Flags().BoolVarP(&f.foreground, "foreground", "f", false, "stay in the foreground")
	cmd.Flags().StringArrayVarP(&f.options, "option", "o", nil, "mount options, separated by commas")
	cmd.Flags().StringVar(&f.log, "log", "", "append the messages of the server to this file")
	cmd.Flags().IntVar(&f.readyFD, readyFlag, -1, "")
	if err := cmd.Flags().MarkHidden(readyFlag); err != nil {
		panic(err) // the flag was added one line above
	}
	return cmd
}

// runMount serves a mount until it is unmounted or ctx is done.
func runMount(ctx context.Context, f mountFlags, config mountConfig, store, dir string) error {
	logger, err := openLog(f.log, config.fs.Debug)
	if err != nil {
		return err
	}
	dir, err = prepareMountpoint(dir)
	if err != nil {
		return err
	}
	config.fs.FsName, err = realPath(store)
	if err != nil {
		config.fs.FsName = store // openStore says what is wrong with it
	}
	config.fs.Logger = logger
	config.store.ReadOnly = false
	s, err := openStore(store, config.store)
	if config.fs.ReadOnly && (errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS)) {
		config.store.ReadOnly = true
		s, err = openStore(store, config.store)
	}
	if err != nil {
		return err
	}
	stopCollecting := func() {}
	if !config.store.ReadOnly {
		stopCollecting = collectInBackground(s, logger)
	}
	here, err := serve(ctx, f, s, config.fs, dir)
	stopCollecting()
	if closeErr := s.Close(); err == nil {
		err = storeError(store, closeErr)
	}
	// pongofs umount waits for this one, so it comes last.
	if here != nil {
		err = errors.Join(err, here.Close())
	}
	return err
}

// serve mounts s on dir and returns after the end of the mount. The caller
// closes the presence, if it is not nil, when the store is closed.
func serve(ctx context.Context, f mountFlags, s *engine.Store, o fsnode.Options, dir string) (*presence, error) {
	server, err := fsnode.Mount(dir, fsnode.FromEngine(s), o)
	if err != nil {
		return nil, mountError(dir, err)
	}
	ended := make(chan struct{})
	go func() {
		server.Wait()
		close(ended)
	}()
	here, err := announce(ctx, dir)
	if err == nil {
		defer here.retire()
		err = tellReady(f.readyFD, f.log)
	}
	if err == nil {
		select {
		case <-ended:
			return here, nil
		case <-ctx.Done():
		}
	}
	if unmountErr := detach(dir, ended); err == nil {
		err = unmountErr
	}
	return here, err
}

// mountError describes why the kernel or fusermount3 refused a mount.
func mountError(dir string, err error) error {
	message := dir + ": " + strings.TrimSpace(strings.TrimPrefix(err.Error(), "mount "+dir+": "))
	device, openErr := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	switch {
	case openErr == nil:
		device.Close()
	case errors.Is(openErr, os.ErrPermission):
		message += "; this user may not open /dev/fuse: chmod it to 0666, as udev does, or mount as root"
	default:
		message += "; /dev/fuse cannot be opened: load the fuse module, or give the container the device"
	}
	return &describedError{message, err}
}

// openLog returns the log of the server: a file, or standard error. Requests
// are logged at level debug.
func openLog(name string, debug bool) (*slog.Logger, error) {
	var w io.Writer = os.Stderr
	if name != "" {
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return nil, pathError(err)
		}
		w = file
	}
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if debug {
		options.Level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, options)), nil
}

// prepareMountpoint returns the real path of an empty directory, after
// cleaning up a mount of ours whose server has died.
func prepareMountpoint(dir string) (string, error) {
	path, err := realPath(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("%s: no such directory; make it with: mkdir -p %s", dir, dir)
		}
		return "", pathError(err)
	}
	// Mounts may lie on one another, each with a dead server.
	for {
		m, mounted, err := mountAt(path)
		if err != nil {
			return "", err
		}
		if !mounted || m.fsType != fsType {
			break
		}
		if !isDead(path) {
			return "", fmt.Errorf("%s: %s is mounted here already; unmount it with: pongofs umount %s", dir, m.source, dir)
		}
		if err := unmount(path, true); err != nil {
			return "", fmt.Errorf("%s: a dead mount of %s is in the way: %w", dir, m.source, err)
		}
	}
	return path, checkEmpty(path, dir)
}

// checkEmpty reports why path, shown as dir, is not an empty directory.
func checkEmpty(path, dir string) error {
	f, err := os.Open(path)
	if err != nil {
		return pathError(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return pathError(err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: is not a directory", dir)
	}
	if _, err := f.Readdirnames(1); err == nil {
		return fmt.Errorf("%s: the directory is not empty; mount on an empty one", dir)
	} else if err != io.EOF {
		return pathError(err)
	}
	return nil
}

// isDead reports whether the mount at path has lost its server. It asks for
// what the kernel does not cache: attributes are served from memory for a
// while after the death.
func isDead(path string) bool {
	var st syscall.Statfs_t
	return isDeadMount(syscall.Statfs(path, &st))
}

// isDeadMount reports whether err is that of a mount without a server.
func isDeadMount(err error) bool {
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED)
}

// detach unmounts dir from inside the server. While somebody uses the mount
// it is taken out of the tree at once and its users get a moment to finish.
func detach(dir string, ended <-chan struct{}) error {
	err := unmount(dir, false)
	if errors.Is(err, syscall.EBUSY) {
		err = unmount(dir, true)
	}
	if err != nil {
		select {
		case <-ended: // somebody else was faster
			return nil
		default:
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	const grace = 3 * time.Second
	select {
	case <-ended:
	case <-time.After(grace):
	}
	return nil
}
