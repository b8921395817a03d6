// Command poolfill fills Toloka pools from dataset files.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"poolfill/internal/state"
	"poolfill/ledger"
	"poolfill/pipeline"
	"poolfill/ratelimit"
)

// The exit codes are an interface for scripts; docs/exit-codes.md explains them.
const (
	exitOK          = 0   // every row is uploaded, or valid
	exitFailed      = 1   // the run began and could not finish
	exitUsage       = 2   // nothing was sent: the command, its settings or its input must change first
	exitRejected    = 3   // finished, some rows rejected
	exitParked      = 4   // the day's quota is used up; the message says when to go on
	exitLocked      = 5   // another run uploads to this pool
	exitInterrupted = 130 // the user ended it
)

// versionFormat is what --version prints.
const versionFormat = "poolfill %s\n"

// streams are the standard streams of a command.
type streams struct {
	in       io.Reader
	out, err io.Writer
	// configure may change what a run is made of, just before it begins; nil
	// changes nothing. Tests crash runs with it.
	configure func(*pipeline.Config)
	// stop ends a run as a first signal does, when it is closed; nil never is.
	stop <-chan struct{}
	// reported is told the report of a run; nil is told nothing.
	reported func(pipeline.Report)
}

// run carries out one command line and returns its exit code.
func run(args []string, std streams) int {
	if len(args) == 1 && args[0] == "--version" {
		// Cobra does the same, after all commands are made: a quarter of the time.
		fmt.Fprintf(std.out, versionFormat, version())
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

// usageError is a command line that can't be carried out.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// rejectedError says that a run finished with rejected rows. The summary has
// said so already.
type rejectedError struct{ rows int64 }

func (e *rejectedError) Error() string { return fmt.Sprintf("%d rows were rejected", e.rows) }

// interruptedError is a run that the user ended after it had begun.
type interruptedError struct{ cause string }

func (e *interruptedError) Error() string { return e.cause }

// unfinishedError is a run that can be continued.
type unfinishedError struct {
	err     error
	command string
}

func (e *unfinishedError) Error() string { return e.err.Error() + "\nTo go on: " + e.command }
func (e *unfinishedError) Unwrap() error { return e.err }

// exitCode is the one place where errors become exit codes.
func exitCode(err error) int {
	var (
		usage       *usageError
		setup       *pipeline.SetupError
		rejected    *rejectedError
		interrupted *interruptedError
		held        *state.HeldError
		taken       *ledger.PoolTakenError
		quotaUsed   *ratelimit.DayQuotaError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage), errors.As(err, &setup):
		return exitUsage
	case errors.As(err, &rejected):
		return exitRejected
	case errors.As(err, &quotaUsed):
		return exitParked
	case errors.As(err, &held), errors.As(err, &taken):
		return exitLocked
	case errors.As(err, &interrupted), errors.Is(err, pipeline.ErrInterrupted):
		return exitInterrupted
	default:
		return exitFailed
	}
}
