//go:build !windows

package notify

import (
	"context"
	"os/exec"
)

// shell makes a command of a line for the shell.
func shell(ctx context.Context, line string) *exec.Cmd {
	return exec.CommandContext(ctx, "/bin/sh", "-c", line)
}
