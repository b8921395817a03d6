package uploader

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"poolfill/batcher"
	"poolfill/internal/backoff"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// Upload brings a chunk into the pool. It takes as long as the chunk takes,
// retries and waiting for the quota included. Of a chunk whose earlier upload
// was broken off, prior is what is known; what became of the rest is found
// out before anything is sent.
//
// An error (a *toloka.Error, or one that wraps it) means that the run can't go on,
// or that ctx ended; then Upload returns at once. In any case the Outcome has
// what is known of each row.
func (u *Uploader) Upload(ctx context.Context, chunk *batcher.Chunk, prior Prior) (Outcome, error) {
	j := &job{
		Uploader: u,
		prior:    prior,
		out:      Outcome{Chunk: chunk, Rows: u.newRows(chunk)},
		openRows: chunk.Len(),
		retries:  backoff.Budget{Left: u.client.Config().RetryFor},
	}
	defer u.recent.doubt(&j.lifetime, nil)
	defer j.release()
	var err error
	if chunk.Len() > 0 {
		err = j.run(ctx)
	}
	return j.out, err
}

// run sends the chunk, and what remains of it, until each row has its status.
func (j *job) run(ctx context.Context) error {
	deliver := j.async
	if j.cfg.Mode == Sync {
		deliver = j.sync
	}
	queue, err := j.resume(ctx)
	if err != nil {
		j.allUnsent(reasonInDoubt, true)
		return err
	}
	for len(queue) > 0 {
		s := queue[0]
		rest, inDoubt, err := deliver(ctx, s)
		if err != nil {
			if inDoubt {
				for _, row := range s.rows {
					j.unsent(row, reasonInDoubt, true)
				}
			}
			j.allUnsent(reasonNotSent, false)
			return err
		}
		queue = append(rest, queue[1:]...)
		if !j.cfg.SkipInvalid && j.rejectedRows > 0 {
			queue = nil
		}
	}
	j.allUnsent(reasonInvalidBeside, false)
	return nil
}

// allUnsent gives all rows that have no status yet a reason.
func (j *job) allUnsent(reason string, inDoubt bool) {
	if j.openRows == 0 {
		return
	}
	for row := range j.out.Rows {
		j.unsent(row, reason, inDoubt)
	}
}

// remaining is what of the chunk nothing is known of yet.
func (j *job) remaining() subset {
	chunk := j.out.Chunk
	all := whole(chunk)
	if open := j.opens(all.rows); len(open) < len(all.rows) {
		return only(chunk, open)
	}
	return all
}

// resume takes what is known from an earlier upload, finds out what became of
// the rest, and returns what is still to be sent.
func (j *job) resume(ctx context.Context) ([]subset, error) {
	prior := j.prior
	if n := len(prior.Rows); n != 0 && n != len(j.out.Rows) {
		return nil, fmt.Errorf("%d rows are known of a chunk of %d rows", n, len(j.out.Rows))
	}
	for i := range prior.Rows {
		if prior.Rows[i].Status == verdict.Created {
			at := j.out.Rows[i].Position
			j.out.Rows[i] = prior.Rows[i]
			j.out.Rows[i].Position = at
			j.openRows--
		}
	}
	all := whole(j.out.Chunk)
	if len(prior.Rows) == 0 && len(prior.Operations) == 0 && !prior.inDoubt() {
		return []subset{all}, nil
	}
	j.recent.begin(&j.lifetime)
	j.nameCreated(all.rows)
	doubtful, err := j.doubtful(ctx)
	if err != nil {
		return nil, err
	}
	if len(doubtful) > 0 {
		missing, err := j.search(ctx, only(j.out.Chunk, doubtful), j.span(true), nil)
		if err != nil {
			return nil, err
		}
		j.out.Resent = j.cfg.Mode == Sync && len(missing) > 0
	}
	s := j.remaining()
	refused := slices.DeleteFunc(slices.Clone(s.rows), func(row int) bool { return !j.refusedThen[row] })
	if n := len(refused); j.cfg.SkipInvalid && n > 0 && n < len(s.rows) && !j.hasCreated(s) {
		rest := slices.DeleteFunc(slices.Clone(s.rows), func(row int) bool { return j.refusedThen[row] })
		return j.again(s, rest, refused), nil
	}
	if len(s.rows) > 0 {
		return []subset{s}, nil
	}
	return nil, nil
}

// hasCreated reports whether the operation of just these rows has succeeded, and so
// knows what became of them.
func (j *job) hasCreated(s subset) bool {
	return j.asked[j.operationID(s)].Status == toloka.OperationSuccess
}

// doubtful returns the rows that only the pool itself can tell about.
func (j *job) doubtful(ctx context.Context) (rows []int, err error) {
	if j.cfg.Mode == Sync {
		if j.prior.inDoubt() {
			rows = j.remaining().rows
		}
		return rows, nil
	}
	gone, err := j.recall(ctx)
	if err != nil {
		return nil, err
	}
	s := j.remaining()
	if j.hasCreated(s) {
		return nil, nil
	}
	for _, row := range s.rows {
		if gone || len(j.prior.Rows) > 0 && j.prior.Rows[row].InDoubt && !j.told[row] {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// recall asks for the operations of the earlier upload, waits for those that
// exist, and takes their logs. An upload that goes on can cut its rows
// otherwise than the earlier one, so each log is for any row. It reports
// whether there were operations whose log is gone.
func (j *job) recall(ctx context.Context) (gone bool, err error) {
	j.asked, j.told = make(map[string]toloka.Operation, len(j.prior.Operations)), map[int]bool{}
	j.refusedThen = map[int]bool{}
	s := j.remaining()
	if len(j.prior.Operations) == 0 || len(s.rows) == 0 {
		return false, nil
	}
	if err := j.acquire(ctx); err != nil {
		return false, toloka.Canceled(ctx, "asking for operations of "+s.String(), nil)
	}
	first := j.operationID(s)
	for _, id := range j.prior.Operations {
		grace := j.cfg.Settle
		if id == first {
			// The request for this one can't come too late: it is the one that
			// will be sent again, and the server takes an id once.
			grace = 0
		}
		op, err := j.settled(ctx, id, grace)
		if err != nil {
			return false, err
		}
		if op.Status == "" {
			continue
		}
		j.out.Known = true
		j.out.Operation = id
		if s = j.remaining(); len(s.rows) == 0 {
			break
		}
		j.asked[id] = op
		rereads := rereadsAfterFail
		switch {
		case !op.Done():
			j.tooLong(s, id, op)
			continue
		case op.Status == toloka.OperationSuccess && id == first:
			return false, nil // it has all rows; it is taken like one just sent
		case op.Status == toloka.OperationSuccess:
			rereads = rereadsAfterSuccess
		}
		lost, err := j.readLog(ctx, s, id, rereads)
		if err != nil {
			return false, err
		}
		gone = gone || lost
		// What was refused then may be right now.
		refused := j.refusedOf(s.rows)
		j.takeBack(refused)
		for _, row := range refused {
			j.told[row], j.refusedThen[row] = true, true
		}
		maps.Copy(j.told, j.failed)
	}
	return gone, nil
}
