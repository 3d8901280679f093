package fsnode

import (
	"context"
	"errors"
	"log/slog"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"pongofs/encoding"
	"pongofs/engine"
)

// errnos says which errno the caller of an operation gets for an error of the
// store or of the encoding; the first that matches counts. What is not here is
// EIO.
var errnos = []struct {
	err   error
	errno syscall.Errno
}{
	{engine.ErrNotFound, syscall.ENOENT},
	{engine.ErrExist, syscall.EEXIST},
	{engine.ErrNotEmpty, syscall.ENOTEMPTY},
	{engine.ErrNotContainer, syscall.ENOTDIR},
	{engine.ErrIsContainer, syscall.EISDIR},
	{engine.ErrKeyTooLong, syscall.ENAMETOOLONG},
	{engine.ErrKey, syscall.EINVAL},
	{engine.ErrKind, syscall.EINVAL},
	{engine.ErrSetting, syscall.EINVAL},
	{engine.ErrTooLarge, syscall.EFBIG},
	{engine.ErrLoop, syscall.EINVAL},
	{engine.ErrNoSpace, syscall.ENOSPC},
	{engine.ErrReadOnly, syscall.EROFS},
	{engine.ErrBusy, syscall.EBUSY},
	{engine.ErrNoXattr, syscall.ENODATA},
	{encoding.ErrNameTooLong, syscall.ENAMETOOLONG},
	{encoding.ErrReservedName, syscall.EPERM},
	{encoding.ErrBadName, syscall.EINVAL},
	{encoding.ErrRange, syscall.ERANGE},
	{encoding.ErrSyntax, syscall.EINVAL},
	{context.Canceled, syscall.EINTR},
}

// errno returns the errno for err, 0 for nil, EIO for what it does not know:
// damage, a poisoned store, a bug.
func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		if no == syscall.EFBIG && errors.Is(err, engine.ErrNoSpace) {
			return syscall.ENOSPC // it is the store that may not get longer, not the value
		}
		return no
	}
	for i := range errnos {
		if errors.Is(err, errnos[i].err) {
			return errnos[i].errno
		}
	}
	return syscall.EIO
}

// status returns what the kernel is told when op ended with err. It is the one
// place where an EIO is logged.
func (fs *fileSystem) status(op string, n *node, err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	no := errno(err)
	if no == errStale && n != nil && n.virtual == nil && n.frozen == nil && fs.isMissing(n) {
		no = syscall.ENOENT
	}
	if no == syscall.EIO {
		var id uint64
		if n != nil {
			id = n.id
		}
		fs.log.Error("input/output error", slog.String("op", op), slog.Uint64("ino", id), slog.Any("err", err))
	}
	return fuse.Status(no)
}
