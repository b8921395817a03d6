package uploader

import (
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

// async sends a subset as an operation and waits for its end. It returns what is
// to be sent again; where it fails, whether the server may have the rows.
//
// From the first request until the log is read, nobody searches the pool.
func (j *job) async(ctx context.Context, s subset) (rest []subset, inDoubt bool, err error) {
	defer j.release()
	id := j.operationID(s)
	j.out.Operation, j.out.Generation = id, s.generation
	deadline := time.Now().Add(j.cfg.OperationTimeout)

	op, existed := j.asked[id]
	for !op.Done() {
		if op.Status == "" {
			var known bool
			if op, known, err = j.submit(ctx, s, id); err != nil {
				return j.refused(s, err)
			}
			existed = existed || known
		}
		// From here on the server has the operation.
		if err := j.acquire(ctx); err != nil {
			return nil, true, toloka.Canceled(ctx, "waiting for operation "+id, nil)
		}
		if op, err = j.await(ctx, fmt.Sprintf("waiting for operation %s of %s", id, s), id, op, existed, deadline); err != nil {
			return nil, true, err
		}
		if op.Status == "" && time.Now().Before(deadline) {
			j.log.Warn("an operation got lost and is sent again", zap.String("operation", id))
			continue
		}
		if !op.Done() {
			j.tooLong(s, id, op)
			return nil, false, nil
		}
	}
	return j.finish(ctx, s, id, op, existed)
}

// submit sends the operation until the server has it, or refuses it. An answer
// that was lost is no matter: the server takes the id only once, and says so.
// It reports whether the operation existed before the first attempt.
func (j *job) submit(ctx context.Context, s subset, id string) (op toloka.Operation, existed bool, err error) {
	hooks := toloka.Hooks{Stop: j.cfg.Stop, Ready: func(ctx context.Context) (func(bool), error) {
		if j.noted != id {
			if err := j.note(ctx, s, id); err != nil {
				return nil, err
			}
			j.noted = id
		}
		// What waits for the quota, with nothing sent, keeps nobody waiting.
		return func(maybeDone bool) {
			if !maybeDone {
				j.release()
			}
		}, j.acquire(ctx)
	}}
	op, effort, err := j.client.Submit(ctx, j.entity, j.batch(s), id, hooks)
	j.out.Attempts += effort.Attempts
	j.out.QuotaWait += effort.QuotaWait
	failed, ok := errors.AsType[*toloka.Error](err)
	switch {
	case !ok:
	case failed.Kind == toloka.KindConflict && failed.Code == contract.CodeOperationAlreadyExists:
		return toloka.Operation{ID: id, Status: toloka.OperationPending}, effort.Attempts == 1, nil
	case failed.InDoubt && (failed.Kind == toloka.KindTooLarge || failed.Kind == toloka.KindInvalid):
		// Only the repetition may have been refused. What is sent instead of the rows has
		// other ids: be sure that nothing exists.
		found, err := j.client.Operation(ctx, id)
		if err == nil {
			return found, false, nil
		}
		failed.InDoubt = failed.Kind == toloka.KindInvalid
		if lost, ok := errors.AsType[*toloka.Error](err); ok && lost.Kind != toloka.KindNotFound {
			lost.InDoubt = true
			return op, false, lost
		}
	}
	return op, false, err
}

// finish takes the log of an operation that has ended. Rows that the log should
// name and doesn't, and all where there is no log, are looked for in the pool.
// It decides what is sent again.
func (j *job) finish(ctx context.Context, s subset, id string, op toloka.Operation, existed bool) (rest []subset, inDoubt bool, err error) {
	succeeded := op.Status == toloka.OperationSuccess
	rereads := rereadsAfterFail
	if succeeded {
		rereads = rereadsAfterSuccess
	}
	gone, err := j.readLog(ctx, s, id, rereads)
	if err != nil {
		return nil, true, err
	}
	open := j.untold(s.rows)
	if len(open) > 0 && (gone || succeeded) {
		from := j.span(existed)
		if succeeded {
			from = from.alone()
		}
		if open, err = j.search(ctx, only(s.chunk, open), from, nil); err != nil {
			return nil, true, err
		}
	}
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
	}
	if existed {
		// An earlier upload's rows were refused. The reason may be gone.
		j.takeBack(j.refusedOf(s.rows))
	}
	open = j.opens(s.rows)
	created, rejected := j.statuses(s)
	j.out.Known = j.out.Known || existed && created > 0
	if len(open) == 0 || rejected > 0 && !j.cfg.SkipInvalid {
		return nil, false, nil
	}
	again := s
	if len(open) < len(s.rows) {
		again = only(s.chunk, open)
	} else {
		again.generation++
	}
	if existed && s.generation < maxGenerations {
		j.log.Info("what an earlier operation didn't create is sent again",
			zap.String("operation", id), zap.Int("chunk", s.chunk.Number), zap.Int("rows", len(open)))
		return []subset{again}, false, nil
	}
	j.log.Warn("an operation failed, at least in part; what it didn't create is sent again",
		zap.String("operation", id), zap.Int("chunk", s.chunk.Number), zap.Int("rows", len(open)), zap.Int("generation", s.generation))
	j.release()
	delay, ok := j.retries.Next(0, backoff.Jitter())
	if ok && backoff.Sleep(ctx, delay) == nil {
		return []subset{again}, false, nil
	}
	gaveUp := j.client.Failure(toloka.KindTransient, fmt.Sprintf("creating the tasks of %s", s),
		fmt.Errorf("operation %s ended with %s and created %d of its %d tasks%s", id, op.Status, created, len(s.rows), op.Explain()))
	if gaveUp.Attempts = j.out.Attempts; ctx.Err() != nil {
		return nil, false, toloka.Canceled(ctx, gaveUp.What, gaveUp)
	}
	return nil, false, gaveUp
}

// statuses counts the rows of a subset that were created, and those that were rejected.
func (j *job) statuses(s subset) (created, rejected int) {
	for _, row := range s.rows {
		switch j.out.Rows[row].Status {
		case verdict.Created:
			created++
		case verdict.Rejected:
			rejected++
		}
	}
	return created, rejected
}
