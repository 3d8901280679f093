package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"pongofs/engine"
)

type infoOptions struct {
	json bool
}

func newInfoCommand() *cobra.Command {
	var o infoOptions
	cmd := &cobra.Command{
		Use:     "info STORE",
		Short:   "Show the figures of a store",
		Example: `  pongofs info data.pongo`,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runInfo(o, cmd.OutOrStdout(), args[0])
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "write a JSON object")
	return cmd
}

// infoJSON is what --json tells about a store; scripts rely on the names.
type infoJSON struct {
	UUID       string      `json:"uuid"`
	Path       string      `json:"path"`
	Entries    uint64      `json:"entries"`
	Seq        uint64      `json:"seq"`
	DurableSeq uint64      `json:"durable_seq"`
	FileBytes  int64       `json:"file_bytes"`
	UsedBytes  int64       `json:"used_bytes"`
	LimboBytes int64       `json:"limbo_bytes"`
	ChunkSize  int64       `json:"chunk_size"`
	FreeDisk   int64       `json:"free_disk_bytes"`
	Processes  int         `json:"processes"`
	Pins       int         `json:"pins"`
	NamedPins  int         `json:"named_pins"`
	Snapshots  uint64      `json:"snapshots"`
	Mounts     []mountJSON `json:"mounts"`

	LiveBytes     int64               `json:"live_bytes"`
	RoundingBytes int64               `json:"rounding_bytes"`
	GarbageBytes  int64               `json:"garbage_bytes"`
	FreeBytes     int64               `json:"free_bytes"`
	ReservedBytes int64               `json:"reserved_bytes"`
	Objects       map[string]kindJSON `json:"objects"`
	Collection    *collectionJSON     `json:"last_collection"`
}

// kindJSON is what the objects of one kind take.
type kindJSON struct {
	Count    int64 `json:"count"`
	Bytes    int64 `json:"bytes"`
	Rounding int64 `json:"rounding_bytes"`
}

// collectionJSON is the last full collection, null when there was none.
type collectionJSON struct {
	Count   uint64    `json:"count"`
	Time    time.Time `json:"time"`
	Freed   int64     `json:"freed_bytes"`
	Seconds float64   `json:"seconds"`
}

// mountJSON is one mount of the store.
type mountJSON struct {
	Dir      string `json:"dir"`
	ReadOnly bool   `json:"read_only"`
}

func runInfo(o infoOptions, out io.Writer, store string) error {
	return withReadableStore(store, func(s *engine.Store) error {
		stats, err := s.Stats()
		if err != nil {
			return err
		}
		usage, err := s.Usage()
		if err != nil {
			return err
		}
		mounts, err := mountsOf(store)
		if err != nil {
			return err
		}
		info := infoJSON{
			stats.UUID, store, stats.Entries, stats.Seq, stats.DurableSeq,
			stats.FileBytes, usage.Live.Bytes + usage.Garbage, stats.LimboBytes, stats.ChunkSize, stats.FreeDisk,
			stats.Processes, stats.Pins, stats.NamedPins, stats.Snapshots,
			[]mountJSON{},
			usage.Live.Bytes, usage.Live.Rounding, usage.Garbage, usage.Free, usage.Reserved,
			map[string]kindJSON{},
			nil,
		}
		for name, k := range usage.ByKind {
			info.Objects[name] = kindJSON{k.Objects, k.Bytes, k.Rounding}
		}
		if c := usage.LastGC; !c.Time.IsZero() {
			info.Collection = &collectionJSON{c.Count, c.Time, c.Freed, c.Took.Seconds()}
		}
		for _, m := range mounts {
			info.Mounts = append(info.Mounts, mountJSON{m.dir, m.readOnly()})
		}
		if o.json {
			return newJSONEncoder(out).Encode(info)
		}
		return printInfo(out, &info)
	})
}

func printInfo(out io.Writer, info *infoJSON) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	bytes := func(n int64) string { return fmt.Sprintf("%s (%d bytes)", humanize.IBytes(uint64(max(n, 0))), n) }
	fmt.Fprintf(w, "store\t%s\n", info.Path)
	fmt.Fprintf(w, "uuid\t%s\n", info.UUID)
	fmt.Fprintf(w, "entries\t%d\n", info.Entries)
	fmt.Fprintf(w, "snapshots\t%d\n", info.Snapshots)
	fmt.Fprintf(w, "version\t%d, durable %d\n", info.Seq, info.DurableSeq)
	fmt.Fprintf(w, "file\t%s\n", bytes(info.FileBytes))
	short := func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
	fmt.Fprintf(w, "live\t%s, %s of it rounding\n", bytes(info.LiveBytes), short(info.RoundingBytes))
	fmt.Fprintf(w, "garbage\t%s, %s of it awaiting reuse\n", short(info.GarbageBytes), short(info.LimboBytes))
	fmt.Fprintf(w, "free\t%s, and %s are reserved\n", short(info.FreeBytes), short(info.ReservedBytes))
	for _, name := range slices.Sorted(maps.Keys(info.Objects)) {
		k := info.Objects[name]
		fmt.Fprintf(w, "\t%s in %s\n", short(k.Bytes), plural(uint64(k.Count), name, pluralOf(name)))
	}
	if c := info.Collection; c != nil {
		fmt.Fprintf(w, "collected\t%s, freed %s in %.0f ms\n", c.Time.Format(time.DateTime), short(c.Freed), c.Seconds*1e3)
	}
	fmt.Fprintf(w, "grows by\t%s\n", humanize.IBytes(uint64(info.ChunkSize)))
	fmt.Fprintf(w, "disk free\t%s\n", humanize.IBytes(uint64(max(info.FreeDisk, 0))))
	fmt.Fprintf(w, "open by\t%s, this command included; %s, %s\n",
		plural(uint64(info.Processes), "process", "processes"), plural(uint64(info.Pins), "pin", "pins"), plural(uint64(info.NamedPins), "named pin", "named pins"))
	for _, m := range info.Mounts {
		mode := "read-write"
		if m.ReadOnly {
			mode = "read-only"
		}
		fmt.Fprintf(w, "mounted\t%s, %s\n", m.Dir, mode)
	}
	return w.Flush()
}

// pluralOf returns the plural of the name of a kind of object.
func pluralOf(name string) string {
	if name == "leaf" {
		return "leaves"
	}
	return name + "s"
}
