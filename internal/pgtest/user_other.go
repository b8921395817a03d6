//go:build !unix

package pgtest

import "os/exec"

// unprivileged has nothing to do: only a Unix has a root.
func unprivileged(*exec.Cmd, string) error { return nil }
