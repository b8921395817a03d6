package uploader

import (
	"context"
	"hash/maphash"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// recent knows which tasks answers and logs have named lately, and keeps others
// from uploading while the pool is searched.
type recent struct {
	permits *semaphore.Weighted // one for each request; a search takes all

	mu      sync.Mutex
	uploads map[*lifetime]struct{}
	named   []*named // in the order of time
	seed    maphash.Seed
}

// allPermits is more than the requests that are ever under way.
const allPermits = 1 << 30

// lifetime is that of a chunk's upload, from its first attempt until its rows are
// known.
type lifetime struct{ since time.Time }

// named are the tasks of one answer. Of each id only a 64-bit hash is kept: at
// full speed there are millions in the time that a search can reach back, and
// two ids with the same hash would have to meet in one search to do harm.
type named struct {
	at  time.Time
	ids []uint64
}

func newRecent() recent {
	return recent{permits: semaphore.NewWeighted(allPermits), uploads: map[*lifetime]struct{}{}, seed: maphash.MakeSeed()}
}

// hash returns what is kept of a task's id.
func (r *recent) hash(id string) uint64 { return maphash.String(r.seed, id) }

// acquire waits while the pool is searched, and begins an upload. No search begins
// before the release.
func (r *recent) acquire(ctx context.Context, l *lifetime) (release func(), err error) {
	if err := r.permits.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	r.begin(l)
	return func() { r.permits.Release(1) }, nil
}

// acquireAll waits until no request is under way. None leaves before the release.
func (r *recent) acquireAll(ctx context.Context) (release func(), err error) {
	if err := r.permits.Acquire(ctx, allPermits); err != nil {
		return nil, err
	}
	return func() { r.permits.Release(allPermits) }, nil
}

// begin begins an upload, unless it has begun.
func (r *recent) begin(l *lifetime) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.since.IsZero() {
		l.since = time.Now()
		r.uploads[l] = struct{}{}
	}
}

// end ends an upload, whether it began or not.
func (r *recent) end(l *lifetime) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.uploads, l)
}

// name remembers the ids, at most so many, of tasks that were created, and
// forgets those that no search can come across any more: a search goes back to
// the beginning of the oldest upload, and by what the clocks may differ.
func (r *recent) name(ids iter.Seq[string], most int, margin time.Duration) *named {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	oldest := now
	for l := range r.uploads {
		if l.since.Before(oldest) {
			oldest = l.since
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

// ids returns the hashes of all that are remembered.
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
