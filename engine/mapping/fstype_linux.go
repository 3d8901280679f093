package mapping

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// unsafeFS names the file systems on which shared mappings, locks or both are
// not coherent between processes or machines.
var unsafeFS = map[int64]string{
	unix.NFS_SUPER_MAGIC:  "NFS",
	unix.SMB_SUPER_MAGIC:  "SMB",
	unix.SMB2_SUPER_MAGIC: "SMB",
	unix.CIFS_SUPER_MAGIC: "CIFS",
	unix.V9FS_MAGIC:       "9p",
	unix.FUSE_SUPER_MAGIC: "FUSE or virtiofs",
	unix.AFS_SUPER_MAGIC:  "AFS",
	unix.CODA_SUPER_MAGIC: "Coda",
	0x00c36400:            "Ceph",
}

// CheckFS returns an error that names the kind of file system of f when a
// store is not safe there.
func CheckFS(f *os.File) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("file system of %s: %w", f.Name(), err)
	}
	if name, bad := unsafeFS[int64(uint32(st.Type))]; bad {
		return fmt.Errorf("%s is on %s, where memory shared between processes is not reliable: "+
			"keep the store on a local file system", f.Name(), name)
	}
	return nil
}

// Identity returns the device and inode number of f.
func Identity(f *os.File) (dev, ino uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, 0, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	return st.Dev, st.Ino, nil
}

// BootID returns the identity of the running kernel.
func BootID() ([16]byte, error) {
	var id [16]byte
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id, fmt.Errorf("boot id: %w", err)
	}
	n := 0
	for _, c := range b {
		var d byte
		switch {
		case c >= '0' && c <= '9':
			d = c - '0'
		case c >= 'a' && c <= 'f':
			d = c - 'a' + 10
		default:
			continue
		}
		if n < 32 {
			id[n/2] = id[n/2]<<4 | d
			n++
		}
	}
	if n != 32 {
		return id, fmt.Errorf("boot id %q is not a uuid", b)
	}
	return id, nil
}
