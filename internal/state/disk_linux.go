package state

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// DiskOf returns the file system of an existing folder.
func DiskOf(dir string) (Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Disk{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	kind, ok := map[int64]string{
		unix.EXT4_SUPER_MAGIC:      "ext4",
		unix.XFS_SUPER_MAGIC:       "xfs",
		unix.BTRFS_SUPER_MAGIC:     "btrfs",
		unix.F2FS_SUPER_MAGIC:      "f2fs",
		unix.OVERLAYFS_SUPER_MAGIC: "overlay",
		unix.TMPFS_MAGIC:           "tmpfs",
		unix.RAMFS_MAGIC:           "ramfs",
		unix.NFS_SUPER_MAGIC:       "nfs",
		unix.SMB_SUPER_MAGIC:       "cifs",
		unix.CIFS_SUPER_MAGIC:      "cifs",
		unix.SMB2_SUPER_MAGIC:      "smb2",
		unix.V9FS_MAGIC:            "9p",
		unix.CEPH_SUPER_MAGIC:      "ceph",
		unix.AFS_SUPER_MAGIC:       "afs",
		unix.FUSE_SUPER_MAGIC:      "fuse",
		unix.MSDOS_SUPER_MAGIC:     "vfat",
		unix.EXFAT_SUPER_MAGIC:     "exfat",
		0x2FC12FC1:                 "zfs",
	}[int64(s.Type)] //nolint:unconvert // its size differs between processors
	if !ok {
		kind = fmt.Sprintf("%#x", uint64(s.Type))
	}
	return Disk{Kind: kind, Free: s.Bavail * uint64(s.Bsize)}, nil
}
