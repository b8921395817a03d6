package pipeline

import (
	"cmp"
	"errors"
	"fmt"

	"poolfill/reader/verdict"
)

// ErrNoPool says that a Config names no pool.
var ErrNoPool = errors.New("no pool is named")

// ErrNoSpec says that a Check has neither a pool nor a spec, nor does without.
var ErrNoSpec = errors.New("nothing to check against: name a pool or a spec, or do without")

// ErrTwoSpecs says that a Config has a spec and NoSpec.
var ErrTwoSpecs = errors.New("a spec and no spec exclude each other")

// SetupError says that a run could not begin: nothing was sent and nothing was
// written. Its text says what has to change first.
type SetupError struct{ Err error }

func (e *SetupError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SetupError) Unwrap() error { return e.Err }

// ErrNoRows is wrapped in the *SetupError of a run whose inputs have no row.
var ErrNoRows = errors.New("there is nothing to upload")

// ErrInterrupted says that a run was stopped before it sent anything.
var ErrInterrupted = errors.New("interrupted before anything was sent")

// ErrPartChanged stands for the error of a part whose file is not what it was
// when the part began. No further attempt finishes it, unless that file comes back
// before rows of the other one are uploaded.
var ErrPartChanged = errors.New("the file is not what it was when the part began")

// partChangedError says which file it is.
type partChangedError struct{ path, part string }

func (e *partChangedError) Is(target error) bool { return target == ErrPartChanged }

func (e *partChangedError) Error() string {
	return fmt.Sprintf("the file %s is not what it was when %s began: plan the job again", e.path, e.part)
}

// InvalidRowError ends a run with StopAtInvalid.
type InvalidRowError struct {
	// Row is the row that was found invalid first.
	Row verdict.Position
	// Code is that of its first finding.
	Code string
}

func (e *InvalidRowError) Error() string {
	return fmt.Sprintf("stopped at the first invalid row, %s:%d (%s): fix it and run the same command again, or have invalid rows skipped", e.Row.File, e.Row.Line, e.Code)
}

// TooManyRejectedError ends a run whose rejected rows are more than MaxRejected
// allows.
type TooManyRejectedError struct {
	Max            MaxRejected
	Rejected, Rows int64
}

func (e *TooManyRejectedError) Error() string {
	return fmt.Sprintf("stopped: more rows were rejected than the bound of %s allows: %d of %d; fix them in the input, as rejected.tsv says, or allow more, and run the command again",
		e.Max, e.Rejected, e.Rows)
}

// AllRefusedError ends a run without KeepGoing before the chunk that comes next.
type AllRefusedError struct {
	Rows   int
	First  verdict.Position // of the rows
	Reason verdict.Finding  // of all of them
}

func (e *AllRefusedError) Error() string {
	about := ""
	if field := cmp.Or(e.Reason.Field, e.Reason.Path); field != "" {
		about = " of " + field
	}
	return fmt.Sprintf("stopped: the server refused all %d rows from %s:%d on for the same reason (%s%s: %s). Fix that and run the same command again, or have it go on all the same",
		e.Rows, e.First.File, e.First.Line, e.Reason.Code, about, e.Reason.Message)
}
