package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/internal/state"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
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

// advisedError is an error with lines of ours below it that say what to do.
type advisedError struct {
	err    error
	advice []string
}

// advise adds lines to an error.
func advise(err error, lines ...string) error { return &advisedError{err, lines} }

func (e *advisedError) Error() string { return e.err.Error() + "\n" + strings.Join(e.advice, "\n") }

func (e *advisedError) Unwrap() error { return e.err }

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

// unusable reports whether a folder can't be used as it is, so that its rights or a
// setting must change first. A disk that is full or fails is not that.
func unusable(err error) bool {
	return slices.ContainsFunc([]error{fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, syscall.ENOTDIR, syscall.EROFS},
		func(cause error) bool { return errors.Is(err, cause) })
}

// known makes a usage error of a name that is unknown, or a state that doesn't fit.
func known(err error) error {
	var (
		run *ledger.UnknownRunError
		now *backfill.StateError
		bad *ledger.DamagedError
	)
	if errors.As(err, &run) || errors.As(err, &bad) || errors.Is(err, backfill.ErrUnknown) || errors.As(err, &now) {
		return &usageError{err}
	}
	return err
}
