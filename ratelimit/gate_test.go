package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"poolfill/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newGate(t *testing.T, cfg ratelimit.Config) *ratelimit.Gate {
	t.Helper()
	g, err := ratelimit.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func acquire(t *testing.T, g *ratelimit.Gate, tasks int) *ratelimit.Grant {
	t.Helper()
	grant, err := g.Acquire(t.Context(), tasks)
	if err != nil {
		t.Fatal(err)
	}
	return grant
}

// took runs f and returns the time that passes.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func TestConfigNamesEverythingWrong(t *testing.T) {
	_, err := ratelimit.New(ratelimit.Config{RequestsPerSecond: -1, TasksPerMinute: -2, TasksPerDay: -3, TasksToday: -4})
	if err == nil {
		t.Fatal("a negative limit is accepted")
	}
	for _, part := range []string{"requests a second", "tasks a minute", "tasks a day", "used today"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q isn't named in: %v", part, err)
		}
	}
}

func TestRequestsNeverExceedAnySecondAndUseNearlyAll(t *testing.T) {
	for _, tc := range []struct {
		limit float64
		least int // in ten seconds
	}{{300, 2970}, {100, 990}, {10, 99}, {2, 19}, {1, 9}, {0.5, 5}} {
		t.Run(fmt.Sprint(tc.limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(t, ratelimit.Config{RequestsPerSecond: tc.limit})
				var mu sync.Mutex
				var sent []time.Time
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						for {
							grant, err := g.Acquire(ctx, 0)
							if err != nil {
								return
							}
							mu.Lock()
							sent = append(sent, time.Now())
							mu.Unlock()
							grant.Done()
						}
					})
				}
				wg.Wait()
				if len(sent) < tc.least {
					t.Errorf("%d requests in ten seconds, want at least %d", len(sent), tc.least)
				}
				slices.SortFunc(sent, time.Time.Compare)
				most := max(int(tc.limit), 1)
				for i := most; i < len(sent); i++ {
					if gap := sent[i].Sub(sent[i-most]); gap < time.Second {
						t.Fatalf("%d requests within %v", most+1, gap)
					}
				}
			})
		})
	}
}

func TestWhatAStandstillCostIsCaughtUpOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, ratelimit.Config{RequestsPerSecond: 300})
		sent := 0
		for start := time.Now(); time.Since(start) < 10*time.Second; {
			acquire(t, g, 1).Done()
			if sent++; sent%300 == 0 {
				time.Sleep(200 * time.Millisecond)
			}
		}
		if sent < 298*10 {
			t.Errorf("%d requests in ten seconds, with 200 ms in each in which none could leave", sent)
		}
	})
}

func TestRequestsThatAreHeldUpAreNotTooManyWhenTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, ratelimit.Config{RequestsPerSecond: 300})
		var mu sync.Mutex
		var seen []time.Time
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				for {
					grant, err := g.Acquire(ctx, 0)
					if err != nil {
						return
					}
					time.Sleep(10 * time.Millisecond)
					// Every three seconds all stand still for 200 ms.
					if into := time.Since(start) % (3 * time.Second); into < 200*time.Millisecond {
						time.Sleep(200*time.Millisecond - into)
					}
					mu.Lock()
					seen = append(seen, time.Now())
					mu.Unlock()
					time.Sleep(10 * time.Millisecond)
					grant.Done()
				}
			})
		}
		wg.Wait()
		for i := 300; i < len(seen); i++ {
			if gap := seen[i].Sub(seen[i-300]); gap < time.Second {
				t.Fatalf("301 requests come within %v", gap)
			}
		}
		if len(seen) < 20*290*2800/3000 {
			t.Errorf("only %d requests in 20 seconds", len(seen))
		}
	})
}

func TestARequestGetsReadyBeforeItsPlaceInTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, ratelimit.Config{RequestsPerSecond: 4, TasksPerMinute: 10})
		var wg sync.WaitGroup
		d := took(func() {
			for range 10 {
				wg.Go(func() {
					grant, err := g.AcquireReady(t.Context(), 1, func() error {
						time.Sleep(5 * time.Second)
						return nil
					})
					if err != nil {
						t.Error(err)
						return
					}
					grant.Refund()
				})
			}
			wg.Wait()
		})
		if d < 7200*time.Millisecond || d > 7300*time.Millisecond {
			t.Errorf("ten requests that get ready at the same time leave after %v", d)
		}
		g.Pause(ratelimit.Pause{For: time.Minute})
		failed := errors.New("failed")
		d = took(func() {
			if _, err := g.AcquireReady(t.Context(), 10, func() error { return failed }); !errors.Is(err, failed) {
				t.Errorf("where it can't get ready, the error is %v", err)
			}
		})
		if d != time.Minute || g.State().TasksInWindow != 0 {
			t.Errorf("it gets ready %v into the pause and leaves %d tasks", d, g.State().TasksInWindow)
		}
	})
}

func TestTheServerNeverSeesMoreThanTheLimitInAMinute(t *testing.T) {
	type job struct {
		tasks       int
		there, back time.Duration // latency before and after the server counts
	}
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.IntRange(1, 1000).Draw(rt, "limit")
		workers := rapid.IntRange(1, 20).Draw(rt, "workers")
		biggest := rapid.IntRange(1, limit).Draw(rt, "biggest")
		jobs := make([]job, rapid.IntRange(1, 120).Draw(rt, "jobs"))
		var total int
		var busy, slowest time.Duration
		for i := range jobs {
			latency := func(label string) time.Duration {
				return time.Duration(rapid.IntRange(0, 3000).Draw(rt, label)) * time.Millisecond
			}
			jobs[i] = job{tasks: rapid.IntRange(1, biggest).Draw(rt, "tasks"), there: latency("there"), back: latency("back")}
			total += jobs[i].tasks
			busy += jobs[i].there + jobs[i].back
			slowest = max(slowest, jobs[i].there+jobs[i].back)
		}
		type event struct {
			at    time.Time
			tasks int
		}
		var counted []event
		var elapsed time.Duration
		synctest.Test(t, func(t *testing.T) {
			g := newGate(t, ratelimit.Config{TasksPerMinute: limit})
			queue := make(chan job, len(jobs))
			for _, j := range jobs {
				queue <- j
			}
			close(queue)
			var mu sync.Mutex
			var wg sync.WaitGroup
			elapsed = took(func() {
				for range workers {
					wg.Go(func() {
						for j := range queue {
							grant, err := g.Acquire(t.Context(), j.tasks)
							if err != nil {
								t.Error(err)
								return
							}
							time.Sleep(j.there)
							mu.Lock()
							counted = append(counted, event{time.Now(), j.tasks})
							mu.Unlock()
							time.Sleep(j.back)
							grant.Done()
						}
					})
				}
				wg.Wait()
			})
		})
		first := 0
		sum := 0
		for _, e := range counted { // they are in the order of time
			sum += e.tasks
			for e.at.Sub(counted[first].at) > time.Minute {
				sum -= counted[first].tasks
				first++
			}
			if sum > limit {
				rt.Fatalf("the server sees %d tasks within a minute, the limit is %d", sum, limit)
			}
		}
		// Each minute uses all of the limit but what one chunk doesn't fit into;
		// a minute is longer by the latency, and the workers need their time.
		minutes := (total - 1) / (limit - biggest + 1)
		most := time.Duration(minutes)*(time.Minute+time.Millisecond+slowest) + busy/time.Duration(workers) + slowest
		if elapsed > most {
			rt.Fatalf("it took %v, want at most %v", elapsed, most)
		}
	})
}

func TestABigChunkIsNotStarvedAndPollsPassIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, ratelimit.Config{TasksPerMinute: 100})
		acquire(t, g, 50).Done()
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		// The second would fit beside what has passed, the third beside none of
		// the others: so each passes at a time of its own.
		for _, tasks := range []int{100, 40, 70} {
			wg.Go(func() {
				grant := acquire(t, g, tasks)
				mu.Lock()
				order = append(order, tasks)
				mu.Unlock()
				grant.Done()
			})
			synctest.Wait()
		}
		if g.State().Waiting != 3 {
			t.Errorf("%d wait, want 3", g.State().Waiting)
		}
		if d := took(func() { acquire(t, g, 0).Done() }); d != 0 {
			t.Errorf("a request without tasks waits %v behind a chunk", d)
		}
		wg.Wait()
		if want := []int{100, 40, 70}; !slices.Equal(order, want) {
			t.Errorf("they pass in the order %v, want %v", order, want)
		}
	})
}

func TestRefundsMakeRoomAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, ratelimit.Config{TasksPerMinute: 100, TasksPerDay: 100})
		first := acquire(t, g, 100)
		done := make(chan time.Time)
		go func() {
			acquire(t, g, 100).Done()
			done <- time.Now()
		}()
		time.Sleep(7 * time.Second)
		refunded := time.Now()
		first.Refund()
		first.Done() // has no effect any more
		if at := <-done; !at.Equal(refunded) {
			t.Errorf("the next one passes %v after the refund", at.Sub(refunded))
		}
		if s := g.State(); s.TasksInWindow != 100 || s.TasksToday != 100 {
			t.Errorf("state is %+v, want 100 tasks in both", s)
		}
	})
}

func TestTheDayWaitsForMidnightAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(23*time.Hour + 30*time.Minute) // a bubble's clock begins at midnight, UTC
		g := newGate(t, ratelimit.Config{TasksPerDay: 100, TasksToday: 60})
		acquire(t, g, 40).Done()
		passed := make(chan time.Time)
		go func() {
			acquire(t, g, 1).Done()
			passed <- time.Now()
		}()
		synctest.Wait()
		s := g.State()
		if s.Reason != ratelimit.ReasonDay || s.PausedUntil.UTC().Format("15:04") != "00:00" || s.TasksToday != 100 {
			t.Errorf("state is %+v, want a pause until midnight for the day's quota", s)
		}
		if at := (<-passed).UTC().Format("15:04:05"); at != "00:00:00" {
			t.Errorf("it passes at %s", at)
		}
		if s := g.State(); s.TasksToday != 1 || s.Reason != "" || s.Waiting != 0 {
			t.Errorf("the new day's state is %+v", s)
		}
	})
}

func TestTasksThatNeverFitAreAnErrorAtOnce(t *testing.T) {
	g := newGate(t, ratelimit.Config{TasksPerMinute: 10, TasksPerDay: 5})
	for tasks, want := range map[int]string{11: "10 tasks a minute", 6: "5 tasks a day"} {
		_, err := g.Acquire(t.Context(), tasks)
		var tooMany *ratelimit.TooManyTasksError
		if !errors.As(err, &tooMany) || tooMany.Tasks != tasks || !strings.Contains(err.Error(), want) {
			t.Errorf("%d tasks: %v", tasks, err)
		}
	}
	if _, err := g.Acquire(t.Context(), -1); err == nil {
		t.Error("a negative number of tasks is accepted")
	}
}

func TestNobodyPassesDuringAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, ratelimit.Config{RequestsPerSecond: 10, TasksPerMinute: 100})
		g.Pause(ratelimit.Pause{For: time.Hour, Reason: ratelimit.ReasonHour})
		g.Pause(ratelimit.Pause{For: time.Minute, Reason: ratelimit.ReasonMinute}) // shorter: no effect
		if s := g.State(); s.Reason != ratelimit.ReasonHour || time.Until(s.PausedUntil) != time.Hour {
			t.Errorf("state is %+v", s)
		}
		start := time.Now()
		var mu sync.Mutex
		var passed []time.Duration
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				grant := acquire(t, g, i%2)
				mu.Lock()
				passed = append(passed, time.Since(start))
				mu.Unlock()
				grant.Done()
			})
		}
		wg.Wait()
		if passed[0] < time.Hour {
			t.Errorf("the first passes after %v", passed[0])
		}
		for i := 10; i < len(passed); i++ {
			if gap := passed[i] - passed[i-10]; gap < time.Second {
				t.Fatalf("after the pause 11 requests go within %v", gap)
			}
		}
		if s := g.State(); s.Reason != "" || !s.PausedUntil.IsZero() {
			t.Errorf("state after the pause is %+v", s)
		}
	})
}

func TestAPauseHoldsRequestsThatWaitForTheirToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, ratelimit.Config{RequestsPerSecond: 1})
		acquire(t, g, 0).Done()
		d := took(func() {
			time.AfterFunc(500*time.Millisecond, func() { g.Pause(ratelimit.Pause{For: time.Minute}) })
			acquire(t, g, 0).Done()
		})
		if d < 60500*time.Millisecond {
			t.Errorf("it passes after %v, within the pause", d)
		}
	})
}

func TestRefusalsInARowBackOffAndASuccessEndsTheRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, ratelimit.Config{TasksPerMinute: 100})
		wait := func() time.Duration { return time.Until(g.State().PausedUntil) }
		within := func(what string, got, want time.Duration) {
			t.Helper()
			if got < want || got > want+want/20+100*time.Millisecond {
				t.Errorf("%s: a pause of %v, want about %v", what, got, want)
			}
		}
		// Eight requests are under way when the first refusal comes: one row.
		grants := make([]*ratelimit.Grant, 0, 8)
		for range 8 {
			grants = append(grants, acquire(t, g, 10))
		}
		for _, grant := range grants {
			grant.Refused(ratelimit.Refusal{})
		}
		within("eight at once", wait(), time.Second)
		if s := g.State(); s.TasksInWindow != 0 {
			t.Errorf("%d refused tasks count", s.TasksInWindow)
		}
		for _, want := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second} {
			acquire(t, g, 1).Refused(ratelimit.Refusal{})
			within("in a row", wait(), want)
		}
		acquire(t, g, 1).Done()
		acquire(t, g, 1).Refused(ratelimit.Refusal{})
		within("after a success", wait(), time.Second)
		acquire(t, g, 1).Refused(ratelimit.Refusal{Interval: ratelimit.IntervalMinute})
		within("a minute", wait(), time.Minute)
	})
}

func TestACancelledRequestLeavesNothingBehind(t *testing.T) {
	errStopped := errors.New("stopped")
	synctest.Test(t, func(t *testing.T) {
		cancelled := func(g *ratelimit.Gate, tasks int) {
			t.Helper()
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Millisecond, func() { cancel(errStopped) })
			if _, err := g.Acquire(ctx, tasks); !errors.Is(err, errStopped) {
				t.Errorf("got %v, want the context's cause", err)
			}
			if _, err := g.Acquire(ctx, tasks); !errors.Is(err, errStopped) {
				t.Errorf("a context that has ended gives %v", err)
			}
		}
		g := newGate(t, ratelimit.Config{TasksPerMinute: 10})
		held := acquire(t, g, 10)
		cancelled(g, 1) // waiting for room
		turn := make(chan struct{})
		go func() {
			acquire(t, g, 10).Done()
			close(turn)
		}()
		synctest.Wait()
		cancelled(g, 1) // waiting for its turn
		held.Refund()
		<-turn

		g = newGate(t, ratelimit.Config{RequestsPerSecond: 1, TasksPerMinute: 10})
		g.Pause(ratelimit.Pause{For: time.Minute})
		cancelled(g, 10) // waiting for the end of a pause
		acquire(t, g, 10).Refund()
		cancelled(g, 10) // waiting for a token
		if s := g.State(); s.TasksInWindow != 0 || s.TasksToday != 0 || s.Waiting != 0 {
			t.Errorf("state is %+v, want nothing", s)
		}
		if d := took(func() { acquire(t, g, 10).Done() }); d > 1100*time.Millisecond {
			t.Errorf("the next request waits %v: the token was not given back", d)
		}
	})
}

func ExampleGate() {
	gate, err := ratelimit.New(ratelimit.Config{RequestsPerSecond: 300, TasksPerMinute: 200_000, TasksPerDay: 4_000_000})
	if err != nil {
		fmt.Println(err)
		return
	}
	grant, err := gate.Acquire(context.Background(), 5000)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Send the request with its 5,000 tasks. Had the answer been a 429:
	// grant.Refused(ratelimit.Refusal{RetryAfter: "30"})
	grant.Done()

	fmt.Println(gate.State().TasksInWindow, "tasks in this minute")
	// Output: 5000 tasks in this minute
}

// crowd is a Book without limits that so many processes share.
type crowd int

func (crowd) Take(context.Context, int, ratelimit.Limits) (int64, time.Duration, ratelimit.Reason, error) {
	return 1, 0, "", nil
}
func (crowd) Settle(context.Context, int64, ratelimit.Use) error { return nil }
func (crowd) Today(context.Context) (int, error)                 { return 0, nil }
func (c crowd) Sharers() int                                     { return int(c) }

func TestANewcomerWaitsForTheOthersToSeeIt(t *testing.T) {
	for sharers, want := range map[crowd]time.Duration{1: 0, 2: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate(t, ratelimit.Config{RequestsPerSecond: 100, TasksPerMinute: 1000, Book: sharers})
			if d := took(func() { acquire(t, g, 1).Done() }); d != want {
				t.Errorf("the first of %d processes waits %v, want %v", sharers, d, want)
			}
			if d := took(func() { acquire(t, g, 1).Done() }); d > 100*time.Millisecond {
				t.Errorf("the second request waits %v", d)
			}
		})
	}
}

func TestProcessesShareTheRequests(t *testing.T) {
	for sharers, want := range map[crowd]time.Duration{1: 99 * time.Second / 99, 3: 3 * 99 * time.Second / 99} {
		synctest.Test(t, func(t *testing.T) {
			g, err := ratelimit.New(ratelimit.Config{RequestsPerSecond: 100, TasksPerMinute: 1000, Book: sharers})
			if err != nil {
				t.Fatal(err)
			}
			pass := func() {
				grant, err := g.Acquire(t.Context(), 1)
				if err != nil {
					t.Fatal(err)
				}
				grant.Done()
			}
			for range 25 { // which may leave together
				pass()
			}
			start := time.Now()
			for range 99 {
				pass()
			}
			if took := time.Since(start); took < want-50*time.Millisecond || took > want+50*time.Millisecond {
				t.Errorf("%d processes: 99 requests took %v, want about %v", sharers, took, want)
			}
		})
	}
}

// shared is a Book without limits of which it can be told how many share it.
type shared struct {
	crowd
	sharers atomic.Int64
}

func (s *shared) Sharers() int { return int(s.sharers.Load()) }

// The token bucket lets some leave together, so that only the count of the last second
// holds a process to its share.
func TestNoSecondHoldsMoreThanAProcessesShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &shared{}
		book.sharers.Store(1)
		g := newGate(t, ratelimit.Config{RequestsPerSecond: 300, TasksPerMinute: 100_000, Book: book})
		var sent []time.Time
		send := func(requests int) {
			for range requests {
				acquire(t, g, 1).Done()
				sent = append(sent, time.Now())
			}
		}
		const alone = 300 // that are sent before others come
		send(alone)
		book.sharers.Store(3)
		send(250)
		time.Sleep(time.Minute) // in which tokens gather
		send(250)
		for i := range sent {
			limit := 100
			if i < alone {
				limit = 300
			}
			if next := i + limit; next < len(sent) && sent[next].Sub(sent[i]) < time.Second {
				t.Fatalf("request %d and the %d after it leave within %v", i, limit, sent[next].Sub(sent[i]))
			}
			if before := i - limit; before >= 0 && sent[i].Sub(sent[before]) < time.Second {
				t.Fatalf("request %d and the %d before it leave within %v", i, limit, sent[i].Sub(sent[before]))
			}
		}
	})
}
