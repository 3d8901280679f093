package engine_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// helpers are what TestHelperProcess can be told to do, by name.
var helpers = map[string]func(args []byte) error{
	"linear": helper(linProcess),
	"pins":   helper(holdPins),
}

// helper makes a function of its arguments as JSON.
func helper[A any](fn func(A) error) func([]byte) error {
	return func(b []byte) error {
		var args A
		if err := json.Unmarshal(b, &args); err != nil {
			return err
		}
		return fn(args)
	}
}

// What TestHelperProcess shall do.
const (
	helperName = "PONGOFS_TEST_HELPER"
	helperArgs = "PONGOFS_TEST_HELPER_ARGS"
)

// TestHelperProcess is not a test: other tests run it as a process of its own.
func TestHelperProcess(t *testing.T) {
	name := os.Getenv(helperName)
	if name == "" {
		t.Skip("other tests run it")
	}
	require.NoError(t, helpers[name]([]byte(os.Getenv(helperArgs))))
}

// startHelper starts a helper in a process of its own, which is killed when
// the test ends before it.
func startHelper(t *testing.T, name string, args any) *exec.Cmd {
	t.Helper()
	require.Contains(t, helpers, name)
	b, err := json.Marshal(args)
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), helperName+"="+name, fmt.Sprintf("%s=%s", helperArgs, b))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}
