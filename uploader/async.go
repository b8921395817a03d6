package uploader

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"go.uber.org/zap"

	"poolfill/internal/backoff"
	"poolfill/internal/contract"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
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
//
// From the first request until the log is read, nobody searches the pool.
func (j *job) async(ctx context.Context, p part) (rest []part, inDoubt bool, err error) {
	defer j.clear()
	id := j.operationID(p)
	j.out.Operation, j.out.Generation = id, p.generation
	deadline := time.Now().Add(j.cfg.OperationTimeout)

	op, existed := j.asked[id]
	for !op.Done() {
		if op.Status == "" {
			var known bool
			var failed *APIError
			if op, known, failed = j.submit(ctx, p, id); failed != nil {
				return j.refused(p, failed)
			}
			existed = existed || known
		}
		// From here on the server has the operation.
		if err := j.enter(ctx); err != nil {
			return nil, true, canceled(ctx, "waiting for operation "+id, nil)
		}
		var failed *APIError
		if op, failed = j.await(ctx, fmt.Sprintf("waiting for operation %s of %s", id, p), id, op, existed, deadline); failed != nil {
			return nil, true, failed
		}
		if op.Status == "" && time.Now().Before(deadline) {
			j.log.Warn("an operation got lost and is sent again", zap.String("operation", id))
			continue
		}
		if !op.Done() {
			j.tooLong(p, id, op)
			return nil, false, nil
		}
	}
	j.out.Known = j.out.Known || existed
	return j.finish(ctx, p, id, op, existed)
}

func (j *job) operationID(p part) string {
	if len(p.rows) == 0 {
		return ""
	}
	return OperationID(OperationName{
		PoolID: j.cfg.PoolID, RunKey: j.cfg.RunKey, Chunk: p.chunk.Number,
		Base: p.rows[0], Len: len(p.rows), Sum: p.sum, Generation: p.generation,
	})
}

// enter keeps others from searching the pool until clear.
func (j *job) enter(ctx context.Context) error {
	if j.exit != nil {
		return nil
	}
	exit, err := j.recent.depart(ctx, &j.flight)
	j.exit = exit
	return err
}

func (j *job) clear() {
	if j.exit != nil {
		j.exit()
		j.exit = nil
	}
}

// submit sends the operation until the server has it, or refuses it. An answer
// that was lost is no matter: the server takes the id only once, and says so.
// It reports whether the operation existed before the first attempt.
func (j *job) submit(ctx context.Context, p part, id string) (op toloka.Operation, existed bool, failed *APIError) {
	post := j.post(p)
	post.query.Set("operation_id", id)
	answered := false
	post.read = func(r io.Reader) error {
		var err error
		op, err = j.client.decode.operation(r)
		answered = err == nil
		return err
	}
	post.hold = func(ctx context.Context) (func(), error) {
		if j.noted != id {
			if err := j.note(ctx, p, id); err != nil {
				return nil, err
			}
			j.noted = id
		}
		// What waits for the quota, with nothing sent, keeps nobody waiting.
		return func() {
			if !answered && !post.inDoubt {
				j.clear()
			}
		}, j.enter(ctx)
	}
	failed = j.client.do(ctx, post)
	j.out.Attempts += post.sent
	j.out.QuotaWait += post.waited
	switch {
	case failed == nil:
		return op, false, nil
	case failed.Kind == KindConflict && failed.Code == contract.CodeOperationAlreadyExists:
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

// await polls an operation until its end, and gives it as it is when the time
// is over. One that the server no longer knows has no status. One that existed
// before is most likely over, and says nothing about the time that operations
// take.
func (u *Uploader) await(ctx context.Context, what, id string, op toloka.Operation, existed bool, deadline time.Time) (toloka.Operation, *APIError) {
	start := time.Now()
	missing := 0
	for n := 0; !op.Done(); n++ {
		u.mu.Lock()
		delay := pollDelay(n, u.typical, backoff.Jitter())
		u.mu.Unlock()
		if existed && n == 0 {
			delay = 0
		}
		left := time.Until(deadline)
		if left <= 0 {
			return op, nil
		}
		if backoff.Sleep(ctx, min(delay, left)) != nil {
			return op, canceled(ctx, what, nil)
		}
		next, failed := u.client.operation(ctx, id)
		switch {
		case failed == nil:
			op, missing = next, 0
		case failed.Kind != KindNotFound:
			return op, failed
		default:
			if missing++; missing > maxMissing {
				return toloka.Operation{}, nil
			}
		}
	}
	if !existed {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.typical = typicalAfter(u.typical, time.Since(start))
	}
	return op, nil
}

// tooLong leaves the rows of an operation that doesn't come to its end.
func (j *job) tooLong(p part, id string, op toloka.Operation) {
	reason := fmt.Sprintf("operation %s is still %s after %v: the same command asks for it again", id, cmp.Or(op.Status, "unknown to the server"), j.cfg.OperationTimeout)
	for _, row := range p.rows {
		j.unsent(row, reason, true)
	}
	j.log.Warn("an operation takes too long and is left", zap.String("operation", id), zap.Int("chunk", p.chunk.Number), zap.Int("rows", len(p.rows)))
}

// finish takes the log of an operation that has ended. Rows that the log should
// name and doesn't, and all where there is no log, are looked for in the pool.
// It decides what is sent again.
func (j *job) finish(ctx context.Context, p part, id string, op toloka.Operation, existed bool) (rest []part, inDoubt bool, err error) {
	succeeded := op.Status == toloka.OperationSuccess
	rereads := rereadsAfterFail
	if succeeded {
		rereads = rereadsAfterSuccess
	}
	gone, failed := j.readLog(ctx, p, id, rereads)
	if failed != nil {
		return nil, true, failed
	}
	if open := j.opens(p); len(open) > 0 && (gone || succeeded) {
		if _, err := j.search(ctx, j.part(open), j.since(existed), nil); err != nil {
			return nil, true, err
		}
	}
	open := j.opens(p)
	if succeeded {
		reason, inDoubt := reasonNotNamed, true
		if gone {
			// With nothing in the pool, a refusal is the likelier story.
			reason, inDoubt = reasonLogGone, !j.cfg.SkipInvalid
			if j.cfg.SkipInvalid {
				reason = reasonLogGoneSkip
			}
		}
		for _, row := range open {
			j.unsent(row, reason, inDoubt)
		}
		return nil, true, nil
	}
	created, rejected := 0, 0
	for _, row := range p.rows {
		switch j.out.Rows[row].Status {
		case verdict.Created:
			created++
		case verdict.Rejected:
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
	j.clear()
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
// reads the log again, so many times. It reports whether there is no log.
func (j *job) readLog(ctx context.Context, p part, id string, rereads int) (gone bool, failed *APIError) {
	what := "reading the log of operation " + id
	for n := 0; ; n++ {
		var others []logEntry
		get := &call{
			what: what, method: http.MethodGet, path: "/operations/" + id + "/log",
			limit: logBase + logGrowth*int64(len(p.body)) + logEntrySize*int64(len(p.rows)),
			read: func(r io.Reader) error {
				return j.client.decode.log(r, len(p.rows), false, p.inputs, func(entries iter.Seq[logEntry]) { others = j.take(p, entries) })
			},
		}
		failed := j.client.do(ctx, get)
		j.out.QuotaWait += get.waited
		if failed != nil && !failed.logGone() {
			return false, failed
		}
		if failed == nil {
			if err := j.takeOthers(p, others); err != nil {
				return false, &APIError{Kind: KindUnexpected, What: what, Host: j.client.base.Host, cause: err}
			}
		}
		archived := failed != nil && failed.Kind != KindNotFound
		if len(j.opens(p)) == 0 || n == rereads || archived {
			j.nameCreated(p)
			return failed != nil, nil
		}
		if backoff.Sleep(ctx, time.Second<<n) != nil {
			return false, canceled(ctx, what, errLogLacks)
		}
	}
}

// nameCreated keeps the tasks of a part from being taken for other rows.
func (j *job) nameCreated(p part) {
	j.name(func(yield func(string) bool) {
		for _, row := range p.rows {
			if r := &j.out.Rows[row]; r.Status == verdict.Created && r.TaskID != "" && !yield(r.TaskID) {
				return
			}
		}
	}, len(p.rows))
}

func (j *job) name(ids iter.Seq[string], most int) {
	j.out.named = append(j.out.named, j.recent.name(ids, most, j.client.clockMargin()))
}

// take gives the rows of a part that a log names as created, by their index,
// their status. It gives the other entries, nearly always none.
func (j *job) take(p part, entries iter.Seq[logEntry]) (others []logEntry) {
	for _, row := range p.rows {
		j.reopen(row) // nothing is kept of an earlier reading
	}
	for e := range entries {
		if !e.created || e.index < 0 {
			others = append(others, e)
		} else if p.has(e.index) && j.out.Rows[e.index].Status == verdict.Unsent {
			j.created(e.index, e.taskID)
		}
	}
	return others
}

// takeOthers gives rows the status that the other entries of a log tell. An
// entry is about the row with its index; one without, about a row with equal
// content.
func (j *job) takeOthers(p part, entries []logEntry) error {
	if len(entries) == 0 {
		return nil
	}
	var alike map[Key][]int // the rows by their content
	taken := map[string]bool{}
	for i := range j.out.Rows {
		if r := &j.out.Rows[i]; r.Status == verdict.Created && r.TaskID != "" {
			taken[r.TaskID] = true
		}
	}
	find := func(e *logEntry) (row int, found bool, err error) {
		if e.index >= 0 {
			row, found = e.index, p.has(e.index)
			return row, found, nil
		}
		if e.created && taken[e.taskID] {
			return 0, false, nil // an earlier upload's, of another row that is equal
		}
		if alike == nil {
			if alike, err = rowsByContent(p); err != nil {
				return 0, false, err
			}
		}
		for _, row := range alike[e.key] {
			if j.out.Rows[row].Status == verdict.Unsent {
				return row, true, nil
			}
		}
		return 0, false, nil
	}
	// What was created comes first, so that a refusal of the same row is no
	// news; rows with an index come before rows that are only alike.
	for _, pass := range []struct{ created, indexed bool }{{true, false}, {false, true}, {false, false}} {
		for i := range entries {
			e := &entries[i]
			if e.created != pass.created || e.index >= 0 != pass.indexed {
				continue
			}
			row, found, err := find(e)
			switch {
			case err != nil:
				return err
			case !found || j.out.Rows[row].Status != verdict.Unsent:
			case e.created:
				j.created(row, e.taskID)
			default:
				j.rejected(row, e.findings)
			}
		}
	}
	return nil
}

// rowsByContent groups the rows of a part by what they hold.
func rowsByContent(p part) (map[Key][]int, error) {
	rows := make(map[Key][]int, len(p.rows))
	for _, row := range p.rows {
		key, err := ContentKey(p.chunk.Task(row))
		if err != nil {
			return nil, fmt.Errorf("task %d of %s is no JSON: %w", row, p, err)
		}
		rows[key] = append(rows[key], row)
	}
	return rows, nil
}
