package fsnode_test

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// knownPosix are the checks of posixtest that pongofs fails, with the reason.
var knownPosix = map[string]string{
	"Link":                "no hard links: an entry has one place",
	"LinkUnlinkRename":    "no hard links",
	"FcntlFlockLocksFile": "a process never conflicts with its own locks; fails on ext4 too",
}

func TestPosix(t *testing.T) {
	for name, check := range posixtest.All {
		t.Run(name, func(t *testing.T) {
			if reason, ok := knownPosix[name]; ok {
				t.Skip(reason)
			}
			check(t, newMount(t))
		})
	}
}
