package uploader

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"time"

	"poolfill/batcher"
	"poolfill/internal/backoff"
	"poolfill/internal/contract"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// Journal keeps, durably, what is about to be sent. It is called by several
// goroutines at once.
type Journal interface {
	// Sending is called before the first request of an operation (Async), or
	// before the first attempt at a part (Sync), and again before a part is sent
	// again after the pool was searched for it. It returns once that survives a
	// crash. Its error ends Upload; nothing of what it was told of was sent.
	Sending(ctx context.Context, a Attempt) error
}

// Attempt is what is about to be sent.
type Attempt struct {
	Chunk *batcher.Chunk
	// Rows are the indexes of the chunk's tasks that are sent, ascending. They
	// must not be changed.
	Rows []int
	// Operation is the id of the operation; empty in Sync.
	Operation string
	// Generation counts the operations of just these rows that failed before.
	Generation int
	// At is the time by the server's clock, as far as that is known.
	At time.Time
}

// Prior is what is known of a chunk from an earlier upload with the same
// settings that was broken off. The zero value knows nothing.
type Prior struct {
	// Rows is empty or has one entry a row. Rows that are Created or Rejected
	// stay so and are not sent; their Position is taken from the chunk. The others are sent; in Async, those that are
	// InDoubt are looked for in the pool before. Any other length is an error.
	Rows []verdict.Verdict
	// Since is the At of the earliest Attempt at the chunk. In Async, zero means
	// that it isn't known. In Sync, zero means that nothing was sent; else all
	// rows that are not settled are looked for in the pool before they are sent.
	Since time.Time
	// Operations are the ids of all Attempts. They are asked for before anything
	// is sent; only those that the server doesn't know are sent.
	Operations []string
	// Named tells which tasks are known to belong to other rows; nil knows of
	// none. It is called by one goroutine at a time, and only where the pool is
	// searched. Its error ends Upload.
	Named Named
}

// note tells the Journal what is about to be sent.
func (j *job) note(ctx context.Context, p part, operation string) error {
	if j.cfg.Journal == nil {
		return nil
	}
	j.out.Noted = true
	return j.cfg.Journal.Sending(ctx, Attempt{
		Chunk: p.chunk, Rows: p.rows, Operation: operation, Generation: p.generation,
		At: j.client.serverTime(time.Now()),
	})
}

// serverTime gives what the server's clock shows at a time of ours.
func (c *Client) serverTime(t time.Time) time.Time {
	return t.Add(time.Duration(c.ahead.Load()))
}

// since gives the time, by the server's clock, from which on tasks of the chunk
// may have been created; zero where that isn't known.
func (j *job) since(existed bool) time.Time {
	switch {
	case !j.prior.Since.IsZero():
		return j.prior.Since
	case existed:
		return time.Time{}
	}
	return j.client.serverTime(j.flight.since)
}

// resume takes what is known from an earlier upload, finds out what became of
// the rest, and gives what is still to be sent.
func (j *job) resume(ctx context.Context) ([]part, error) {
	prior := j.prior
	if n := len(prior.Rows); n != 0 && n != len(j.out.Rows) {
		return nil, fmt.Errorf("%d rows are known of a chunk of %d rows", n, len(j.out.Rows))
	}
	var doubtful []int
	for i := range prior.Rows {
		if prior.Rows[i].Status != verdict.Unsent {
			at := j.out.Rows[i].Position
			j.out.Rows[i] = prior.Rows[i]
			j.out.Rows[i].Position = at
		}
	}
	if len(prior.Rows) == 0 && len(prior.Operations) == 0 && prior.Since.IsZero() {
		return []part{whole(j.out.Chunk)}, nil
	}
	j.recent.begin(&j.flight)
	j.nameCreated(whole(j.out.Chunk))
	open := func() part { return j.part(j.opens(whole(j.out.Chunk))) }
	switch {
	case j.cfg.Mode == Async:
		gone, err := j.recall(ctx, open)
		if err != nil {
			return nil, err
		}
		p := open()
		if j.asked[j.operationID(p)].Status == toloka.OperationSuccess {
			break // it is the very operation of these rows, and tells about them
		}
		for _, row := range p.rows {
			if gone || len(prior.Rows) > 0 && prior.Rows[row].InDoubt {
				doubtful = append(doubtful, row)
			}
		}
	case !prior.Since.IsZero():
		doubtful = open().rows
	}
	if len(doubtful) > 0 {
		if _, err := j.search(ctx, j.part(doubtful), j.since(true), nil); err != nil {
			return nil, err
		}
	}
	p := open()
	switch {
	case len(p.rows) == 0:
		return nil, nil
	case j.asked[j.operationID(p)].Status == toloka.OperationSuccess:
		// It has created them already, whatever was refused beside.
	case !j.cfg.SkipInvalid && j.out.Count(verdict.Rejected) > 0:
		return nil, nil
	}
	return []part{p}, nil
}

// recall asks for the operations of the earlier upload, waits for those that
// exist, and takes their logs. An upload that goes on can cut its rows
// otherwise than the earlier one, so each log is for any row. It reports
// whether there were operations whose log is gone.
func (j *job) recall(ctx context.Context, open func() part) (gone bool, err error) {
	j.asked = make(map[string]toloka.Operation, len(j.prior.Operations))
	if len(j.prior.Operations) == 0 || len(open().rows) == 0 {
		return false, nil
	}
	if err := j.enter(ctx); err != nil {
		return false, canceled(ctx, "asking for operations of "+open().String(), nil)
	}
	first := j.operationID(open())
	for _, id := range j.prior.Operations {
		// The request for the first one can't come too late: it is the one that
		// will be sent again, and the server takes an id once.
		op, failed := j.settled(ctx, id, id != first)
		if failed != nil {
			return false, failed
		}
		if op.Status == "" {
			continue
		}
		j.out.Known = true
		j.out.Operation = id
		p := open()
		if len(p.rows) == 0 {
			break
		}
		j.asked[id] = op
		rereads := rereadsAfterFail
		switch {
		case !op.Done():
			j.tooLong(p, id, op)
			continue
		case op.Status == toloka.OperationSuccess && id == first:
			return false, nil // it has all rows; it is taken like one just sent
		case op.Status == toloka.OperationSuccess:
			rereads = rereadsAfterSuccess
		}
		lost, failed := j.readLog(ctx, p, id, rereads)
		if failed != nil {
			return false, failed
		}
		gone = gone || lost
	}
	return gone, nil
}

// settled gives an operation at its end, or as it is when the time for
// operations is over. One that doesn't exist has no status; with wait, the
// server gets time to take a request for it that is still under way.
func (u *Uploader) settled(ctx context.Context, id string, wait bool) (toloka.Operation, *APIError) {
	op, failed := u.client.operation(ctx, id)
	if failed != nil && failed.Kind == KindNotFound && wait {
		if backoff.Sleep(ctx, u.cfg.Settle) != nil {
			return op, canceled(ctx, "asking for operation "+id, failed)
		}
		op, failed = u.client.operation(ctx, id)
	}
	switch {
	case failed == nil:
		return u.await(ctx, "waiting for operation "+id, id, op, true, time.Now().Add(u.cfg.OperationTimeout))
	case failed.Kind == KindNotFound:
		return toloka.Operation{}, nil
	}
	return op, failed
}

// Settled is what became of an operation.
type Settled struct {
	// Found says that the server knows the operation.
	Found bool
	// Created are the tasks that it created, in no order.
	Created []Task
	// LogGone says that the server no longer has the operation's log, which
	// means that Created is empty but the operation may have created tasks.
	LogGone bool
}

// Settle finds out what an operation has created whose chunk is not at hand.
// It waits for the operation's end, and fails where that takes longer than
// Config.OperationTimeout. An operation that the server doesn't know is asked
// for again after Config.Settle. Errors are those of Upload.
func (u *Uploader) Settle(ctx context.Context, operation string) (Settled, error) {
	op, failed := u.settled(ctx, operation, true)
	switch {
	case failed != nil:
		return Settled{}, failed
	case op.Status == "":
		return Settled{}, nil
	case !op.Done():
		return Settled{Found: true}, &APIError{
			Kind: KindTimeout, What: "waiting for operation " + operation, Host: u.client.base.Host, InDoubt: true,
			cause: fmt.Errorf("it is still %s after %v", op.Status, u.cfg.OperationTimeout),
		}
	}
	// The log can lag behind: two readings must agree.
	what := "reading the log of operation " + operation
	s := Settled{Found: true}
	for n := 0; ; n++ {
		var now []Task
		failed := u.client.do(ctx, &call{
			what: what, method: http.MethodGet, path: "/operations/" + operation + "/log", limit: 1 << 30,
			read: func(r io.Reader) error {
				return u.client.decode.log(r, 0, true, nil, func(entries iter.Seq[logEntry]) {
					for e := range entries {
						if e.created {
							now = append(now, Task{Index: e.index, Key: e.key, ID: e.taskID})
						}
					}
				})
			},
		})
		gone := failed.logGone()
		if failed != nil && !gone {
			return Settled{}, failed
		}
		if n > 0 && gone == s.LogGone && len(now) <= len(s.Created) || n == rereadsAfterSuccess {
			return s, nil
		}
		s.Created, s.LogGone = slices.Clone(now), gone
		if backoff.Sleep(ctx, time.Second<<n) != nil {
			return Settled{}, canceled(ctx, what, errLogLacks)
		}
	}
}

// logGone reports whether a failure means that there is no log.
func (e *APIError) logGone() bool {
	return e != nil && (e.Kind == KindNotFound || e.Code == contract.CodeOperationLogsArchived)
}
