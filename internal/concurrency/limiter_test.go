package concurrency

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"poolfill/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newLimiter(t *testing.T, cfg Config) *Limiter {
	t.Helper()
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const chunkTasks, chunkBytes = 5000, 600 << 10

// trial uploads so many chunks to a server that is a function.
type trial struct {
	chunks int
	cfg    Config
	limits ratelimit.Config
	post   time.Duration    // that a request takes
	serve  func(l *Limiter) // what follows it, until the upload's end

	limiter *Limiter
	ended   []time.Duration // of the uploads, since the start
	most    int             // at work at a time
}

func (tr *trial) run(t *testing.T) {
	t.Helper()
	gate, err := ratelimit.New(tr.limits)
	if err != nil {
		t.Fatal(err)
	}
	tr.limiter = newLimiter(t, tr.cfg)
	start := time.Now()
	var group sync.WaitGroup
	var mu sync.Mutex
	working := 0
	for range tr.chunks {
		place, err := tr.limiter.Acquire(t.Context(), chunkBytes)
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		working++
		tr.most = max(tr.most, working)
		mu.Unlock()
		group.Go(func() {
			asked := time.Now()
			grant, err := gate.Acquire(t.Context(), chunkTasks)
			if err != nil {
				t.Error(err)
				return
			}
			waited := time.Since(asked)
			time.Sleep(tr.post)
			grant.Done()
			tr.serve(tr.limiter)
			mu.Lock()
			working--
			tr.ended = append(tr.ended, time.Since(start))
			mu.Unlock()
			place.Done(waited)
		})
	}
	group.Wait()
}

// between counts the uploads that ended in a time.
func (tr *trial) between(from, to time.Duration) int {
	n := 0
	for _, at := range tr.ended {
		if at > from && at <= to {
			n++
		}
	}
	return n
}

func TestTheQuotaIsReachedHoweverSlowTheServer(t *testing.T) {
	const perMinute = 40 // chunks
	for _, latency := range []time.Duration{5 * time.Millisecond, 200 * time.Millisecond, 5 * time.Second, 30 * time.Second} {
		t.Run(latency.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &trial{
					chunks: 30 * perMinute, limits: ratelimit.Config{TasksPerMinute: perMinute * chunkTasks},
					post: min(latency, 200*time.Millisecond), serve: func(*Limiter) { time.Sleep(latency) },
				}
				tr.run(t)
				if n := tr.between(5*time.Minute, 25*time.Minute); n < 20*perMinute*99/100 {
					t.Errorf("in 20 minutes %d chunks are uploaded, the quota lets %d pass", n, 20*perMinute)
				}
				if n := tr.limiter.Limit(); latency <= 200*time.Millisecond && n > 3*DefaultStart {
					t.Errorf("%d places are left, though the quota is the bound", n)
				}
			})
		})
	}
}

func TestAFastServerGetsNoMoreThanItCanUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cores := make(chan struct{}, 2)
		tr := &trial{chunks: 2000, serve: func(*Limiter) {
			cores <- struct{}{}
			time.Sleep(10 * time.Millisecond)
			<-cores
		}}
		tr.run(t)
		if tr.most > 2*DefaultStart {
			t.Errorf("%d uploads are at work at a time", tr.most)
		}
		if took := tr.ended[len(tr.ended)-1]; took > 10*time.Second*101/100 {
			t.Errorf("it takes %v", took)
		}
	})
}

func TestAnOverloadedServerGetsLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const capacity = 12
		var working, refused atomic.Int64
		tr := &trial{chunks: 3000}
		tr.serve = func(l *Limiter) {
			for {
				sent := time.Now()
				n := working.Add(1)
				time.Sleep(200 * time.Millisecond)
				working.Add(-1)
				if n <= capacity {
					return
				}
				refused.Add(1)
				before := l.Limit()
				l.Overload(sent)
				if after := l.Limit(); after != before && after != before/2 {
					t.Errorf("an overload makes %d of %d", after, before)
				}
				time.Sleep(500 * time.Millisecond)
			}
		}
		tr.run(t)
		if n := refused.Load(); n == 0 || n > 3000/20 {
			t.Errorf("%d requests are refused", n)
		}
		ideal := 3000 / capacity * 200 * time.Millisecond
		if took := tr.ended[len(tr.ended)-1]; took > 2*ideal {
			t.Errorf("it takes %v, with no overload it would be %v", took, ideal)
		}
	})
}

func TestBytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trial{chunks: 500, cfg: Config{MaxBytes: 10 * chunkBytes}, serve: func(*Limiter) { time.Sleep(time.Second) }}
		tr.run(t)
		if tr.most != 10 {
			t.Errorf("%d uploads are at work at a time, want 10", tr.most)
		}
		if n := tr.limiter.Limit(); n > 2*10 {
			t.Errorf("the limit is %d where the bytes are the bound", n)
		}
		l := newLimiter(t, Config{MaxBytes: 10})
		place, err := l.Acquire(t.Context(), 100)
		if err != nil {
			t.Fatalf("a single large one has no place: %v", err)
		}
		place.Cancel()
	})
}

func TestWhoGivesUpWaitingLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Min: 1, Start: 1, Max: 1})
		first, err := l.Acquire(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error)
		go func() {
			_, err := l.Acquire(ctx, 1)
			failed <- err
		}()
		synctest.Wait()
		cancel(stopped)
		if err := <-failed; !errors.Is(err, stopped) {
			t.Errorf("the error is %v", err)
		}
		if _, err := l.Acquire(ctx, 1); !errors.Is(err, stopped) {
			t.Errorf("after the end the error is %v", err)
		}
		first.Done(0)
		second, err := l.Acquire(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		second.Done(0)
		if l.used != 0 || l.bytes != 0 || len(l.waiting) != 0 {
			t.Errorf("%d places and %d bytes are taken, %d wait", l.used, l.bytes, len(l.waiting))
		}
	})
}

func TestConfig(t *testing.T) {
	for _, bad := range []Config{{Start: -1}, {Min: -1}, {Max: -1}, {MaxBytes: -1}, {Min: 5, Max: 4}, {Start: 5, Max: 4}, {Start: 2, Min: 3}} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	for _, tc := range []struct {
		cfg  Config
		want int
	}{{Config{}, DefaultStart}, {Config{Min: 6}, 6}, {Config{Max: 2}, 2}, {Config{Start: 9}, 9}} {
		if got := newLimiter(t, tc.cfg).Limit(); got != tc.want {
			t.Errorf("%+v begins with %d, want %d", tc.cfg, got, tc.want)
		}
	}
}
