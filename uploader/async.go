package uploader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"poolfill/internal/toloka"
)

const (
	// An operation that was taken but isn't found is asked for so many times
	// before it is sent again.
	maxMissing = 5
	// A log that lacks rows is read again, since it can lag behind: so many
	// times after a success, and once after a failure, where rows may rightly
	// lack.
	rereadsAfterSuccess = 3
	rereadsAfterFail    = 1

	// The bound of a log's length: each task comes in a few entries, written
	// with more escapes than it was sent with.
	logGrowth    = 32
	logEntrySize = 4 << 10
	logBase      = 1 << 20
)

// async sends a part as an operation and waits for its end. It gives what is
// to be sent again; where it fails, whether the server may have the rows.
func (j *job) async(ctx context.Context, p part) (rest []part, inDoubt bool, err error) {
	id := OperationID(OperationName{
		PoolID: j.cfg.PoolID, RunKey: j.cfg.RunKey, Chunk: p.chunk.Number,
		Base: p.chunk.Base() + p.rows[0], Len: len(p.rows), Sum: p.sum, Generation: p.generation,
	})
	j.out.Operation, j.out.Generation = id, p.generation

	op, existed, failed := j.submit(ctx, p, id)
	if failed != nil {
		return j.refused(p, failed)
	}
	j.out.Known = j.out.Known || existed
	// From here on the server has the operation.
	op, err = j.await(ctx, p, id, op, existed)
	if err != nil {
		return nil, true, err
	}
	if op.Status == toloka.OperationSuccess {
		return nil, true, j.succeeded(ctx, p, id)
	}
	return j.failedOperation(ctx, p, id, op)
}

// submit sends the operation until the server has it, or refuses it. An answer
// that was lost is no matter: the server takes the id only once, and says so.
// It reports whether the operation existed before the first attempt.
func (j *job) submit(ctx context.Context, p part, id string) (op toloka.Operation, existed bool, failed *APIError) {
	post := j.post(p)
	post.query.Set("operation_id", id)
	post.read = func(r io.Reader) error {
		var err error
		op, err = j.client.decode.operation(r)
		return err
	}
	failed = j.client.do(ctx, post)
	j.out.Attempts += post.sent
	switch {
	case failed == nil:
		return op, false, nil
	case failed.Kind == KindConflict && failed.Code == toloka.CodeOperationAlreadyExists:
		return toloka.Operation{ID: id, Status: toloka.OperationPending}, post.sent == 1, nil
	case failed.Kind == KindTooLarge && failed.InDoubt:
		// Something between here and the server may have refused only the
		// repetition. The halves have other ids: be sure that nothing exists.
		found, err := j.client.operation(ctx, id)
		switch {
		case err == nil:
			return found, false, nil
		case err.Kind != KindNotFound:
			err.InDoubt = true
			return op, false, err
		}
		failed.InDoubt = false
	}
	return op, false, failed
}

// await polls the operation until its end. One that existed before is most
// likely over, and says nothing about the time that operations take.
func (j *job) await(ctx context.Context, p part, id string, op toloka.Operation, existed bool) (toloka.Operation, error) {
	what := fmt.Sprintf("waiting for operation %s of %s", id, p)
	start := time.Now()
	missing := 0
	for n := 0; !op.Done(); n++ {
		j.mu.Lock()
		delay := pollDelay(n, j.typical, jitter())
		j.mu.Unlock()
		if existed && n == 0 {
			delay = 0
		}
		left := j.cfg.OperationTimeout - time.Since(start)
		if left <= 0 {
			return op, &APIError{
				Kind: KindTimeout, What: what, Host: j.client.base.Host, InDoubt: true,
				cause: fmt.Errorf("it is still %s after %v", op.Status, j.cfg.OperationTimeout),
			}
		}
		if sleep(ctx, min(delay, left)) != nil {
			return op, canceled(ctx, what, nil)
		}
		next, failed := j.client.operation(ctx, id)
		switch {
		case failed == nil:
			op, missing = next, 0
		case failed.Kind != KindNotFound:
			return op, failed
		default:
			if missing++; missing > maxMissing {
				j.log.Warn("an operation got lost and is sent again", zap.String("operation", id))
				missing = 0
				if op, _, failed = j.submit(ctx, p, id); failed != nil {
					return op, failed
				}
			}
		}
	}
	if !existed {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.typical = typicalAfter(j.typical, time.Since(start))
	}
	return op, nil
}

// succeeded takes the log of an operation that ended well.
func (j *job) succeeded(ctx context.Context, p part, id string) error {
	failed := j.readLog(ctx, p, id, rereadsAfterSuccess)
	switch {
	case failed == nil, failed.Kind == KindNotFound:
		for _, row := range p.rows {
			j.unsent(row, reasonNotNamed, true)
		}
		return nil
	case failed.Code == toloka.CodeOperationLogsArchived:
		reason := reasonNoID
		if j.cfg.SkipInvalid {
			reason = reasonNoIDSkip
		}
		for _, row := range j.opens(p) {
			j.out.Rows[row] = RowOutcome{Status: Created, Reason: reason}
		}
		return nil
	}
	return failed
}

// failedOperation takes the log of an operation that failed, and decides what
// of its rows is sent again.
func (j *job) failedOperation(ctx context.Context, p part, id string, op toloka.Operation) (rest []part, inDoubt bool, err error) {
	failed := j.readLog(ctx, p, id, rereadsAfterFail)
	switch {
	case failed == nil:
	case failed.Code == toloka.CodeOperationLogsArchived, failed.Kind == KindNotFound:
		// Whether it has created something can't be told, so nothing is sent.
		for _, row := range p.rows {
			j.unsent(row, reasonLogGone, true)
		}
		return nil, false, nil
	default:
		return nil, true, failed
	}
	open := j.opens(p)
	created, rejected := 0, 0
	for _, row := range p.rows {
		switch j.out.Rows[row].Status {
		case Created:
			created++
		case Rejected:
			rejected++
		}
	}
	if len(open) == 0 || rejected > 0 && !j.cfg.SkipInvalid {
		return nil, false, nil
	}
	again := p
	if created > 0 || rejected > 0 {
		again = partOf(p.chunk, open)
	} else {
		again.generation++
	}
	gaveUp := &APIError{
		Kind: KindTransient, What: fmt.Sprintf("creating the tasks of %s", p), Host: j.client.base.Host, Attempts: j.out.Attempts,
		cause: fmt.Errorf("operation %s ended with FAIL and created %d of its %d tasks%s", id, created, len(p.rows), details(op)),
	}
	j.log.Warn("an operation failed; what it didn't create is sent again",
		zap.String("operation", id), zap.Int("chunk", p.chunk.Number), zap.Int("rows", len(open)), zap.Int("generation", p.generation))
	if !j.retries.pause(ctx, 0) {
		if ctx.Err() != nil {
			return nil, false, canceled(ctx, gaveUp.What, gaveUp)
		}
		return nil, false, gaveUp
	}
	return []part{again}, false, nil
}

// errLogLacks says that a log doesn't name every row.
var errLogLacks = errors.New("the log lacks rows")

// readLog gives rows their status by an operation's log. While rows lack, it
// reads the log again, so many times.
func (j *job) readLog(ctx context.Context, p part, id string, rereads int) *APIError {
	what := "reading the log of operation " + id
	for n := 0; ; n++ {
		var entries []logEntry
		failed := j.client.do(ctx, &call{
			what: what, method: http.MethodGet, path: "/operations/" + id + "/log",
			limit: logBase + logGrowth*int64(len(p.body)) + logEntrySize*int64(len(p.rows)),
			read: func(r io.Reader) error {
				entries = entries[:0] // a log that broke off is read from the start
				return j.client.decode.log(r, func(e logEntry) { entries = append(entries, e) })
			},
		})
		if failed != nil && failed.Kind != KindNotFound {
			return failed
		}
		if failed == nil {
			if err := j.take(p, entries); err != nil {
				return &APIError{Kind: KindUnexpected, What: what, Host: j.client.base.Host, cause: err}
			}
			if len(j.opens(p)) == 0 {
				return nil
			}
		}
		if n == rereads {
			return failed
		}
		if sleep(ctx, time.Second<<n) != nil {
			return canceled(ctx, what, errLogLacks)
		}
	}
}

// take gives the rows of a part the status that log entries tell. An entry is
// about the row with its index; one without, about a row with equal content.
func (j *job) take(p part, entries []logEntry) error {
	for _, row := range p.rows {
		j.out.Rows[row] = RowOutcome{} // nothing is kept of an earlier reading
	}
	var alike map[taskKey][]int // the rows by their content
	find := func(e *logEntry) (row int, found bool, err error) {
		if e.index >= 0 {
			_, found = slices.BinarySearch(p.rows, e.index-p.chunk.Base())
			return e.index - p.chunk.Base(), found, nil
		}
		if alike == nil {
			if alike, err = rowsByContent(p); err != nil {
				return 0, false, err
			}
		}
		for _, row := range alike[e.key] {
			if j.out.Rows[row].Status == Unsent {
				return row, true, nil
			}
		}
		return 0, false, nil
	}
	// What was created comes first, so that a refusal of the same row is no
	// news; rows with an index come before rows that are only alike.
	for _, pass := range []struct{ created, indexed bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		for i := range entries {
			e := &entries[i]
			if e.created != pass.created || e.index >= 0 != pass.indexed {
				continue
			}
			row, found, err := find(e)
			switch {
			case err != nil:
				return err
			case !found || j.out.Rows[row].Status != Unsent:
			case e.created:
				j.created(row, e.taskID)
			default:
				j.rejected(row, e.errors)
			}
		}
	}
	return nil
}

// rowsByContent groups the rows of a part by what they hold.
func rowsByContent(p part) (map[taskKey][]int, error) {
	rows := make(map[taskKey][]int, len(p.rows))
	for _, row := range p.rows {
		key, err := keyOf(p.chunk.Task(row))
		if err != nil {
			return nil, fmt.Errorf("task %d of %s is no JSON: %w", row, p, err)
		}
		rows[key] = append(rows[key], row)
	}
	return rows, nil
}
