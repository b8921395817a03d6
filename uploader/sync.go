package uploader

import (
	"context"
	"errors"
	"iter"

	"poolfill/internal/backoff"
	"poolfill/uploader/toloka"
)

// sync sends a subset and takes the tasks from the answer. What became of an attempt
// without an answer is looked up in the pool before anything is sent again. It returns
// what is to be sent instead; where it fails, whether the server may have the rows.
func (j *job) sync(ctx context.Context, s subset) (rest []subset, inDoubt bool, err error) {
	if !j.lifetime.mark.Known() {
		if j.lifetime.mark, err = j.mark(ctx); err != nil {
			return nil, false, err
		}
	}
	from := spanOf(j.lifetime.mark, j.lifetime.since)
	noted, lost := false, false
	hooks := toloka.Hooks{Stop: j.cfg.Stop, Ready: func(ctx context.Context) (func(bool), error) {
		if !noted {
			if err := j.note(ctx, s, ""); err != nil {
				return nil, err
			}
			noted = true
		}
		release, err := j.recent.acquire(ctx, &j.lifetime)
		return func(maybeDone bool) {
			if open := j.opens(s.rows); maybeDone && len(open) > 0 {
				// A search that begins now must not wonder whose these tasks are.
				j.recent.doubt(&j.lifetime, only(s.chunk, open).keys())
			}
			release()
		}, err
	}}
	// The answer names places in the request.
	batch := func() toloka.Batch {
		b := j.batch(s)
		b.Inputs = func(i int) []byte { return s.inputs(s.rows[i]) }
		return b
	}
	effort, err := j.client.Create(ctx, j.entity, batch(), hooks,
		func(items iter.Seq[toloka.Item]) { j.answered(s, items) },
		func(ctx context.Context, failed *toloka.Error) (toloka.Batch, error) {
			missing, err := j.search(ctx, s, from, failed)
			if lost = err != nil; lost || len(missing) == 0 {
				return toloka.Batch{}, err
			}
			j.out.Resent = true
			s, noted = only(s.chunk, missing), false
			return batch(), nil
		})
	j.out.Attempts += effort.Attempts
	j.out.QuotaWait += effort.QuotaWait
	switch {
	case err == nil:
		return j.unanswered(ctx, s, from)
	case lost:
		return nil, true, err
	}
	return j.refused(s, err)
}

// unanswered looks for rows that the answer to a synchronous upload doesn't name, or not
// in a way that can be right.
func (j *job) unanswered(ctx context.Context, s subset, from span) (rest []subset, inDoubt bool, err error) {
	open := j.opens(s.rows)
	if len(open) == 0 {
		return nil, false, nil
	}
	if open, err = j.search(ctx, only(s.chunk, open), from, nil); err != nil || len(open) == 0 {
		return nil, true, err
	}
	what := "sending " + s.String()
	delay, ok := j.retries.Next(0, backoff.Jitter())
	if !ok {
		failed := j.client.Failure(toloka.KindMalformed, what, errNotNamed)
		failed.Attempts = j.out.Attempts
		return nil, false, failed
	}
	if backoff.Sleep(ctx, delay) != nil {
		return nil, false, toloka.Canceled(ctx, what, errNotNamed)
	}
	j.out.Resent = true
	return []subset{only(s.chunk, open)}, false, nil
}

// errNotNamed is the cause where an answer says nothing of rows.
var errNotNamed = errors.New("the server's answer doesn't name every row")

// answered gives rows their status by the answer to a synchronous upload.
func (j *job) answered(s subset, items iter.Seq[toloka.Item]) {
	created, refused := false, false
	for item := range items {
		row := s.rows[item.Index]
		if item.Created {
			created = true
			j.created(row, item.ID)
		} else {
			refused = true
			j.rejected(row, item.Findings)
		}
	}
	if refused && !created && !j.cfg.SkipInvalid {
		for _, row := range s.rows {
			j.unsent(row, reasonInvalidBeside, false)
		}
	}
	j.nameCreated(s.rows)
}
