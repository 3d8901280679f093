package fsnode

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKernelsThatOvertake(t *testing.T) {
	for release, want := range map[string]bool{
		"5.15.0-91-generic": false, "6.18.44-fc": false, "6.19.0": true, "6.19-rc3": true, "6.19.11-arch1-1": true,
		"7.0.3": true, "7.1.0-rc5-00426-g670b77dfebe7": true, "7.2.0": false, "7.10.1": false, "": false, "odd": false,
	} {
		require.Equal(t, want, overtakes(release), release)
	}
}
