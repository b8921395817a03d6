package uploader

import (
	"context"
	"slices"
	"time"

	"poolfill/internal/backoff"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// Reasons for rows that were not sent.
const (
	reasonInvalidBeside = "not created because the chunk has an invalid row"
	reasonNotNamed      = "the operation's log doesn't name this row"
	reasonLogGone       = "the operation succeeded, but its log is no longer kept and the pool doesn't show the task"
	reasonLogGoneSkip   = "the operation succeeded, but its log is no longer kept and the pool doesn't have the task: the server may have refused the row"
	reasonUnknownTasks  = "the answer was lost, and the pool has new tasks that are no row's as it was sent: the server may have changed this one"
	reasonInDoubt       = "the upload ended before the server's answer was known"
	reasonNotSent       = "the upload ended before this row was created"
	reasonIDMissing     = "created, but the server didn't give the task's id"
)

// job is one call of Upload.
type job struct {
	*Uploader
	prior   Prior
	told    map[int]bool                // of its rows, those that a log says were not created
	asked   map[string]toloka.Operation // of the earlier upload, those that exist
	failed  map[int]bool                // rows that the last log says the server failed with
	out     Outcome
	retries backoff.Budget // for operations that fail with nothing done

	// Counted, as the rows of a chunk are more than a processor keeps at hand: those
	// of which nothing is known, and those that were rejected.
	openRows, rejectedRows int

	lifetime lifetime
	permit   func() // lets others search the pool; nil where they may
	noted    string // the operation that the Journal heard of last
}

// acquire keeps others from searching the pool until release.
func (j *job) acquire(ctx context.Context) error {
	if j.permit != nil {
		return nil
	}
	permit, err := j.recent.acquire(ctx, &j.lifetime)
	j.permit = permit
	return err
}

func (j *job) release() {
	if j.permit != nil {
		j.permit()
		j.permit = nil
	}
}

// batch is what is sent of a subset.
func (j *job) batch(s subset) toloka.Batch {
	return toloka.Batch{Body: s.body, Len: len(s.rows), Name: s.String(), SkipInvalid: j.cfg.SkipInvalid, Inputs: s.inputs}
}

// note tells the Journal what is about to be sent.
func (j *job) note(ctx context.Context, s subset, operation string) error {
	j.out.Noted = true
	return j.cfg.Journal.Sending(ctx, Attempt{
		Chunk: s.chunk, Rows: s.rows, Operation: operation, Generation: s.generation,
		Mark: j.lifetime.mark, At: time.Now(),
	})
}

// unsent gives a row its reason, where it has no status yet.
func (j *job) unsent(row int, reason string, inDoubt bool) {
	if j.open(row) {
		r := &j.out.Rows[row]
		r.Reason, r.InDoubt = reason, inDoubt
		j.openRows--
	}
}

// open reports whether nothing is known yet of a row.
func (j *job) open(row int) bool {
	r := &j.out.Rows[row]
	return r.Status == verdict.Unsent && r.Reason == ""
}

// created settles a row. Only a strange answer names one twice.
func (j *job) created(row int, id string) {
	if j.open(row) {
		j.openRows--
	}
	r := &j.out.Rows[row]
	if r.Status, r.TaskID = verdict.Created, id; id == "" {
		r.Reason = reasonIDMissing
	}
}

// rejected settles a row, unless that is done.
func (j *job) rejected(row int, findings []verdict.Finding) {
	if j.open(row) {
		j.openRows--
		j.rejectedRows++
		r := &j.out.Rows[row]
		r.Status, r.Findings, r.Raw = verdict.Rejected, findings, j.out.Chunk.Raw(row)
	}
}

// opens returns those of the rows of which nothing is known yet.
func (j *job) opens(rows []int) []int {
	if j.openRows == 0 {
		return nil
	}
	n := 0
	for _, row := range rows {
		if j.open(row) {
			n++
		}
	}
	if n == len(rows) {
		return rows
	}
	open := make([]int, 0, n)
	for _, row := range rows {
		if j.open(row) {
			open = append(open, row)
		}
	}
	return open
}

// untold returns those of the rows of which a log that was read says nothing.
func (j *job) untold(rows []int) []int {
	open := j.opens(rows)
	if len(j.failed) == 0 {
		return open
	}
	return slices.DeleteFunc(slices.Clone(open), func(row int) bool { return j.failed[row] })
}

// nameCreated keeps the tasks of rows from being taken for other rows.
func (j *job) nameCreated(rows []int) {
	j.out.named = append(j.out.named, j.recent.name(func(yield func(string) bool) {
		for _, row := range rows {
			if r := &j.out.Rows[row]; r.Status == verdict.Created && r.TaskID != "" && !yield(r.TaskID) {
				return
			}
		}
	}, len(rows)))
	j.marks.count(len(rows))
}

// takeBack forgets what is known of rows.
func (j *job) takeBack(rows []int) {
	for _, row := range rows {
		if j.open(row) {
			continue
		}
		r := &j.out.Rows[row]
		if j.openRows++; r.Status == verdict.Rejected {
			j.rejectedRows--
		}
		*r = verdict.Verdict{Position: r.Position}
	}
}

// refusedOf returns those of the rows that were refused.
func (j *job) refusedOf(rows []int) (refused []int) {
	if j.rejectedRows == 0 {
		return nil
	}
	for _, row := range rows {
		if j.out.Rows[row].Status == verdict.Rejected {
			refused = append(refused, row)
		}
	}
	return refused
}

// span returns where in the pool's list the tasks of the chunk are, if they exist. The
// chunk, or its operation, can have existed before this upload.
func (j *job) span(existed bool) span {
	if existed || j.prior.inDoubt() {
		return spanOf(j.prior.Mark, j.prior.Since)
	}
	return spanOf(j.lifetime.mark, j.lifetime.since)
}
