package pipeline

import (
	"sync"

	"poolfill/reader/verdict"
)

// rules end a run for the rows that are rejected.
type rules struct {
	Rules
	books *books
	end   *ending

	mu    sync.Mutex
	alike *AllRefusedError // the first chunk of which nothing was taken; nil without any
}

// few is how many rows can well be refused for one reason of their own.
const few = 10

// refusedAlike reports whether the server has refused all rows of a chunk, which are more
// than a few, for the same reason, and returns that.
func refusedAlike(rows []verdict.Verdict) (reason verdict.Finding, ok bool) {
	if len(rows) <= few {
		return reason, false
	}
	for i := range rows {
		if rows[i].Status != verdict.Rejected || len(rows[i].Findings) == 0 {
			return reason, false
		}
		f := rows[i].Findings[0]
		if i == 0 {
			reason = f
		}
		if f.Stage != verdict.StageServer || f.Code != reason.Code || f.Path != reason.Path {
			return reason, false
		}
	}
	return reason, true
}

// learn looks at what the server says of the rows of a chunk.
func (r *rules) learn(rows []verdict.Verdict) {
	reason, ok := refusedAlike(rows)
	if !ok || r.KeepGoing {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alike == nil {
		r.alike = &AllRefusedError{len(rows), rows[0].Position, reason}
	}
}

// beforeChunk stops the run where the next chunk is not to be sent.
func (r *rules) beforeChunk() {
	r.enforce(false)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alike != nil {
		r.end.stop(Stopped, r.alike)
	}
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
