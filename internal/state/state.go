// Package state keeps what outlives a run, in a folder of the user's.
//
// What goes in: the folder, and what a run works on. What comes out: the lock
// that keeps a second run on this machine from the same pool.
package state

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gofrs/flock"
)

// DefaultDir is the folder for the program's state by the convention of the
// platform: $XDG_STATE_HOME or ~/.local/state on Linux and other Unix systems,
// the folder for application data on macOS and Windows.
func DefaultDir() (string, error) {
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return "", &FolderError{Err: err}
		}
		return filepath.Join(dir, "poolfill"), nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "poolfill"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &FolderError{Err: err}
	}
	return filepath.Join(home, ".local", "state", "poolfill"), nil
}

// FolderError is returned where there is no folder for the state, or it can't be used.
type FolderError struct {
	Dir string // empty where the platform has none
	Err error
}

func (e *FolderError) Unwrap() error { return e.Err }

func (e *FolderError) Error() string {
	if e.Dir == "" {
		return fmt.Sprintf("there is no folder for the state (%s)", e.Err)
	}
	return fmt.Sprintf("the folder for the state, %s, can't be used (%s)", e.Dir, e.Err)
}

// HeldError is returned where another run has the pool.
type HeldError struct {
	Pool string
	// Owner describes the other run; empty where it can't be read.
	Owner string
	// Elsewhere is whether it is a run on another machine.
	Elsewhere bool
}

func (e *HeldError) Error() string {
	if e.Elsewhere {
		return fmt.Sprintf("another machine is uploading to pool %s: wait until it has ended. See 'poolfill runs'", e.Pool)
	}
	return fmt.Sprintf("another run is uploading to pool %s on this machine (%s): wait until it has ended",
		e.Pool, cmp.Or(e.Owner, "which one can't be told"))
}

// Lock is a run's lock of a pool. The system releases it when the process ends,
// however it ends: a dead run is in nobody's way.
type Lock struct{ file *flock.Flock }

// LockPool takes the lock of a pool of a server. owner describes this run to
// those that come while it is held. Where another run holds the pool, the error
// is a *HeldError. dir is made where it is absent.
func LockPool(dir, server, pool, owner string) (*Lock, error) {
	folder := filepath.Join(dir, "locks")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, &FolderError{dir, err}
	}
	path := filepath.Join(folder, fileName(server, pool))
	file := flock.New(path, flock.SetPermissions(0o600))
	locked, err := file.TryLock()
	if err != nil {
		return nil, &FolderError{dir, err}
	}
	if !locked {
		text, _ := os.ReadFile(path) // on Windows a locked file can't be read
		return nil, &HeldError{Pool: pool, Owner: strings.TrimSpace(string(text))}
	}
	if err := os.WriteFile(path, []byte(owner+"\n"), 0o600); err != nil && runtime.GOOS != "windows" {
		return nil, errors.Join(&FolderError{dir, err}, file.Close())
	}
	return &Lock{file}, nil
}

// Release releases the pool. The file stays: to delete it would take it from
// a run that opens it just then.
func (l *Lock) Release() error { return l.file.Close() }

// fileName returns a name that no other pool has, and that any system allows.
func fileName(server, pool string) string {
	host := server
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		host = u.Host
	}
	return strings.ReplaceAll(url.QueryEscape(host), "%", "_") + "-" + strings.ReplaceAll(url.QueryEscape(pool), "%", "_") + ".lock"
}
