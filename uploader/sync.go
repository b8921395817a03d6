package uploader

import (
	"context"
	"iter"

	"poolfill/uploader/toloka"
)

// sync sends a subset and takes the tasks from the answer. What became of an attempt
// without an answer is looked up in the pool before anything is sent again. It returns
// what is to be sent instead; where it fails, whether the server may have the rows.
func (j *job) sync(ctx context.Context, s subset) (rest []subset, inDoubt bool, err error) {
	noted, lost := false, false
	hooks := toloka.Hooks{Stop: j.cfg.Stop, Ready: func(ctx context.Context) (func(bool), error) {
		if !noted {
			if err := j.note(ctx, s, ""); err != nil {
				return nil, err
			}
			noted = true
		}
		release, err := j.recent.acquire(ctx, &j.lifetime)
		return func(bool) { release() }, err
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
			missing, err := j.search(ctx, s, j.since(false), failed)
			if lost = err != nil; lost || len(missing) == 0 {
				return toloka.Batch{}, err
			}
			s, noted = only(s.chunk, missing), false
			return batch(), nil
		})
	j.out.Attempts += effort.Attempts
	j.out.QuotaWait += effort.QuotaWait
	switch {
	case err == nil:
		return nil, false, nil
	case lost:
		return nil, true, err
	}
	return j.refused(s, err)
}

// answered gives rows their status by the answer to a synchronous upload.
func (j *job) answered(s subset, items iter.Seq[toloka.Item]) {
	refusals := false
	for item := range items {
		row := s.rows[item.Index]
		if item.Created {
			j.created(row, item.ID)
		} else {
			refusals = true
			j.rejected(row, item.Findings)
		}
	}
	if !refusals || j.cfg.SkipInvalid {
		for _, row := range s.rows {
			j.unsent(row, reasonNotAnswered, true)
		}
	}
	j.nameCreated(s.rows)
}
