package pipeline

import (
	"fmt"

	"poolfill/reader/verdict"
)

// rules end a run for the rows that are rejected.
type rules struct {
	Rules
	books *books
	end   *ending
}

// InvalidRowError ends a run with StopAtInvalid.
type InvalidRowError struct {
	// Row is the row that was found invalid first.
	Row verdict.Position
	// Code is that of its first finding.
	Code string
}

func (e *InvalidRowError) Error() string {
	return fmt.Sprintf("stopped at the first invalid row, %s:%d (%s): mend it and run the same command again, or have invalid rows skipped", e.Row.File, e.Row.Line, e.Code)
}

// TooManyRejectedError ends a run whose rejected rows are more than MaxRejected
// allows.
type TooManyRejectedError struct {
	Max            MaxRejected
	Rejected, Rows int64
}

func (e *TooManyRejectedError) Error() string {
	return fmt.Sprintf("stopped: more rows were rejected than the bound of %s allows: %d of %d; mend them in the input, as rejected.tsv says, or allow more, and run the command again",
		e.Max, e.Rejected, e.Rows)
}

// see stops the run where a verdict is one that it is to stop at.
func (r *rules) see(v *verdict.Verdict) {
	if v.Status == verdict.Rejected && r.OnInvalid == StopAtInvalid {
		r.end.stop(Stopped, &InvalidRowError{v.Position, v.Findings[0].Code})
	}
}

// enforce stops the run when too many rows are rejected. atEnd says that all rows
// were read.
func (r *rules) enforce(atEnd bool) {
	t := r.books.totals()
	if r.MaxRejected.exceeded(t.Rejected, t.Rows, atEnd) {
		r.end.stop(Stopped, &TooManyRejectedError{r.MaxRejected, t.Rejected, t.Rows})
	}
}
