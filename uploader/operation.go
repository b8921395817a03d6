package uploader

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.uber.org/zap"

	"poolfill/batcher"
	"poolfill/internal/backoff"
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
	// So many generations of an operation can have failed in earlier uploads. Each of
	// them is asked for at once, until one is met that the server doesn't know.
	maxGenerations = 1000
)

func (j *job) operationID(s subset) string {
	if len(s.rows) == 0 {
		return ""
	}
	return OperationID(OperationName{
		PoolID: j.cfg.PoolID, RunKey: j.cfg.RunKey, Place: s.chunk.Place(),
		Base: s.rows[0], Len: len(s.rows), Sum: s.sum, Generation: s.generation,
	})
}

// pollDelay is the pause before poll n of an operation.
func (u *Uploader) pollDelay(n int) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return backoff.Poll(n, u.typical, backoff.Jitter())
}

// learn takes the time that an operation took into what is typical.
func (u *Uploader) learn(took time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.typical = backoff.Typical(u.typical, took)
}

// await polls an operation until its end, and returns it as it is when the time
// is over. One that the server no longer knows has no status. One that existed
// before is most likely over, and shows nothing of the time that operations
// take.
func (u *Uploader) await(ctx context.Context, what, id string, op toloka.Operation, existed bool, deadline time.Time) (toloka.Operation, error) {
	start := time.Now()
	missing := 0
	for n := 0; !op.Done(); n++ {
		delay := u.pollDelay(n)
		if existed && n == 0 {
			delay = 0
		}
		left := time.Until(deadline)
		if left <= 0 {
			return op, nil
		}
		if backoff.Sleep(ctx, min(delay, left)) != nil {
			return op, toloka.Canceled(ctx, what, nil)
		}
		next, err := u.client.Operation(ctx, id)
		switch {
		case err == nil:
			op, missing = next, 0
		case toloka.KindOf(err) != toloka.KindNotFound:
			return op, err
		default:
			if missing++; missing > maxMissing {
				return toloka.Operation{}, nil
			}
		}
	}
	if !existed {
		u.learn(time.Since(start))
	}
	return op, nil
}

// settled returns an operation at its end, or as it is when the time for
// operations is over. One that doesn't exist has no status; with a grace, the
// server gets that time to take a request for it that is still under way.
func (u *Uploader) settled(ctx context.Context, id string, grace time.Duration) (toloka.Operation, error) {
	op, err := u.client.Operation(ctx, id)
	if toloka.KindOf(err) == toloka.KindNotFound && grace > 0 {
		if backoff.Sleep(ctx, grace) != nil {
			return op, toloka.Canceled(ctx, "asking for operation "+id, err)
		}
		op, err = u.client.Operation(ctx, id)
	}
	switch {
	case err == nil:
		return u.await(ctx, "waiting for operation "+id, id, op, true, time.Now().Add(u.cfg.OperationTimeout))
	case toloka.KindOf(err) == toloka.KindNotFound:
		return toloka.Operation{}, nil
	}
	return op, err
}

// tooLong leaves the rows of an operation that doesn't come to its end.
func (j *job) tooLong(s subset, id string, op toloka.Operation) {
	reason := fmt.Sprintf("operation %s is still %s after %v: the same command asks for it again", id, cmp.Or(op.Status, "unknown to the server"), j.cfg.OperationTimeout)
	for _, row := range s.rows {
		j.unsent(row, reason, true)
	}
	j.log.Warn("an operation takes too long and is left", zap.String("operation", id), zap.Int("chunk", s.chunk.Number), zap.Int("rows", len(s.rows)))
}

// errLogLacks is the cause where a log doesn't name every row.
var errLogLacks = errors.New("the log lacks rows")

// readLog gives rows their status by an operation's log. While rows lack, it
// reads the log again, so many times. It reports whether there is no log.
func (j *job) readLog(ctx context.Context, s subset, id string, rereads int) (gone bool, err error) {
	what := "reading the log of operation " + id
	for n := 0; ; n++ {
		if n > 0 {
			j.takeBack(s.rows) // nothing is kept of an earlier reading
		}
		j.failed = map[int]bool{}
		var others []toloka.Item
		effort, err := j.client.Log(ctx, j.entity, id, j.batch(s), func(items iter.Seq[toloka.Item]) { others = j.take(s, items) })
		j.out.QuotaWait += effort.QuotaWait
		gone, forGood := toloka.NoLog(err)
		switch {
		case err == nil:
			j.takeOthers(s, others)
		case !gone:
			return false, err
		}
		if len(j.untold(s.rows)) == 0 || n == rereads || forGood {
			j.nameCreated(s.rows)
			return gone, nil
		}
		if backoff.Sleep(ctx, time.Second<<n) != nil {
			return false, toloka.Canceled(ctx, what, errLogLacks)
		}
	}
}

// take gives rows that a log names as created, by their index, their status. It
// returns the other items, nearly always none.
func (j *job) take(s subset, items iter.Seq[toloka.Item]) (others []toloka.Item) {
	for item := range items {
		if !item.Created || item.Index < 0 {
			others = append(others, item)
		} else if s.has(item.Index) && j.open(item.Index) {
			j.created(item.Index, item.ID)
		}
	}
	return others
}

// takeOthers gives rows their status by the other items of a log. An item is about
// the row with its index; one without, about a row that was sent alike.
func (j *job) takeOthers(s subset, items []toloka.Item) {
	if len(items) == 0 {
		return
	}
	var alike map[batcher.Key][]int // the rows by their keys, which nearly nobody asks for
	taken := map[string]bool{}
	for i := range j.out.Rows {
		if r := &j.out.Rows[i]; r.Status == verdict.Created && r.TaskID != "" {
			taken[r.TaskID] = true
		}
	}
	slices.SortStableFunc(items, func(a, b toloka.Item) int { return precedence(a) - precedence(b) })
	for _, item := range items {
		row := item.Index
		if row < 0 {
			if item.Created && taken[item.ID] {
				continue // an earlier upload's, of another row that is equal
			}
			if alike == nil {
				alike = s.byKey()
			}
			key := item.Key
			rows := alike[key]
			for len(rows) > 0 && !j.open(rows[0]) {
				rows = rows[1:]
			}
			if alike[key] = rows; len(rows) == 0 {
				continue
			}
			row = rows[0]
		}
		switch {
		case !s.has(row) || !j.open(row):
		case item.Created:
			j.created(row, item.ID)
			taken[item.ID] = true
		case passes(item.Findings):
			j.failed[row] = true
		default:
			j.rejected(row, item.Findings)
		}
	}
}

// precedence orders the items of a log: what was created comes first, so that a refusal
// of the same row is no news; rows with an index come before rows that are only alike.
func precedence(item toloka.Item) int {
	switch {
	case item.Created:
		return 0
	case item.Index >= 0:
		return 1
	}
	return 2
}

// Settled is what became of an operation.
type Settled struct {
	// Found means that the server knows the operation.
	Found bool
	// Created are the tasks that it created, in no order.
	Created []toloka.Task
	// LogGone means that the server no longer has the operation's log: Created is
	// empty but the operation may have created tasks.
	LogGone bool
}

// Settle finds out what an operation has created whose chunk is not at hand.
// It waits for the operation's end, and fails where that takes longer than
// Config.OperationTimeout. An operation that the server doesn't know is asked
// for again after Config.Settle. Errors are those of Upload.
func (u *Uploader) Settle(ctx context.Context, operation string) (Settled, error) {
	op, err := u.settled(ctx, operation, u.cfg.Settle)
	switch {
	case err != nil:
		return Settled{}, err
	case op.Status == "":
		return Settled{}, nil
	case !op.Done():
		failed := u.client.Failure(toloka.KindTimeout, "waiting for operation "+operation, fmt.Errorf("it is still %s after %v", op.Status, u.cfg.OperationTimeout))
		failed.InDoubt = true
		return Settled{Found: true}, failed
	}
	// The log can lag behind: two readings must agree.
	s := Settled{Found: true}
	for n := 0; ; n++ {
		now, err := u.client.Created(ctx, u.entity, operation)
		gone, _ := toloka.NoLog(err)
		if err != nil && !gone {
			return Settled{}, err
		}
		if n > 0 && gone == s.LogGone && len(now) <= len(s.Created) || n == rereadsAfterSuccess {
			return s, nil
		}
		s.Created, s.LogGone = now, gone
		if backoff.Sleep(ctx, time.Second<<n) != nil {
			return Settled{}, toloka.Canceled(ctx, "reading the log of operation "+operation, errLogLacks)
		}
	}
}
