// Command poolfill fills Toloka pools from dataset files.
package main

import (
	"context"
	"errors"
	"fmt"

	"poolfill/internal/visible"
)

// run carries out one command line and returns its exit code.
func run(args []string, std streams) int {
	std, closeGates := std.gated()
	defer closeGates()
	if len(args) == 1 && args[0] == "--version" {
		// Cobra does the same, after all commands are made: a quarter of the time.
		visible.Fprintf(std.out, versionFormat, version())
		return exitOK
	}
	var profiling profiles
	root, err := newRootCommand(std, &profiling)
	if err == nil {
		root.SetArgs(args)
		root.SetIn(std.in)
		root.SetOut(std.out)
		root.SetErr(std.err)
		err = root.ExecuteContext(context.Background())
	}
	if failed := profiling.stop(); failed != nil {
		err = errors.Join(err, fmt.Errorf("the profile can't be written: %w", failed))
	}
	code := exitCode(err)
	var rejected *rejectedError
	if err != nil && !errors.As(err, &rejected) {
		fmt.Fprintln(std.err, "poolfill: "+plainly(err))
	}
	return code
}
