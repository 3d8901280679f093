package enginetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"pongofs/engine/mapping"
)

// PowerCut cuts the power at random moments of a workload and checks what is
// left.
type PowerCut struct {
	*Disk
	check func(Image) error
	want  int // images
	limit int // failures that are enough

	mu       sync.Mutex
	images   int
	half     int
	refused  int
	failures []error
}

// NewPowerCut returns a PowerCut of the disk that ends after a number of images,
// or of failures.
func NewPowerCut(d *Disk, images, failures int, check func(Image) error) *PowerCut {
	return &PowerCut{Disk: d, check: check, want: images, limit: failures}
}

// More reports whether the workload shall go on.
func (c *PowerCut) More() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.images < c.want && len(c.failures) < c.limit
}

// Result returns how many images were checked, how many of them fell into a
// checkpoint that was half done, and what was wrong with any.
func (c *PowerCut) Result() (images, half int, failures []error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.images, c.half, c.failures
}

// Refused returns how many of the images have a whole record that was not true,
// because something that it lists was missing.
func (c *PowerCut) Refused() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// Fail notes a failure of the workload itself.
func (c *PowerCut) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, err)
}

// InCheckpoint reports whether a point of the engine is one of a checkpoint.
func InCheckpoint(point string) bool { return strings.HasPrefix(point, "checkpoint.") }

// often is once in how many times the power is cut at the points that are not
// in a checkpoint, of which there are many.
const often = 400

// At is the hook of a process at a point of the engine.
func (c *PowerCut) At(process, point string) {
	if !InCheckpoint(point) {
		if c.roll(often) {
			c.cutNow(process, point)
		}
		return
	}
	c.step(process, point)
	if err := c.remember(); err != nil {
		c.Fail(err)
	}
	if c.roll(3) {
		c.cutNow(process, point)
	}
	c.linger()
}

// Synced is the hook of a sync of a process.
func (c *PowerCut) Synced(process string) error {
	return c.sync(process, func() {
		if c.roll(3) {
			c.cutNow(process, "sync")
		}
		c.linger()
	})
}

// linger keeps a checkpoint half done for a while, so that others come to their
// points meanwhile.
func (c *PowerCut) linger() {
	if c.roll(3) {
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
	}
}

// cutNow cuts the power.
func (c *PowerCut) cutNow(process, point string) {
	if c.aside(process, point) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.images >= c.want || len(c.failures) >= c.limit {
		return
	}
	image, ok, err := c.cut()
	if !ok && err == nil {
		return
	}
	c.images++
	if image.Half {
		c.half++
	}
	if image.Refused > 0 {
		c.refused++
	}
	if err == nil {
		err = c.check(image)
	}
	if err != nil {
		c.failures = append(c.failures, fmt.Errorf("image %d at %s: %w", c.images, point, err))
	}
}

// Hooks returns the hooks of a store that this process has open.
func (c *PowerCut) Hooks(process string) (func(point string), *mapping.Hooks) {
	return func(point string) { c.At(process, point) },
		&mapping.Hooks{Sync: func() error { return c.Synced(process) }}
}

// Serve answers the hooks of other processes until the listener is closed and
// none of them waits.
func (c *PowerCut) Serve(l net.Listener) {
	var asked sync.WaitGroup
	for {
		conn, err := l.Accept()
		if err != nil {
			break
		}
		asked.Go(func() {
			defer conn.Close()
			line, err := bufio.NewReader(conn).ReadString('\n')
			f := strings.Fields(line)
			if err != nil || len(f) != 2 {
				return // the process was killed
			}
			answer := "ok"
			switch point := f[1]; {
			case point == "sync":
				if err := c.Synced(f[0]); err != nil {
					c.Fail(err)
					answer = "failed"
				}
			case InCheckpoint(point):
				c.At(f[0], point)
			default:
				c.cutNow(f[0], point) // the other process has rolled the dice
			}
			_, _ = fmt.Fprintln(conn, answer)
		})
	}
	asked.Wait()
}

// RemoteHooks returns hooks that ask the process that serves at a socket.
func RemoteHooks(socket, process string) (func(point string), *mapping.Hooks) {
	ask := func(what string) error {
		var dialer net.Dialer
		conn, err := dialer.DialContext(context.Background(), "unix", socket)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := fmt.Fprintln(conn, process, what); err != nil {
			return err
		}
		answer, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && answer != "ok\n" {
			err = errors.New("the power cut tester failed")
		}
		return err
	}
	hook := func(point string) {
		// Most points are not worth a question. Those of the recovery are sentences.
		if !InCheckpoint(point) && rand.IntN(often) != 0 || strings.Contains(point, " ") {
			return
		}
		if err := ask(point); err != nil && InCheckpoint(point) {
			panic(fmt.Sprintf("power cut tester: %v", err)) // its parent is gone
		}
	}
	return hook, &mapping.Hooks{Sync: func() error { return ask("sync") }}
}
