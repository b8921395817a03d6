package state

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// DiskOf returns the file system of an existing folder.
func DiskOf(dir string) (Disk, error) {
	fail := func(err error) (Disk, error) {
		return Disk{}, &os.PathError{Op: "GetVolumeInformation", Path: dir, Err: err}
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return fail(err)
	}
	folder, err := windows.UTF16PtrFromString(absolute)
	if err != nil {
		return fail(err)
	}
	var d Disk
	if err := windows.GetDiskFreeSpaceEx(folder, &d.Free, nil, nil); err != nil {
		return fail(err)
	}
	var root, name [windows.MAX_PATH + 1]uint16
	if err := windows.GetVolumePathName(folder, &root[0], uint32(len(root))); err != nil {
		return fail(err)
	}
	if windows.GetDriveType(&root[0]) == windows.DRIVE_REMOTE {
		d.Kind = "network drive"
		return d, nil
	}
	if err := windows.GetVolumeInformation(&root[0], nil, 0, nil, nil, nil, &name[0], uint32(len(name))); err != nil {
		return fail(err)
	}
	d.Kind = windows.UTF16ToString(name[:])
	return d, nil
}
