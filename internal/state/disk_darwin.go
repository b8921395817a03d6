package state

import (
	"os"

	"golang.org/x/sys/unix"
)

// DiskOf returns the file system of an existing folder.
func DiskOf(dir string) (Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Disk{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return Disk{Kind: unix.ByteSliceToString(s.Fstypename[:]), Free: s.Bavail * uint64(s.Bsize)}, nil
}
