package fsnode

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"pongofs/encoding"
	"pongofs/engine"
	"pongofs/engine/value"
)

func TestErrno(t *testing.T) {
	_, _, text := encoding.ParseDeclared(value.KindInt, []byte("x"))
	_, _, tooLarge := encoding.ParseDeclared(value.KindInt, []byte("99999999999999999999"))
	tests := []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{engine.ErrNotFound, syscall.ENOENT},
		{fmt.Errorf("dict a/b: %w", engine.ErrNotFound), syscall.ENOENT},
		{engine.ErrNoSpace, syscall.ENOSPC},
		{engine.ErrTooLarge, syscall.EFBIG},
		{engine.ErrPoisoned, syscall.EIO},
		{engine.ErrCorrupt, syscall.EIO},
		{engine.ErrReadOnly, syscall.EROFS},
		{text, syscall.EINVAL},
		{tooLarge, syscall.ERANGE},
		{&misfitError{1, tooLarge}, syscall.EINVAL},
		{fmt.Errorf("sync: %w", context.Canceled), syscall.EINTR},
		{errStale, syscall.ESTALE},
		{encoding.ErrReservedName, syscall.EPERM},
		{fmt.Errorf("anything else"), syscall.EIO},
	}
	for _, test := range tests {
		if got := errno(test.err); got != test.want {
			t.Errorf("errno(%v) = %v, want %v", test.err, got, test.want)
		}
	}
}
