package fsnode

import (
	"fmt"
	"os"
	"strings"
)

// overtakes reports whether a notification about a name may overtake a reply that
// brings the name: Linux 6.19 to 7.1 take the lock of the directory only if they have
// the name already (commit c9ba789dad15 and its repair, reverted in 7.2). What is
// repaired in later releases of these lines is not told from the others.
func overtakes(release string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major == 6 && minor >= 19 || major == 7 && minor < 2
}

// kernelRelease returns the release of the running kernel, such as 6.18.44-generic.
func kernelRelease() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
