package uploader

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"poolfill/batcher"
	"poolfill/internal/backoff"
	"poolfill/internal/identity"
	"poolfill/uploader/toloka"
)

const (
	// A server that gave no answer in time may still be at work: so many times longer it
	// gets to settle.
	settleAfterTimeout = 5

	// The times of tasks are those of several machines of the server: so much they may
	// differ from each other, and so much from our clock.
	createdMargin = 2 * time.Minute
	clockMargin   = time.Hour
)

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
func lookTwice[T any](ctx context.Context, settle time.Duration, what string, cause error, enough func(T) bool, count func(T) int, look func() (T, error)) (found T, err error) {
	for n := 0; ; n++ {
		if backoff.Sleep(ctx, settle) != nil {
			return found, toloka.Canceled(ctx, what, cause)
		}
		now, err := look()
		if err != nil {
			return found, err
		}
		if enough(now) || n > 0 && count(now) <= count(found) {
			return now, nil
		}
		found = now
	}
}

// span is the part of the pool's list that has the tasks of rows in doubt, as far as it
// is right that ids rise, or what time it was. Where rows lack there, wider is listed
// too, once.
type span struct {
	mark  Mark
	from  toloka.From
	wider toloka.From
	byID  bool // from is by id
	final bool // nothing wider is listed
}

// alone returns the span without anything wider, for rows that are not sent again in any
// case.
func (s span) alone() span {
	s.final = true
	return s
}

// bounded reports whether all that the span has came since.
func (s span) bounded() bool { return s.from != (toloka.From{}) || s.mark.Empty }

// spanOf returns where the tasks are that came since a mark; without one, since a time
// of our clock; without that, whenever.
func spanOf(mark Mark, since time.Time) span {
	switch {
	case mark.Known() && !mark.Empty:
		s := span{mark: mark, byID: true, from: toloka.From{After: mark.TaskID}}
		if !mark.Created.IsZero() {
			s.wider.Created = mark.Created.Add(-createdMargin)
		}
		return s
	case !mark.Known() && !since.IsZero():
		return span{from: toloka.From{Created: since.Add(-clockMargin)}}
	}
	return span{mark: mark, final: true}
}

// match is a task of the pool that is a row's.
type match struct {
	row int
	id  string
}

// sifted is what tasks of the pool are to rows in doubt.
type sifted struct {
	found   []match
	strange int // tasks that are no row's, as it was sent
}

// sift gives each row a task with its key. What is left is no row's, unless it has the
// key of a row that is in doubt elsewhere.
func sift(tasks []toloka.Task, rows map[batcher.Key][]int, elsewhere ...map[batcher.Key]int) (s sifted) {
	taken := map[batcher.Key]int{}
	left := map[batcher.Key]int{}
	for _, t := range tasks {
		key := t.Key
		if of := rows[key]; taken[key] < len(of) {
			s.found = append(s.found, match{of[taken[key]], t.ID})
			taken[key]++
			continue
		}
		left[key]++
	}
	for key, n := range left {
		for _, counts := range elsewhere {
			n -= counts[key]
		}
		s.strange += max(0, n)
	}
	return s
}

// search looks in the pool for the tasks of rows of which nothing tells whether
// they were created, and returns the rows that the pool surely doesn't have. Meanwhile
// no other chunk is under way, so that each task of the pool is either named
// already, or was created for rows that are in doubt, and then equal tasks are
// interchangeable. cause, where not nil, is the failure that made it needed.
//
// That the pool has no equal task proves nothing where it has another one that nobody
// knows of: the server may have changed what it was sent. Then the rows stay in doubt.
func (j *job) search(ctx context.Context, s subset, from span, cause error) (missing []int, err error) {
	what := "looking for the tasks of " + s.String()
	settle := j.cfg.Settle
	if toloka.KindOf(cause) == toloka.KindTimeout {
		settle *= settleAfterTimeout
	}
	// From here on, until they are settled, others leave the tasks of these rows alone.
	j.recent.doubt(&j.lifetime, s.keys())
	j.release()
	release, err := j.recent.acquireAll(ctx)
	if err != nil {
		return nil, toloka.Canceled(ctx, what, cause)
	}
	defer release()
	defer j.recent.doubt(&j.lifetime, nil)

	l := look{job: j, what: what, rows: s.byKey(), elsewhere: j.recent.doubted(&j.lifetime)}
	seen, err := lookTwice(ctx, settle, what, cause,
		func(seen sifted) bool { return len(seen.found) == len(s.rows) },
		func(seen sifted) int { return len(seen.found) }, // others may go on uploading
		func() (sifted, error) { return l.within(ctx, from) })
	if err == nil && len(seen.found) < len(s.rows) && !from.final {
		seen, err = l.beyond(ctx, from, seen)
	}
	if err != nil {
		return nil, err
	}
	for _, m := range seen.found {
		j.created(m.row, m.id)
	}
	j.nameCreated(s.rows)
	if l.last.Known() {
		j.marks.set(l.last)
	}
	missing = j.opens(s.rows)
	j.log.Warn("it was in doubt what was created; the pool was searched for the tasks", zap.Int("chunk", s.chunk.Number),
		zap.Int("rows", len(s.rows)), zap.Int("found", len(seen.found)), zap.Int("unknown tasks", seen.strange))
	if seen.strange == 0 {
		return missing, nil
	}
	for _, row := range missing {
		j.unsent(row, reasonUnknownTasks, true)
	}
	return nil, nil
}

// look is how a search lists the pool.
type look struct {
	*job
	what      string
	rows      map[batcher.Key][]int // that are looked for, by their keys
	elsewhere map[batcher.Key]int   // rows in doubt that are not looked for
	last      Mark                  // behind all that was listed

	inside  map[uint64]struct{} // what the last look within a span has listed
	unknown []toloka.Task       // and of that what nobody is known to have
}

// within looks at the tasks of a span.
func (l *look) within(ctx context.Context, s span) (sifted, error) {
	l.inside, l.last = map[uint64]struct{}{}, s.mark
	var err error
	l.unknown, err = l.list(ctx, s.from, func(t toloka.Task, hash uint64) bool {
		if l.last = markOf(t); !s.final {
			l.inside[hash] = struct{}{}
		}
		return s.bounded() || l.concerns(t.Key)
	})
	return l.sift(l.unknown), err
}

// beyond looks whether the span was right. Its beginning is what a server says whose ids
// may not rise, or a time of a clock that may be wrong.
func (l *look) beyond(ctx context.Context, s span, seen sifted) (sifted, error) {
	wider := s.wider
	if s.byID {
		beside, err := l.list(ctx, wider, func(t toloka.Task, hash uint64) bool {
			return !l.has(hash) && (t.Created.After(s.mark.Created) || l.concerns(t.Key))
		})
		var late []toloka.Task
		for _, t := range beside {
			if t.Created.After(s.mark.Created) {
				late = append(late, t)
			}
		}
		if err != nil || len(late) == 0 {
			return l.suspect(seen, beside), err
		}
		// It came later than the mark and has a lower id: the time has to do.
		l.log.Warn("the ids of the pool's tasks don't rise: it is searched by time", zap.String("task", late[0].ID))
		l.unknown, l.last = append(l.unknown, late...), Mark{}
		for _, t := range late {
			l.inside[l.recent.hash(t.ID)] = struct{}{}
		}
		seen, wider = l.sift(l.unknown), toloka.From{}
	}
	older, err := l.list(ctx, wider, func(t toloka.Task, hash uint64) bool { return !l.has(hash) && l.concerns(t.Key) })
	return l.suspect(seen, older), err
}

// has reports whether a task was listed within the span.
func (l *look) has(hash uint64) bool {
	_, listed := l.inside[hash]
	return listed
}

// suspect adds tasks that would be those of rows, had they not been there before the
// span, as it seems. Nobody can say of them whose they are.
func (l *look) suspect(seen sifted, older []toloka.Task) sifted {
	all := l.sift(append(slices.Clip(l.unknown), older...))
	seen.strange += len(all.found) - len(seen.found)
	return seen
}

func (l *look) sift(tasks []toloka.Task) sifted {
	return sift(tasks, l.rows, l.elsewhere, l.prior.Doubted)
}

// concerns reports whether a task with this key can be that of a row that is looked for.
func (l *look) concerns(key identity.Key) bool { return len(l.rows[key]) > 0 }

// list returns those of the wanted tasks of the pool that nobody is known to have.
func (l *look) list(ctx context.Context, from toloka.From, wanted func(t toloka.Task, hash uint64) bool) (tasks []toloka.Task, err error) {
	// What Kept has taken out of others, Named knows from then on: so others
	// come first.
	others := l.recent.ids()
	for t, err := range l.client.List(ctx, l.entity, l.cfg.PoolID, from, l.what) {
		if err != nil {
			return nil, err
		}
		if hash := l.recent.hash(t.ID); wanted(t, hash) && !others[hash] {
			tasks = append(tasks, t)
		}
	}
	return l.prior.Named.unnamed(tasks)
}

// Tasks calls yield with every task of the pool, in the order of their ids. An error
// of yield ends it, and is returned.
func (u *Uploader) Tasks(ctx context.Context, yield func(toloka.Task) error) error {
	for t, err := range u.client.List(ctx, u.entity, u.cfg.PoolID, toloka.From{}, "") {
		if err == nil {
			err = yield(t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Strays returns the tasks of the pool that were created since an attempt with this Mark
// and At, and that named doesn't report. Without a mark it goes back an hour further than
// At, as clocks differ; without either, to the beginning. A nil named reports none. It
// waits for the server to settle, and until two listings agree.
func (u *Uploader) Strays(ctx context.Context, mark Mark, since time.Time, named Named) ([]toloka.Task, error) {
	what := "looking for tasks of pool " + u.cfg.PoolID + " that are not recorded"
	return lookTwice(ctx, u.cfg.Settle, what, nil,
		func([]toloka.Task) bool { return false }, func(tasks []toloka.Task) int { return len(tasks) },
		func() (now []toloka.Task, err error) {
			for t, err := range u.client.List(ctx, u.entity, u.cfg.PoolID, spanOf(mark, since).from, what) {
				if err != nil {
					return nil, err
				}
				now = append(now, t)
			}
			return named.unnamed(now)
		})
}
