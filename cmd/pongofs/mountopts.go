package main

import (
	"fmt"
	"strings"
	"syscall"

	"pongofs/engine"
	"pongofs/fsnode"
)

// mountConfig is what the -o options of a mount ask for.
type mountConfig struct {
	store engine.Options
	fs    fsnode.Options
}

// mountOption is one word after -o.
type mountOption struct {
	name  string
	help  string
	apply func(*mountConfig)
}

// mountOptions returns the options that mount knows. Those that mount(8)
// handles itself or that a mount of ours always has do nothing.
func mountOptions() []mountOption {
	return []mountOption{
		{"ro", "refuse writes", func(c *mountConfig) { c.fs.ReadOnly = true }},
		{"rw", "permit writes (default)", func(c *mountConfig) { c.fs.ReadOnly = false }},
		{"allow_other", "let other users in, with the permissions of the files", func(c *mountConfig) { c.fs.AllowOther = true }},
		{"sync", "make each change durable before it returns", func(c *mountConfig) { c.store.SyncEach = true }},
		{"strict", "cache nothing: see every change of other processes at once", func(c *mountConfig) { c.fs.Strict = true }},
		{"noexec", "do not run programs from the mount", func(c *mountConfig) { c.fs.Flags |= syscall.MS_NOEXEC }},
		{"debug", "print each request to standard error (with -f)", func(c *mountConfig) { c.fs.Debug = true }},
		{"defaults", "", func(*mountConfig) {}},
		{"nosuid", "", func(*mountConfig) {}},
		{"nodev", "", func(*mountConfig) {}},
		{"async", "", func(*mountConfig) {}},
		{"exec", "", func(*mountConfig) {}},
		{"noatime", "", func(*mountConfig) {}},
		{"relatime", "", func(*mountConfig) {}},
	}
}

// mountOptionHelp lists the options for the help text.
func mountOptionHelp() string {
	var b strings.Builder
	for _, o := range mountOptions() {
		if o.help != "" {
			fmt.Fprintf(&b, "  %-12s %s\n", o.name, o.help)
		}
	}
	return b.String()
}

// parseMountOptions reads comma-separated options.
func parseMountOptions(lists []string) (mountConfig, error) {
	var c mountConfig
	known := mountOptions()
next:
	for word := range strings.SplitSeq(strings.Join(lists, ","), ",") {
		if word == "" {
			continue
		}
		for _, o := range known {
			if o.name == word {
				o.apply(&c)
				continue next
			}
		}
		names := make([]string, len(known))
		for i, o := range known {
			names[i] = o.name
		}
		return mountConfig{}, fmt.Errorf("-o %s: unknown option; known are %s", word, strings.Join(names, ", "))
	}
	return c, nil
}
