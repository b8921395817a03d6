package state

// Disk is the file system that a folder is on.
type Disk struct {
	// Kind is its name, such as ext4; where the system has none, a number.
	Kind string
	// Free is the space that the user may still fill, in bytes.
	Free uint64
}

// Remote reports whether it is a file system over a network. SQLite's
// write-ahead mode, and the locks of pools, can't be relied on there.
func (d Disk) Remote() bool {
	switch d.Kind {
	case "nfs", "cifs", "smb2", "smbfs", "afpfs", "webdav", "9p", "ceph", "afs", "network drive":
		return true
	}
	return false
}

// Fleeting reports whether it is gone after a restart of the computer.
func (d Disk) Fleeting() bool { return d.Kind == "tmpfs" || d.Kind == "ramfs" }
