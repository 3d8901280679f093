package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

var openCases = []posixCase{
	{"open/flags", func(c *posix) {
		c.file("f", 0o644)
		c.dir("d", 0o755)
		c.link("f", "l")
		c.link("nowhere", "dangling")
		c.link("d", "ld")
		for _, test := range []struct {
			name  string
			path  string
			flags int
			want  unix.Errno
		}{
			{"O_CREAT|O_EXCL of a file", "f", unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY, unix.EEXIST},
			{"O_CREAT|O_EXCL of a directory", "d", unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY, unix.EEXIST},
			{"O_CREAT|O_EXCL of a link", "l", unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY, unix.EEXIST},
			{"O_CREAT|O_EXCL of a dangling link", "dangling", unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY, unix.EEXIST},
			{"O_DIRECTORY of a file", "f", unix.O_DIRECTORY, unix.ENOTDIR},
			{"O_DIRECTORY of a link to a file", "l", unix.O_DIRECTORY, unix.ENOTDIR},
			{"O_DIRECTORY of a link to a directory", "ld", unix.O_DIRECTORY, 0},
			{"O_DIRECTORY|O_NOFOLLOW of a link to a directory", "ld", unix.O_DIRECTORY | unix.O_NOFOLLOW, unix.ENOTDIR},
			{"O_NOFOLLOW of a link", "l", unix.O_NOFOLLOW, unix.ELOOP},
			{"O_NOFOLLOW of a file", "f", unix.O_NOFOLLOW, 0},
			{"O_CREAT|O_NOFOLLOW of a link", "dangling", unix.O_CREAT | unix.O_NOFOLLOW | unix.O_WRONLY, unix.ELOOP},
			{"O_CREAT|O_DIRECTORY", "new", unix.O_CREAT | unix.O_DIRECTORY, unix.EINVAL},
			{"O_WRONLY of a directory", "d", unix.O_WRONLY, unix.EISDIR},
			{"O_RDWR of a directory", "d", unix.O_RDWR, unix.EISDIR},
			{"O_TRUNC of a directory", "d", unix.O_RDONLY | unix.O_TRUNC, unix.EISDIR},
			{"O_CREAT of a directory", "d", unix.O_CREAT, unix.EISDIR},
			{"O_RDWR of a missing file", "none", unix.O_RDWR, unix.ENOENT},
			{"O_TMPFILE for reading alone", ".", unix.O_TMPFILE, unix.EINVAL},
			{"O_TMPFILE in a file", "f", unix.O_TMPFILE | unix.O_RDWR, unix.ENOTDIR},
			{"O_TMPFILE in nothing", "none", unix.O_TMPFILE | unix.O_RDWR, unix.ENOENT},
			{"O_TMPFILE", "d", unix.O_TMPFILE | unix.O_RDWR, 0},
			{"O_PATH of a link", "l", unix.O_PATH | unix.O_NOFOLLOW, 0},
			{"O_DIRECT", "f", unix.O_DIRECT, 0},
			{"O_NOATIME", "f", unix.O_NOATIME, 0},
			{"O_SYNC", "f", unix.O_RDWR | unix.O_SYNC, 0},
			{"O_NONBLOCK", "f", unix.O_RDONLY | unix.O_NONBLOCK, 0},
		} {
			err := openErr(test.path, test.flags, 0o644)
			if test.want == 0 {
				c.try(test.name, err)
			} else {
				c.want(test.want, test.name, err)
			}
		}
		c.want(unix.ENOENT, "what a refused O_CREAT leaves", unix.Access("new", unix.F_OK))
		c.want(unix.ENOENT, "what a refused O_CREAT leaves behind a link", unix.Access("nowhere", unix.F_OK))
		c.try("O_CREAT through a dangling link", openErr("dangling", unix.O_CREAT|unix.O_WRONLY, 0o644))
		c.try("the file behind the link", unix.Access("nowhere", unix.F_OK))
		c.as(someUser, someGroup, func() {
			c.want(unix.EPERM, "O_NOATIME of another's file", openErr("f", unix.O_NOATIME, 0))
			c.want(unix.EACCES, "O_TMPFILE in another's directory", openErr("d", unix.O_TMPFILE|unix.O_RDWR, 0o644))
		})
		c.content("f", "f")
	}},
	{"open/mode of what is new does not count for its maker", func(c *posix) {
		fd := c.open("f", unix.O_CREAT|unix.O_RDWR, 0)
		_, err := unix.Write(fd, []byte("text"))
		c.try("write", err)
		c.mode("f", 0)
		c.dir("d", 0o777)
		c.as(someUser, someGroup, func() {
			fd := c.open("d/f", unix.O_CREAT|unix.O_RDWR, 0)
			_, err := unix.Write(fd, []byte("text"))
			c.try("write by a user", err)
			c.want(unix.EACCES, "open once more", openErr("d/f", unix.O_RDWR, 0))
		})
	}},
	{"open/modes of descriptors", func(c *posix) {
		c.file("f", 0o644)
		buf := make([]byte, 4)
		_, err := unix.Read(c.open("f", unix.O_WRONLY, 0), buf)
		c.want(unix.EBADF, "read of O_WRONLY", err)
		_, err = unix.Write(c.open("f", unix.O_RDONLY, 0), buf)
		c.want(unix.EBADF, "write of O_RDONLY", err)
		c.want(unix.EINVAL, "ftruncate of O_RDONLY", unix.Ftruncate(c.open("f", unix.O_RDONLY, 0), 0))
		c.want(unix.EBADF, "fallocate of O_RDONLY", unix.Fallocate(c.open("f", unix.O_RDONLY, 0), 0, 0, 10))
		_, err = unix.Read(c.open(".", unix.O_RDONLY, 0), buf)
		c.want(unix.EISDIR, "read of a directory", err)
		_, err = unix.ReadDirent(c.open("f", unix.O_RDONLY, 0), make([]byte, 4096))
		c.want(unix.ENOTDIR, "getdents of a file", err)
		fd := c.open("f", unix.O_PATH, 0)
		_, err = unix.Read(fd, buf)
		c.want(unix.EBADF, "read of O_PATH", err)
		c.want(unix.EBADF, "fchmod of O_PATH", unix.Fchmod(fd, 0o600))
		c.want(unix.EBADF, "ftruncate of O_PATH", unix.Ftruncate(fd, 0))
		var st unix.Stat_t
		c.try("fstat of O_PATH", unix.Fstat(fd, &st))
		equal(c, "size by O_PATH", st.Size, 1)
		link := make([]byte, 10)
		c.link("target", "l")
		n, err := unix.Readlinkat(c.open("l", unix.O_PATH|unix.O_NOFOLLOW, 0), "", link)
		c.try("readlinkat of O_PATH", err)
		equal(c, "target by O_PATH", string(link[:max(n, 0)]), "target")
		_, err = unix.Mmap(c.open("f", unix.O_WRONLY, 0), 0, 1, unix.PROT_READ, unix.MAP_SHARED)
		c.want(unix.EACCES, "mmap of O_WRONLY", err)
		_, err = unix.Mmap(c.open("f", unix.O_RDONLY, 0), 0, 1, unix.PROT_WRITE, unix.MAP_SHARED)
		c.want(unix.EACCES, "shared writable mmap of O_RDONLY", err)
		_, err = unix.Mmap(c.open(".", unix.O_RDONLY, 0), 0, 1, unix.PROT_READ, unix.MAP_SHARED)
		c.want(unix.ENODEV, "mmap of a directory", err)
		c.content("f", "f")
	}},
	{"open/a file without a name", func(c *posix) {
		fd := c.open(".", unix.O_TMPFILE|unix.O_RDWR, 0o640)
		var st unix.Stat_t
		c.try("fstat", unix.Fstat(fd, &st))
		equal(c, "links", uint64(st.Nlink), 0)
		equal(c, "mode", st.Mode, uint32(unix.S_IFREG|0o640))
		names, err := os.ReadDir(".")
		c.try("list", err)
		equal(c, "names", len(names), 0)
	}},
	{"open/ETXTBSY", func(c *posix) {
		sleep, err := exec.LookPath("sleep")
		c.need("find sleep", err)
		program, err := os.ReadFile(sleep)
		c.need("read sleep", err)
		c.need("write", os.WriteFile("sleep", program, 0o755))
		cmd := exec.Command("./sleep", "60")
		c.need("run", cmd.Start())
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		// In a mount the kernel drops the pages of a program at the O_TRUNC that it then
		// refuses, so it should need none.
		for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(time.Millisecond) {
			where, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", cmd.Process.Pid))
			if err != nil || strings.Contains(string(where), "nanosleep") {
				break
			}
		}
		c.want(unix.ETXTBSY, "open for writing of a running program", openErr("sleep", unix.O_WRONLY, 0))
		c.want(unix.ETXTBSY, "O_TRUNC of a running program", openErr("sleep", unix.O_RDONLY|unix.O_TRUNC, 0))
		c.want(unix.ETXTBSY, "truncate of a running program", unix.Truncate("sleep", 0))
		c.try("chmod of a running program", unix.Chmod("sleep", 0o700))
		c.try("rename of a running program", unix.Rename("sleep", "other"))
		kept, err := os.ReadFile("other")
		c.need("read it", err)
		equal(c, "a running program", string(kept) == string(program), true)
		c.try("unlink of a running program", unix.Unlink("other"))

		c.need("write", os.WriteFile("busy", program, 0o755))
		c.open("busy", unix.O_WRONLY, 0)
		c.want(unix.ETXTBSY, "run of a file that is open for writing", exec.Command("./busy", "0").Run())
	}},
	{"open/running", func(c *posix) {
		c.need("write", os.WriteFile("script", []byte("#!/bin/sh\nexit 7\n"), 0o644))
		c.want(unix.EACCES, "run without execution", exec.Command("./script").Run())
		c.need("chmod", unix.Chmod("script", 0o755))
		cmd := exec.Command("./script")
		_ = cmd.Run()
		equal(c, "exit status", cmd.ProcessState.ExitCode(), 7)
		c.dir("d", 0o755)
		c.want(unix.EACCES, "run of a directory", exec.Command("./d").Run())
	}},
}

var writeCases = []posixCase{
	{"write/O_APPEND", func(c *posix) {
		c.file("f", 0o644)
		fd := c.open("f", unix.O_RDWR|unix.O_APPEND, 0)
		for _, text := range []string{"one", "two"} {
			_, err := unix.Seek(fd, 0, 0)
			c.try("seek", err)
			_, err = unix.Write(fd, []byte(text))
			c.try("write", err)
		}
		off, err := unix.Seek(fd, 0, 1)
		c.try("seek", err)
		equal(c, "position behind an append", off, 7)
		_, err = unix.Pwrite(fd, []byte("three"), 0)
		c.try("pwrite", err)
		c.content("f", "fonetwothree") // as Linux does; POSIX would have it at 0
	}},
	{"write/positions", func(c *posix) {
		c.file("f", 0o644)
		fd := c.open("f", unix.O_RDWR, 0)
		buf := make([]byte, 10)
		_, err := unix.Pread(fd, buf, -1)
		c.want(unix.EINVAL, "pread at -1", err)
		_, err = unix.Pwrite(fd, buf, -1)
		c.want(unix.EINVAL, "pwrite at -1", err)
		_, err = unix.Seek(fd, -1, 0)
		c.want(unix.EINVAL, "seek to -1", err)
		_, err = unix.Seek(fd, 0, 99)
		c.want(unix.EINVAL, "seek in no way", err)
		off, err := unix.Seek(fd, 5, 2)
		c.try("seek behind the end", err)
		equal(c, "position", off, 6)
		n, err := unix.Read(fd, buf)
		c.try("read behind the end", err)
		equal(c, "bytes behind the end", n, 0)
		_, err = unix.Write(fd, []byte("x"))
		c.try("write behind the end", err)
		c.content("f", "f\x00\x00\x00\x00\x00x")
		for _, whence := range []int{unix.SEEK_DATA, unix.SEEK_HOLE} {
			_, err = unix.Seek(fd, 100, whence)
			c.want(unix.ENXIO, "seek to data or a hole behind the end", err)
		}
		off, err = unix.Seek(fd, 0, unix.SEEK_HOLE)
		c.try("seek to a hole", err)
		equal(c, "the hole at the end", off, 7)
		off, err = unix.Seek(fd, 6, unix.SEEK_DATA)
		c.try("seek to data", err)
		equal(c, "data", off, 6)
	}},
	{"write/truncation", func(c *posix) {
		c.file("f", 0o644)
		for _, size := range []int64{0, 1, 5, 4095, 4096, 4097, 1 << 20, 3} {
			c.try("truncate", unix.Truncate("f", size))
			equal(c, "size", c.lstat("f").Size, size)
			equal(c, "blocks of nothing at most", c.lstat("f").Blocks <= (size+8191)/512+8, true)
		}
		c.content("f", "\x00\x00\x00")
		fd := c.open("f", unix.O_RDWR, 0)
		c.want(unix.EINVAL, "truncate to -1", unix.Truncate("f", -1))
		c.want(unix.EINVAL, "ftruncate to -1", unix.Ftruncate(fd, -1))
		c.want(unix.EBADF, "ftruncate of no descriptor", unix.Ftruncate(-1, 0))
		c.want(unix.EINVAL, "ftruncate of a directory", unix.Ftruncate(c.open(".", unix.O_RDONLY, 0), 0))
		c.want(unix.EISDIR, "truncate of a directory", unix.Truncate(".", 0))
		equal(c, "size after all this", c.lstat("f").Size, 3)
	}},
	{"write/EFBIG", func(c *posix) {
		c.file("f", 0o644)
		fd := c.open("f", unix.O_RDWR, 0)
		const far = 1 << 62
		_, err := unix.Pwrite(fd, []byte("x"), far)
		c.want(unix.EFBIG, "write far away", err)
		c.want(unix.EFBIG, "truncate", unix.Truncate("f", far))
		c.want(unix.EFBIG, "ftruncate", unix.Ftruncate(fd, far))
		c.want(unix.EFBIG, "fallocate", unix.Fallocate(fd, 0, far, 1))
		c.content("f", "f")
	}},
	{"write/more than 1 GiB", func(c *posix) {
		c.file("f", 0o644)
		c.try("truncate to 2 GiB", unix.Truncate("f", 2<<30))
	}},
	{"write/fallocate", func(c *posix) {
		c.file("f", 0o644)
		fd := c.open("f", unix.O_RDWR, 0)
		c.want(unix.EINVAL, "no length", unix.Fallocate(fd, 0, 0, 0))
		c.want(unix.EINVAL, "negative offset", unix.Fallocate(fd, 0, -1, 1))
		c.want(unix.EOPNOTSUPP, "an unknown mode", unix.Fallocate(fd, 0x4000, 0, 1))
		c.try("keeping the size", unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, 100))
		equal(c, "size kept", c.lstat("f").Size, 1)
		c.try("longer", unix.Fallocate(fd, 0, 0, 4))
		c.content("f", "f\x00\x00\x00")
		c.need("write", os.WriteFile("f", []byte("0123456789"), 0))
		c.try("a hole", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 2, 3))
		c.content("f", "01\x00\x00\x0056789")
		c.try("zeros", unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, 8, 4))
		c.content("f", "01\x00\x00\x00567\x00\x00\x00\x00")
		c.want(unix.EBADF, "of a directory, never open for writing", unix.Fallocate(c.open(".", unix.O_RDONLY, 0), 0, 0, 10))
	}},
	{"write/fallocate that moves what follows", func(c *posix) {
		c.need("write", os.WriteFile("f", make([]byte, 3<<16), 0o644))
		c.try("collapse", unix.Fallocate(c.open("f", unix.O_RDWR, 0), unix.FALLOC_FL_COLLAPSE_RANGE, 0, 1<<16))
	}},
	{"write/copy_file_range", func(c *posix) {
		c.need("write", os.WriteFile("f", []byte("0123456789"), 0o644))
		in, out := c.open("f", unix.O_RDONLY, 0), c.open("g", unix.O_CREAT|unix.O_RDWR, 0o644)
		from, to := int64(3), int64(1)
		n, err := unix.CopyFileRange(in, &from, out, &to, 100, 0)
		c.try("copy", err)
		equal(c, "copied", n, 7)
		c.content("g", "\x003456789")
		_, err = unix.CopyFileRange(out, nil, in, nil, 1, 0)
		c.want(unix.EBADF, "copy to O_RDONLY", err)
	}},
	{"write/through two descriptors", func(c *posix) {
		a, b := c.open("f", unix.O_CREAT|unix.O_RDWR, 0o644), c.open("f", unix.O_RDWR, 0)
		buf := make([]byte, 10)
		for _, text := range []string{"one", "other", "2"} {
			_, err := unix.Pwrite(a, []byte(text), 0)
			c.try("write", err)
			n, err := unix.Pread(b, buf, 0)
			c.try("read", err)
			equal(c, "what the other sees", strings.HasPrefix(string(buf[:max(n, 0)]), text), true)
		}
		c.try("ftruncate", unix.Ftruncate(a, 1))
		var st unix.Stat_t
		c.try("fstat", unix.Fstat(b, &st))
		equal(c, "size by the other", st.Size, 1)
	}},
}
