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
// snapshot was dropped, since nothing else finds what it held, and when the file
// has grown much.
func (c *Collector) Run(ctx context.Context, p Pace) {
	p.fill()
	hdr := c.in.Header()
	leave, err := c.in.Enter()
	if err != nil {
		return
	}
	deaths, slabs := hdr.Deaths.Load(), hdr.Slabs.Load()
	leave()
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
		died, now, lost := hdr.Deaths.Load(), hdr.Slabs.Load(), hdr.Lost.Load()
		dropped := hdr.Dropped.Load() != hdr.DroppedDone.Load()
		leave()
		grown := (int64(now) - int64(slabs)) * engine.SlabBytes
		if died == deaths && !dropped && lost < p.MaxLost && (grown < p.MinGrowth || float64(now) < float64(slabs)*(1+p.Growth)) {
			continue
		}
		st, err := c.fullWithin(ctx, p.Patience)
		switch {
		case errors.Is(err, ErrRunning):
			// Another process is at it, for the same reasons.
		case err != nil:
			if p.Log != nil {
				p.Log.Warn("collection failed", "err", err)
			}
			continue
		case p.Log != nil:
			p.Log.Info("collected", "live", st.LiveBytes, "freed", st.FreedBytes,
				"wait", st.Wait, "mark", st.Mark, "sweep", st.Sweep)
		}
		deaths, slabs = died, now
	}
}

func (c *Collector) fullWithin(ctx context.Context, patience time.Duration) (Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.Full(ctx)
}
