package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"pongofs/engine"
)

// Exit codes. Scripts rely on them, so they are never reused. diff has its
// own, as diff(1): 0 equal, 1 different, 2 trouble. watch adds exitGone.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// exitError carries an exit code. A nil err prints nothing.
type exitError struct {
	code int
	err  error
}

// Error returns the message of the wrapped error.
func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

// Unwrap returns the wrapped error.
func (e *exitError) Unwrap() error { return e.err }

// report prints err as one line and returns the exit code it asks for.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitFailed
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
		if exit.err == nil {
			return code
		}
	} else if strings.HasPrefix(err.Error(), "unknown command") {
		// cobra has no type for this one.
		code = exitUsage
		err = fmt.Errorf("%s; try pongofs --help", firstLine(err.Error()))
	}
	fmt.Fprintf(w, "pongofs: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
	return code
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// usageError is an error that tells how the command is meant to be called.
func usageError(cmd *cobra.Command, err error) error {
	return &exitError{exitUsage, fmt.Errorf("%s: %w; usage: %s", cmd.Name(), err, cmd.UseLine())}
}

// negative matches arguments that look like flags but are values.
var negative = regexp.MustCompile(`^-([0-9.]|inf$)`)

// numberGuard marks such an argument until the flags are parsed. No argument
// of a process can contain it.
const numberGuard = "\x00"

// guardNumbers lets values such as -5 pass the flag parser, so that nobody
// has to write -- before them. No flag of ours is a digit.
func guardNumbers(args []string) []string {
	guarded := make([]string, len(args))
	for i, arg := range args {
		if negative.MatchString(arg) {
			arg = numberGuard + arg
		}
		guarded[i] = arg
	}
	return guarded
}

// usageArgs makes a wrong number of arguments a usage error, and takes the
// guards off. Every command uses it.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for i := range args {
			args[i] = strings.TrimPrefix(args[i], numberGuard)
		}
		if err := check(cmd, args); err != nil {
			if cmd.HasSubCommands() {
				return err
			}
			return usageError(cmd, err)
		}
		return nil
	}
}

// remedies say what to do about the errors that users meet.
var remedies = []struct {
	err    error
	remedy string
}{
	{engine.ErrNotStore, "check the file name, or make a store with pongofs create"},
	{engine.ErrVersion, "use the version of pongofs that made it"},
	{engine.ErrNoSpace, "free disk space or remove entries, then try again; nothing was changed"},
	{syscall.ENOSPC, "free disk space, then try again; nothing was changed"},
	{engine.ErrBusy, "try again when the other user of the store has finished"},
	{engine.ErrPoisoned, "unmount it everywhere, check the disk, and open it again"},
	{engine.ErrCorrupt, "restore it from a backup"},
	{engine.ErrKeyTooLong, fmt.Sprintf("a key has at most %d bytes", engine.MaxKeyBytes)},
}

// storeError describes what went wrong with a store file: the object, the
// cause, the remedy.
func storeError(store string, err error) error {
	if err == nil {
		return nil
	}
	var exit *exitError
	if errors.As(err, &exit) {
		return err
	}
	message := err.Error()
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) && strings.HasPrefix(filepath.Base(pathErr.Path), filepath.Base(store)) {
		message = pathErr.Err.Error()
	}
	if abs, err := filepath.Abs(store); err == nil {
		message = strings.TrimPrefix(message, abs+": ")
	}
	if !strings.HasPrefix(message, store+":") {
		message = store + ": " + message
	}
	for _, r := range remedies {
		if errors.Is(err, r.err) {
			return &describedError{message + "; " + r.remedy, err}
		}
	}
	return &describedError{message, err}
}

// describedError replaces the text of an error and keeps its identity.
type describedError struct {
	text string
	err  error
}

// Error returns the text.
func (e *describedError) Error() string { return e.text }

// Unwrap returns the described error.
func (e *describedError) Unwrap() error { return e.err }
