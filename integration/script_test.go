package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScript runs the scripts of what users type. Each holds one behaviour.
//
// Beyond testscript's own commands there are:
//
//	pongofs ARG...             the program; ! and stdout, stderr as for exec
//	mount [-o OPTS] STORE DIR  mount in a child process, DIR is made
//	unmount DIR                unmount, wait, and check the server's exit
//	crash DIR                  kill -9 the server of DIR
//	status N CMD ARG...        run a program that must exit with N
//	eventually CMD ARG...      run a program until it succeeds, for a second
//	sh SHELL FILE              run a script of the archive by bash or dash
//	plain                      [plain] is true on a plain directory
//
// Every script ends with its mounts gone, whatever happens in it.
func TestScript(t *testing.T) {
	needFuse(t)
	runScripts(t, "testdata/script", false)
}

// TestPosixScript runs the scripts that any file system must pass.
func TestPosixScript(t *testing.T) {
	needFuse(t)
	runScripts(t, "testdata/posix", false)
}

// TestPosixScriptOnPlainDirectory runs the same scripts without a mount. What
// fails here is wrong with the script, not with pongofs.
func TestPosixScriptOnPlainDirectory(t *testing.T) {
	runScripts(t, "testdata/posix", true)
}

func runScripts(t *testing.T, dir string, plain bool) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		// testscript leaves what is here alone, so it never deletes through a
		// mount that is still there.
		WorkdirRoot: newDir(t),
		Deadline:    time.Now().Add(4 * time.Minute),
		Setup: func(env *testscript.Env) error {
			s := &script{plain: plain, mounts: map[string]*mounted{}}
			env.Values[scriptKey{}] = s
			env.Defer(s.cleanUp)
			env.Setenv("PATH", filepath.Dir(binary)+":"+os.Getenv("PATH"))
			env.Setenv("DATA", filepath.Join(repo, "data"))
			if cache, err := os.UserCacheDir(); err == nil { // for go build
				env.Setenv("GOCACHE", filepath.Join(cache, "go-build"))
			}
			env.Setenv("LC_ALL", "C.UTF-8")
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "plain" {
				return plain, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"pongofs":    cmdPongofs,
			"mount":      cmdMount,
			"unmount":    cmdUnmount,
			"crash":      cmdCrash,
			"status":     cmdStatus,
			"eventually": cmdEventually,
			"sh":         cmdSh,
		},
	})
}

// scriptKey finds the state of a script.
type scriptKey struct{}

// script is the state of one running script.
type script struct {
	plain  bool
	mounts map[string]*mounted // by absolute directory
}

func stateOf(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

func (s *script) cleanUp() {
	for _, m := range s.mounts {
		m.cleanUp()
	}
}

func cmdPongofs(ts *testscript.TestScript, neg bool, args []string) {
	if stateOf(ts).plain {
		return // there is no store; the script only uses files
	}
	execute(ts, neg, binary, args...)
}

// execute runs a program and checks whether it succeeds.
func execute(ts *testscript.TestScript, neg bool, name string, args ...string) {
	err := ts.Exec(name, args...)
	switch {
	case err != nil && !neg:
		ts.Fatalf("%s: %v", filepath.Base(name), err)
	case err == nil && neg:
		ts.Fatalf("%s succeeded unexpectedly", filepath.Base(name))
	}
}

func cmdMount(ts *testscript.TestScript, neg bool, args []string) {
	n := len(args)
	if n < 2 || neg {
		ts.Fatalf("usage: mount [-o OPTS] STORE DIR; use pongofs mount for a mount that fails")
	}
	s, store, dir := stateOf(ts), ts.MkAbs(args[n-2]), ts.MkAbs(args[n-1])
	if err := os.MkdirAll(dir, 0o755); err != nil && s.mounts[dir] == nil {
		ts.Fatalf("%v", err)
	}
	if s.plain {
		return
	}
	m, err := startMount(store, dir, args[:n-2]...)
	if err != nil {
		ts.Fatalf("%v", err)
	}
	s.mounts[dir] = m
}

// find returns the mount of a script at a directory.
func (s *script) find(ts *testscript.TestScript, args []string) *mounted {
	if len(args) != 1 {
		ts.Fatalf("usage: unmount DIR, crash DIR")
	}
	if s.plain {
		return nil
	}
	m := s.mounts[ts.MkAbs(args[0])]
	if m == nil {
		ts.Fatalf("%s is not mounted", args[0])
	}
	return m
}

func cmdUnmount(ts *testscript.TestScript, neg bool, args []string) {
	m := stateOf(ts).find(ts, args)
	if m == nil {
		return
	}
	if err := m.unmount(); (err != nil) != neg {
		ts.Fatalf("unmount %s: %v", args[0], err)
	}
}

func cmdCrash(ts *testscript.TestScript, neg bool, args []string) {
	if m := stateOf(ts).find(ts, args); m != nil {
		m.kill()
	}
}

func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: status N CMD ARG...")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("%v", err)
	}
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%s: exit status %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: eventually CMD ARG...")
	}
	// The design promises a second; a loaded machine gets many more.
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ts.Exec(args[0], args[1:]...)
		if (err == nil) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: not even after a while: %v", strings.Join(args, " "), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func cmdSh(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: sh SHELL FILE ARG...")
	}
	flags := "-eu"
	if os.Getenv("PONGOFS_TRACE") != "" {
		flags = "-eux" // which line failed
	}
	execute(ts, neg, args[0], append([]string{flags}, args[1:]...)...)
}
