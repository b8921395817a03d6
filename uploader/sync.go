package uploader

import (
	"context"
	"hash/maphash"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"poolfill/ratelimit"
	"poolfill/reader/verdict"
)

const (
	// listPage is the number of tasks that are listed at a time.
	listPage = 1000
	// The server's clock is known to within a second by its Date header; where
	// there was none, clocks may differ by minutes.
	knownClockMargin   = 5 * time.Second
	unknownClockMargin = 2 * time.Minute
	// A server that gave no answer in time may still be at work: so many times
	// longer it gets to settle.
	settleAfterTimeout = 5

	// createdLayout is the API's form of a time, in UTC.
	createdLayout = "2006-01-02T15:04:05"
)

// sync sends a part and takes the tasks from the answer. It gives what is to be
// sent again; where it fails, whether the server may have the rows.
func (j *job) sync(ctx context.Context, p part) (rest []part, inDoubt bool, err error) {
	b := budget{left: j.client.cfg.RetryFor}
	post := j.post(p)
	malformed := 0
	noted := false
	var last *APIError
	defer func() {
		j.out.Attempts += post.sent
		j.out.QuotaWait += post.waited
	}()
	for {
		post.limit = logBase + logGrowth*int64(len(p.body)) + logEntrySize*int64(len(p.rows))
		post.hold = func(ctx context.Context) (func(), error) {
			if !noted {
				if err := j.note(ctx, p, ""); err != nil {
					return nil, err
				}
				noted = true
			}
			return j.recent.depart(ctx, &j.flight)
		}
		post.read = func(r io.Reader) error {
			return j.answered(p, r)
		}
		failed := j.client.once(ctx, post)
		if failed == nil {
			return nil, false, nil
		}
		if failed.Kind == KindCanceled || failed.Kind == KindJournal {
			if last != nil {
				failed.last = last
			}
			return nil, failed.InDoubt, failed
		}
		last = failed
		if failed.InDoubt {
			missing, err := j.search(ctx, p, j.since(false), failed)
			if err != nil {
				return nil, true, err
			}
			if len(missing) == 0 {
				return nil, false, nil
			}
			if len(missing) < len(p.rows) {
				p = partOf(p.chunk, missing)
				post.what, post.body, post.tasks = "sending "+p.String(), p.body, len(p.rows)
			}
			post.inDoubt, failed.InDoubt, noted = false, false, false
		}
		if failed.Kind == KindMalformed {
			malformed++
		}
		if !failed.Retryable() || malformed > maxMalformed {
			return j.refused(p, failed)
		}
		if failed.Kind != KindQuota {
			b.left -= post.took
			if !b.pause(ctx, ratelimit.ParseRetryAfter(failed.RetryAfter, time.Now())) {
				if ctx.Err() != nil {
					return nil, false, canceled(ctx, post.what, failed)
				}
				return nil, false, failed
			}
		}
		j.client.warn(post, failed)
	}
}

// answered gives rows their status by the answer to a synchronous upload.
func (j *job) answered(p part, answer io.Reader) error {
	refusals := false
	err := j.client.decode.created(answer, len(p.rows), func(i int) []byte { return p.inputs(p.rows[i]) },
		func(i int, id string) { j.created(p.rows[i], id) },
		func(i int, findings []verdict.Finding) {
			refusals = true
			j.rejected(p.rows[i], findings)
		})
	if err != nil {
		return err
	}
	if !refusals || j.cfg.SkipInvalid {
		for _, row := range p.rows {
			j.unsent(row, reasonNotAnswered, true)
		}
	}
	j.nameCreated(p)
	return nil
}

// clockMargin bounds the error in what is known of the server's clock.
func (c *Client) clockMargin() time.Duration {
	if c.dated.Load() {
		return knownClockMargin
	}
	return unknownClockMargin
}

// recent knows which tasks answers and logs have named lately, and keeps others
// from uploading while the pool is searched.
type recent struct {
	road *semaphore.Weighted // shared by requests, held alone by a search

	mu      sync.Mutex
	flights map[*flight]struct{}
	named   []*named // in the order of time
	seed    maphash.Seed
}

// roadWidth is more than the requests that are ever under way.
const roadWidth = 1 << 30

// flight is the upload of a chunk, from its first attempt until its rows are
// known.
type flight struct{ since time.Time }

// named are the tasks of one answer. Of each id only a 64-bit hash is kept: at
// full speed there are millions in the time that a search can reach back, and
// two ids with the same hash would have to meet in one search to do harm.
type named struct {
	at  time.Time
	ids []uint64
}

func newRecent() recent {
	return recent{road: semaphore.NewWeighted(roadWidth), flights: map[*flight]struct{}{}, seed: maphash.MakeSeed()}
}

// hash gives what is kept of a task's id.
func (r *recent) hash(id string) uint64 { return maphash.String(r.seed, id) }

// depart waits while the pool is searched, and begins a flight.
func (r *recent) depart(ctx context.Context, f *flight) (release func(), err error) {
	if err := r.road.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	r.begin(f)
	return func() { r.road.Release(1) }, nil
}

// begin begins a flight, unless it has begun.
func (r *recent) begin(f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.since.IsZero() {
		f.since = time.Now()
		r.flights[f] = struct{}{}
	}
}

// alone waits until no request is under way, and lets none depart.
func (r *recent) alone(ctx context.Context) (release func(), err error) {
	if err := r.road.Acquire(ctx, roadWidth); err != nil {
		return nil, err
	}
	return func() { r.road.Release(roadWidth) }, nil
}

// end ends a flight, whether it began or not.
func (r *recent) end(f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flights, f)
}

// name remembers the ids, at most so many, of tasks that were created, and
// forgets those that no search can come across any more: a search goes back to
// the beginning of the oldest flight, and by what the clocks may differ.
func (r *recent) name(ids iter.Seq[string], most int, margin time.Duration) *named {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	oldest := now
	for f := range r.flights {
		if f.since.Before(oldest) {
			oldest = f.since
		}
	}
	oldest = oldest.Add(-2 * margin)
	r.named = slices.DeleteFunc(r.named, func(n *named) bool { return n.at.Before(oldest) })
	n := &named{at: now, ids: make([]uint64, 0, most)}
	for id := range ids {
		n.ids = append(n.ids, r.hash(id))
	}
	r.named = append(r.named, n)
	return n
}

// forget forgets what was named.
func (r *recent) forget(those []*named) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.named = slices.DeleteFunc(r.named, func(n *named) bool { return slices.Contains(those, n) })
}

// ids gives the hashes of all that are remembered.
func (r *recent) ids() map[uint64]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := map[uint64]bool{}
	for _, n := range r.named {
		for _, id := range n.ids {
			ids[id] = true
		}
	}
	return ids
}
