package uploader

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"poolfill/internal/backoff"
	"poolfill/uploader/toloka"
)

// A server that gave no answer in time may still be at work: so many times longer it
// gets to settle.
const settleAfterTimeout = 5

// unnamed leaves out the tasks that are known to belong to rows; a nil Named
// knows of none.
func (f Named) unnamed(tasks []toloka.Task) ([]toloka.Task, error) {
	if f == nil || len(tasks) == 0 {
		return tasks, nil
	}
	ids := make([]string, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	named, err := f(ids)
	return slices.DeleteFunc(tasks, func(t toloka.Task) bool { return named[t.ID] }), err
}

// lookTwice waits for the server to settle and looks for things, until two looks in a
// row find no more than the one before, or one finds enough.
func lookTwice[T any](ctx context.Context, settle time.Duration, what string, cause error, enough int, look func() ([]T, error)) (found []T, err error) {
	for n := 0; ; n++ {
		if backoff.Sleep(ctx, settle) != nil {
			return nil, toloka.Canceled(ctx, what, cause)
		}
		now, err := look()
		if err != nil {
			return nil, err
		}
		if len(now) == enough || n > 0 && len(now) <= len(found) {
			return now, nil
		}
		found = now
	}
}

// search looks in the pool for the tasks of rows of which it is not known whether
// they were created, and returns the rows that the pool doesn't have. Meanwhile
// no other chunk is under way, so that each task of the pool is either named
// already, or was created for rows that are in doubt, and then equal tasks are
// interchangeable. cause, where not nil, is the failure that made it needed.
func (j *job) search(ctx context.Context, s subset, since time.Time, cause error) (missing []int, err error) {
	what := "looking for the tasks of " + s.String()
	settle := j.cfg.Settle
	if toloka.KindOf(cause) == toloka.KindTimeout {
		settle *= settleAfterTimeout
	}
	j.release()
	release, err := j.recent.acquireAll(ctx)
	if err != nil {
		return nil, toloka.Canceled(ctx, what, cause)
	}
	defer release()

	found, err := lookTwice(ctx, settle, what, cause, len(s.rows), func() ([]match, error) { return j.find(ctx, s, what, since) })
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		j.created(m.row, m.id)
	}
	j.nameCreated(s.rows)
	j.log.Warn("it was in doubt what was created; the pool was searched for the tasks", zap.Int("chunk", s.chunk.Number),
		zap.Int("rows", len(s.rows)), zap.Int("found", len(found)))
	return j.opens(s.rows), nil
}

// match is a task of the pool that is a row's.
type match struct {
	row int
	id  string
}

// find returns those tasks of the pool that are tasks of the subset and nobody else's.
func (j *job) find(ctx context.Context, s subset, what string, since time.Time) (found []match, err error) {
	alike, err := s.byContent()
	if err != nil {
		return nil, j.client.Failure(toloka.KindUnexpected, what, err)
	}
	// What Kept has taken out of others, Named knows from then on: so others
	// come first.
	others := j.recent.ids()
	var candidates []toloka.Task
	for t, err := range j.client.List(ctx, j.entity, j.cfg.PoolID, since, what) {
		if err != nil {
			return nil, err
		}
		if len(alike[t.Key]) > 0 && !others[j.recent.hash(t.ID)] {
			candidates = append(candidates, t)
		}
	}
	if candidates, err = j.prior.Named.unnamed(candidates); err != nil {
		return nil, err
	}
	for _, t := range candidates {
		if rows := alike[t.Key]; len(rows) > 0 {
			found = append(found, match{rows[0], t.ID})
			alike[t.Key] = rows[1:]
		}
	}
	return found, nil
}

// Tasks calls yield with every task of the pool, in the order of their ids. An error
// of yield ends it, and is returned.
func (u *Uploader) Tasks(ctx context.Context, yield func(toloka.Task) error) error {
	for t, err := range u.client.List(ctx, u.entity, u.cfg.PoolID, time.Time{}, "") {
		if err == nil {
			err = yield(t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Strays returns the tasks of the pool that were created since a time of the
// server's clock and that named doesn't report. Zero means all times, a nil
// named none. It waits for the server to settle, and until two listings agree.
func (u *Uploader) Strays(ctx context.Context, since time.Time, named Named) ([]toloka.Task, error) {
	what := "looking for tasks of pool " + u.cfg.PoolID + " that are not recorded"
	return lookTwice(ctx, u.cfg.Settle, what, nil, -1, func() (now []toloka.Task, err error) {
		for t, err := range u.client.List(ctx, u.entity, u.cfg.PoolID, since, what) {
			if err != nil {
				return nil, err
			}
			now = append(now, t)
		}
		return named.unnamed(now)
	})
}
