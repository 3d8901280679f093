package main

import (
	"context"
	"io"
	"os"
	"syscall"
)

// pipeLook is how often, in milliseconds, a wait for the end of a pipe's reader
// looks whether its own context has ended.
const pipeLook = 200

// untilClosed returns a context that also ends when out is a pipe, socket or
// terminal whose reader has gone. A command that writes seldom would not notice
// that for long.
func untilClosed(ctx context.Context, out io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	f, ok := out.(*os.File)
	if !ok {
		return ctx, cancel
	}
	poll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return ctx, cancel // the next write will tell
	}
	fd := int(f.Fd())
	// No event is asked for: an error and a hang-up are always told. A regular
	// file has neither, which is the error here.
	if err := syscall.EpollCtl(poll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{}); err != nil {
		_ = syscall.Close(poll)
		return ctx, cancel
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var events [1]syscall.EpollEvent
		for ctx.Err() == nil {
			if n, _ := syscall.EpollWait(poll, events[:], pipeLook); n > 0 {
				cancel()
			}
		}
	}()
	return ctx, func() {
		cancel()
		<-done
		_ = syscall.Close(poll)
	}
}
