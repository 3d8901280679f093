package gc

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"pongofs/engine"
)

// Pace says when Run starts a full collection. The zero value is a sensible
// default.
type Pace struct {
	// Look is how often the figures are looked at, 1 s by default.
	Look time.Duration
	// Growth is by which part of its size the file must have grown since the
	// last full collection, 0.5 by default.
	Growth float64
	// MinGrowth is how many bytes the file must have grown at least, 64 MiB by
	// default.
	MinGrowth int64
	// MaxLost is how many bytes closing processes may have left behind, 8 MiB by
	// default.
	MaxLost int64
	// Patience bounds the wait for readers of older versions, 10 s by default.
	Patience time.Duration
	// Log receives a line for each full collection; nil for none.
	Log *slog.Logger
}

func (p *Pace) fill() {
	if p.Look <= 0 {
		p.Look = time.Second
	}
	if p.Growth <= 0 {
		p.Growth = 0.5
	}
	if p.MinGrowth <= 0 {
		p.MinGrowth = 64 << 20
	}
	if p.MaxLost <= 0 {
		p.MaxLost = 8 << 20
	}
	if p.Patience <= 0 {
		p.Patience = 10 * time.Second
	}
}

// Run collects in the background until ctx ends or the store is closed. What a
// quick pass frees the engine frees by itself; Run starts a full pass when a
// process has died, since what it had allocated is lost until then, when a
// snapshot was dropped, since nothing else finds what it held, when closing
// processes have left much behind or a collection was broken off, and when the file
// has grown much.
//
// All of that is in the shm, and since when: so it does not matter which process
// has seen it happen, nor when this Run began, and each reason starts one
// collection, however many processes run this.
func (c *Collector) Run(ctx context.Context, p Pace) {
	p.fill()
	tick := time.NewTicker(p.Look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		leave, err := c.in.Enter()
		if err != nil {
			return
		}
		why := c.due(p)
		leave()
		if why == "" {
			continue
		}
		c.in.At("gc.due")
		// Asked again under the lease: another process may just have done it.
		st, err := c.fullWithin(ctx, p.Patience, func() bool {
			why = c.due(p)
			return why != ""
		})
		switch {
		case errors.Is(err, ErrRunning), errors.Is(err, errNotDue):
			// The collection of another process may have begun before the reason
			// came up: the next look tells.
		case p.Log == nil:
		case err != nil:
			p.Log.Warn("collection failed", "why", why, "err", err)
		default:
			p.Log.Info("collected", "why", why, "live", st.LiveBytes, "freed", st.FreedBytes,
				"wait", st.Wait, "mark", st.Mark, "sweep", st.Sweep)
		}
	}
}

// due says why a full collection should begin now, "" if there is no reason. It
// goes by the shm alone. The caller keeps the store open.
func (c *Collector) due(p Pace) string {
	hdr := c.in.Header()
	slabs := hdr.Slabs.Load()
	// In a new shm no growth is known.
	hdr.GCSlabs.CompareAndSwap(0, slabs)
	before := hdr.GCSlabs.Load()
	grown := (int64(slabs) - int64(before)) * engine.SlabBytes
	switch {
	case hdr.Deaths.Load() != hdr.DeathsDone.Load():
		return "a process died"
	case hdr.GCOpen.Load() != 0:
		return "a collection was broken off"
	case hdr.Dropped.Load() != hdr.DroppedDone.Load():
		return "a snapshot was dropped"
	case hdr.Lost.Load() >= p.MaxLost:
		return "closing processes left space behind"
	case grown >= p.MinGrowth && float64(slabs) >= float64(before)*(1+p.Growth):
		return "the file has grown"
	}
	return ""
}

func (c *Collector) fullWithin(ctx context.Context, patience time.Duration, due func() bool) (Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.full(ctx, due)
}
