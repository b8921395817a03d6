//go:build !linux && !darwin && !windows

package state

import (
	"errors"
	"fmt"
)

// DiskOf returns the file system of an existing folder.
func DiskOf(dir string) (Disk, error) {
	return Disk{}, fmt.Errorf("the space at %s can't be told on this system: %w", dir, errors.ErrUnsupported)
}
