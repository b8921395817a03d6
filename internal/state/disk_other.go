//go:build !linux && !darwin && !windows

package state

import (
	"errors"
	"fmt"
)

func diskOf(dir string) (Disk, error) {
	return Disk{}, fmt.Errorf("the space at %s can't be told on this system: %w", dir, errors.ErrUnsupported)
}
