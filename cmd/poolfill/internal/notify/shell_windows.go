package notify

import (
	"context"
	"os/exec"
	"syscall"
)

// shell makes a command of a line for the shell. cmd.exe has its own rules for
// quotes, so the line is handed on as it is.
func shell(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "cmd.exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: `cmd.exe /S /C "` + line + `"`}
	return cmd
}
