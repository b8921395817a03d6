package pipeline

import (
	"poolfill/reader/verdict"
)

// rules end a run for the rows that are rejected.
type rules struct {
	Rules
	books *books
	end   *ending
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
