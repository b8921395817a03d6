package uploader

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"poolfill/internal/backoff"
)

// Task is a task that the server has.
type Task struct {
	// Index is the task's index in its chunk as it was sent; -1 where the
	// server doesn't tell.
	Index int
	// Key is the key of what the task holds.
	Key Key
	// ID is the task's id; empty where the server doesn't tell.
	ID string
}

// Tasks gives every task of the pool, in the order of their ids. An error of
// yield ends it, and is returned.
func (u *Uploader) Tasks(ctx context.Context, yield func(Task) error) error {
	for t, err := range u.list(ctx, listing(u.cfg.PoolID), time.Time{}) {
		if err == nil {
			err = yield(t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// CountTasks counts the tasks of a pool by listing them, as the server tells
// their number nowhere: one request for each 1,000.
func (c *Client) CountTasks(ctx context.Context, pool string) (int64, error) {
	var n int64
	for _, err := range c.list(ctx, pool, listing(pool), time.Time{}) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

func listing(pool string) string { return "listing the tasks of pool " + pool }

// Named tells which of the tasks with these ids are known to belong to rows.
type Named func(ids []string) (map[string]bool, error)

// unnamed leaves out the tasks that are known to belong to rows; a nil Named
// knows of none.
func (f Named) unnamed(tasks []Task) ([]Task, error) {
	if f == nil || len(tasks) == 0 {
		return tasks, nil
	}
	ids := make([]string, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	named, err := f(ids)
	return slices.DeleteFunc(tasks, func(t Task) bool { return named[t.ID] }), err
}

// Strays gives the tasks of the pool that were created since a time of the
// server's clock and that named doesn't report. Zero means all times, a nil
// named none. It waits for the server to settle, and until two listings agree.
func (u *Uploader) Strays(ctx context.Context, since time.Time, named Named) ([]Task, error) {
	what := "looking for tasks of pool " + u.cfg.PoolID + " that are not recorded"
	var found []Task
	for listings, settled := 0, false; !settled; listings++ {
		if backoff.Sleep(ctx, u.cfg.Settle) != nil {
			return nil, canceled(ctx, what, nil)
		}
		var now []Task
		for t, err := range u.list(ctx, what, since) {
			if err != nil {
				return nil, err
			}
			now = append(now, t)
		}
		now, err := named.unnamed(now)
		if err != nil {
			return nil, err
		}
		settled = listings > 0 && len(now) <= len(found)
		found = now
	}
	return found, nil
}

// list lists the tasks of the uploader's pool, as Client.list does.
func (u *Uploader) list(ctx context.Context, what string, since time.Time) iter.Seq2[Task, error] {
	return u.client.list(ctx, u.cfg.PoolID, what, since)
}

// list gives the pool's tasks that were created since a time of the server's
// clock, less what the clocks may differ; zero means all. An error ends it.
func (c *Client) list(ctx context.Context, pool, what string, since time.Time) iter.Seq2[Task, error] {
	query := url.Values{"pool_id": {pool}, "sort": {"id"}, "limit": {strconv.Itoa(listPage)}}
	if !since.IsZero() {
		query.Set("created_gte", since.Add(-c.clockMargin()).UTC().Format(createdLayout))
	}
	return func(yield func(Task, error) bool) {
		for after, more := "", true; more; {
			if after != "" {
				query.Set("id_gt", after)
			}
			var page []Task
			failed := c.do(ctx, &call{
				what: what, method: http.MethodGet, path: "/tasks", query: query, limit: 1 << 30,
				read: func(r io.Reader) error {
					page = page[:0] // a page that broke off is read from the start
					var err error
					more, err = c.decode.tasks(r, func(t Task) { page = append(page, t) })
					return err
				},
			})
			if failed != nil {
				yield(Task{}, failed)
				return
			}
			for _, t := range page {
				if !yield(t, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
			next := page[len(page)-1].ID
			if next == after {
				yield(Task{}, &APIError{
					Kind: KindUnexpected, What: what, Host: c.base.Host,
					cause: fmt.Errorf("the list of tasks doesn't go on after %s", after),
				})
				return
			}
			after = next
		}
	}
}

// search looks in the pool for the tasks of rows of which nothing tells whether
// they were created, and gives the rows that the pool doesn't have. Meanwhile
// no other chunk is under way, so that each task of the pool is either named
// already, or was created for rows that are in doubt, and then equal tasks are
// interchangeable. cause, where not nil, is the failure that made it needed.
func (j *job) search(ctx context.Context, p part, since time.Time, cause *APIError) (missing []int, err error) {
	what := "looking for the tasks of " + p.String()
	settle := j.cfg.Settle
	var last error
	if cause != nil {
		last = cause
		if cause.Kind == KindTimeout {
			settle *= settleAfterTimeout
		}
	}
	j.clear()
	release, err := j.recent.alone(ctx)
	if err != nil {
		return nil, canceled(ctx, what, last)
	}
	defer release()

	// Two listings must agree, unless one has found everything.
	var found map[int]string
	for listings, settled := 0, false; !settled; listings++ {
		if backoff.Sleep(ctx, settle) != nil {
			return nil, canceled(ctx, what, last)
		}
		now, err := j.find(ctx, p, what, since)
		if err != nil {
			return nil, err
		}
		settled = len(now) == len(p.rows) || listings > 0 && len(now) <= len(found)
		found = now
	}
	for _, row := range p.rows {
		if id, ok := found[row]; ok {
			j.created(row, id)
		} else {
			missing = append(missing, row)
		}
	}
	j.name(maps.Values(found), len(found))
	j.log.Warn("it was in doubt what was created; the pool was searched for the tasks", zap.Int("chunk", p.chunk.Number),
		zap.Int("rows", len(p.rows)), zap.Int("found", len(found)))
	return missing, nil
}

// find gives those tasks of the pool that are tasks of the part and nobody
// else's, by their row.
func (j *job) find(ctx context.Context, p part, what string, since time.Time) (map[int]string, error) {
	alike, err := rowsByContent(p)
	if err != nil {
		return nil, &APIError{Kind: KindUnexpected, What: what, Host: j.client.base.Host, cause: err}
	}
	// What Kept has taken out of others, Named tells of from then on: so others
	// come first.
	others := j.recent.ids()
	var candidates []Task
	for t, err := range j.list(ctx, what, since) {
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
	found := map[int]string{}
	for _, t := range candidates {
		if rows := alike[t.Key]; len(rows) > 0 {
			found[rows[0]] = t.ID
			alike[t.Key] = rows[1:]
		}
	}
	return found, nil
}
