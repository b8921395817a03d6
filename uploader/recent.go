package uploader

import (
	"context"
	"hash/maphash"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"poolfill/batcher"
)

// recent knows which tasks answers and logs have named, and which rows are in doubt,
// and keeps others from uploading while the pool is searched.
type recent struct {
	permits *semaphore.Weighted // one for each request; a search takes all

	mu     sync.Mutex
	doubts map[*lifetime][]batcher.Key
	named  []*named // in the order of time
	seed   maphash.Seed
}

// allPermits is more than the requests that are ever under way.
const allPermits = 1 << 30

// lifetime is that of a chunk's upload, from its first attempt until its rows are
// known.
type lifetime struct {
	since time.Time
	mark  Mark
}

// named are the tasks of one answer. Of each id only a 64-bit hash is kept: there can be
// as many as a pool holds, and two ids with the same hash would have to meet in one
// search to do harm.
type named struct{ ids []uint64 }

func newRecent() recent {
	return recent{permits: semaphore.NewWeighted(allPermits), doubts: map[*lifetime][]batcher.Key{}, seed: maphash.MakeSeed()}
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
	}
}

// doubt says which rows of an upload are in doubt now: searches for others leave their
// tasks to them.
func (r *recent) doubt(l *lifetime, keys []batcher.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(keys) == 0 {
		delete(r.doubts, l)
		return
	}
	r.doubts[l] = keys
}

// doubted counts the rows in doubt of all uploads but one by their keys.
func (r *recent) doubted(except *lifetime) map[batcher.Key]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := map[batcher.Key]int{}
	for l, keys := range r.doubts {
		if l == except {
			continue
		}
		for _, key := range keys {
			counts[key]++
		}
	}
	return counts
}

// name remembers the ids, at most so many, of tasks that were created.
func (r *recent) name(ids iter.Seq[string], most int) *named {
	n := &named{ids: make([]uint64, 0, most)}
	for id := range ids {
		n.ids = append(n.ids, r.hash(id))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.named = append(r.named, n)
	return n
}

// forget forgets what was named.
func (r *recent) forget(those []*named) {
	if len(those) == 0 {
		return
	}
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
