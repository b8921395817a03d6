package uploader

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"poolfill/internal/backoff"
	"poolfill/internal/contract"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// Reasons for rows that were not sent.
const (
	reasonInvalidBeside = "not created because the chunk has an invalid row"
	reasonNotNamed      = "the operation's log doesn't name this row"
	reasonNotAnswered   = "the server's answer doesn't name this row"
	reasonLogGone       = "the operation succeeded, but its log is no longer kept and the pool doesn't show the task"
	reasonLogGoneSkip   = "the operation succeeded, but its log is no longer kept and the pool doesn't have the task: the server may have refused the row"
	reasonInDoubt       = "the upload ended before the server's answer was known"
	reasonNotSent       = "the upload ended before this row was created"
	reasonIDMissing     = "created, but the server didn't give the task's id"
)

// job is one call of Upload.
type job struct {
	*Uploader
	prior   Prior
	asked   map[string]toloka.Operation // of the earlier upload, those that exist
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
		At: j.client.ServerTime(time.Now()),
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

// nameCreated keeps the tasks of rows from being taken for other rows.
func (j *job) nameCreated(rows []int) {
	j.out.named = append(j.out.named, j.recent.name(func(yield func(string) bool) {
		for _, row := range rows {
			if r := &j.out.Rows[row]; r.Status == verdict.Created && r.TaskID != "" && !yield(r.TaskID) {
				return
			}
		}
	}, len(rows), j.client.ClockMargin()))
}

// since returns the time, by the server's clock, from which on tasks of the chunk
// may have been created; zero where that isn't known.
func (j *job) since(existed bool) time.Time {
	switch {
	case !j.prior.Since.IsZero():
		return j.prior.Since
	case existed:
		return time.Time{}
	}
	return j.client.ServerTime(j.lifetime.since)
}

// refused takes an answer that means that nothing was created, returns what is to
// be sent instead, and fails where that is no matter of single rows.
func (j *job) refused(s subset, err error) (rest []subset, inDoubt bool, _ error) {
	failed, ok := errors.AsType[*toloka.Error](err)
	switch {
	case !ok:
	case failed.Kind == toloka.KindTooLarge && !failed.InDoubt:
		return j.tooLarge(s, failed), false, nil
	case failed.Kind == toloka.KindInvalid && failed.Code == contract.CodeValidationError:
		return j.invalid(s, failed), false, nil
	default:
		inDoubt = failed.InDoubt
	}
	return nil, inDoubt, err
}

// tooLarge halves what the server finds too large. A single row that is too large is
// refused.
func (j *job) tooLarge(s subset, failed *toloka.Error) []subset {
	if n := len(s.rows); n > 1 {
		j.log.Warn("a request was too large and is sent in halves", zap.Int("chunk", s.chunk.Number), zap.Int("rows", n))
		return []subset{only(s.chunk, s.rows[:n/2]), only(s.chunk, s.rows[n/2:])}
	}
	j.rejected(s.rows[0], []verdict.Finding{{
		Stage:   verdict.StageServer,
		Code:    cmp.Or(failed.Code, "REQUEST_TOO_LARGE"),
		Message: fmt.Sprintf("the server finds even this row alone too large (%d bytes): shorten it", len(s.body)),
	}})
	return nil
}

// invalid takes the reasons why the server refuses rows. Rows that it doesn't
// name are sent again without the others, unless one invalid row stops all.
func (j *job) invalid(s subset, failed *toloka.Error) []subset {
	byItem, all := failed.Findings()
	for i, findings := range byItem {
		if i < len(s.rows) {
			j.rejected(s.rows[i], findings)
		}
	}
	open := j.opens(s.rows)
	if len(open) < len(s.rows) {
		if len(open) == 0 || !j.cfg.SkipInvalid {
			return nil
		}
		return []subset{only(s.chunk, open)}
	}
	if len(s.rows) > 1 {
		for i := range all {
			all[i].Message += fmt.Sprintf(" (the server refused all %d rows of the request together)", len(s.rows))
		}
	}
	for _, row := range s.rows {
		j.rejected(row, all)
	}
	return nil
}
