package ratelimit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/ratelimit"
)

// memoryBook is a Book that several gates share. It takes its time, in which
// the gate must not be locked.
type memoryBook struct {
	mu      sync.Mutex
	next    int64
	grants  map[int64]*memoryGrant
	day     int
	asked   int
	slow    time.Duration
	takeErr error
	endErr  error
}

type memoryGrant struct {
	tasks int
	until time.Time // zero while it is open
}

func (b *memoryBook) Take(_ context.Context, tasks int, limits ratelimit.Limits) (int64, time.Duration, ratelimit.Reason, error) {
	time.Sleep(b.slow)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.takeErr != nil {
		return 0, 0, "", b.takeErr
	}
	var counted []ratelimit.Counted
	for _, g := range b.grants {
		until := g.until
		if until.IsZero() {
			until = time.Now().Add(time.Hour)
		}
		counted = append(counted, ratelimit.Counted{Tasks: g.tasks, Until: until})
	}
	slices.SortFunc(counted, func(a, b ratelimit.Counted) int { return a.Until.Compare(b.Until) })
	if wait, reason := ratelimit.Wait(limits, counted, b.day, tasks, time.Now()); wait > 0 {
		return 0, wait, reason, nil
	}
	b.next++
	if b.grants == nil {
		b.grants = make(map[int64]*memoryGrant)
	}
	b.grants[b.next] = &memoryGrant{tasks: tasks}
	b.day += tasks
	return b.next, 0, "", nil
}

func (b *memoryBook) Settle(ctx context.Context, id int64, use ratelimit.Use) error {
	time.Sleep(b.slow)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.endErr != nil {
		return b.endErr
	}
	g := b.grants[id]
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case g == nil || !g.until.IsZero():
		return errors.New("the grant isn't open")
	case use == ratelimit.Used:
		g.until = time.Now().Add(ratelimit.Minute)
	default:
		delete(b.grants, id)
		b.day -= g.tasks
	}
	return nil
}

func (b *memoryBook) Sharers() int { return 1 }

func (b *memoryBook) Today(context.Context) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.day, nil
}

func (b *memoryBook) wantToday(t *testing.T, want int) {
	t.Helper()
	if got, _ := b.Today(t.Context()); got != want {
		t.Errorf("the book has %d tasks today, want %d", got, want)
	}
}

func TestAGateAsksItsBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &memoryBook{slow: 50 * time.Millisecond}
		cfg := ratelimit.Config{TasksPerMinute: 100, Book: book}
		one, two := newGate(t, cfg), newGate(t, cfg)
		held := acquire(t, one, 60)
		acquire(t, two, 40).Done()

		// The other process makes room without a word: seen within a second.
		passed := make(chan time.Time)
		go func() {
			acquire(t, two, 50).Done()
			passed <- time.Now()
		}()
		time.Sleep(7300 * time.Millisecond)
		if s := two.State(); s.Reason != "" || s.Waiting != 1 || s.TasksInWindow != 40 {
			t.Errorf("state while room depends on the other's answer is %+v", s)
		}
		refunded := time.Now()
		held.Refund()
		held.Done() // has no effect any more
		if d := (<-passed).Sub(refunded); d > 1200*time.Millisecond {
			t.Errorf("it passes %v after there was room", d)
		}
		book.wantToday(t, 90)

		// What this process gives back is seen at once.
		own := acquire(t, one, 10)
		go func() {
			acquire(t, one, 10).Refused(ratelimit.Refusal{})
			passed <- time.Now()
		}()
		time.Sleep(2500 * time.Millisecond)
		refunded = time.Now()
		own.Refund()
		if d := (<-passed).Sub(refunded); d > 150*time.Millisecond {
			t.Errorf("it passes %v after the refund", d)
		}
		book.wantToday(t, 90)

		// What was answered ends by itself, at a time that is known.
		go func() {
			acquire(t, one, 20).Done()
			passed <- time.Now()
		}()
		time.Sleep(1500 * time.Millisecond)
		s := one.State()
		if s.Reason != ratelimit.ReasonMinute {
			t.Errorf("state while the book has no room is %+v", s)
		}
		if d := (<-passed).Sub(s.PausedUntil); d < 0 || d > 1200*time.Millisecond {
			t.Errorf("it passes %v after the time that was said", d)
		}
		if s := one.State(); s.Reason != "" {
			t.Errorf("state after it passed is %+v", s)
		}
		if err := errors.Join(one.Err(), two.Err()); err != nil {
			t.Error(err)
		}
	})
}

func TestABookIsAskedOnlyForWhatIsLimited(t *testing.T) {
	book := &memoryBook{takeErr: errors.New("asked")}
	acquire(t, newGate(t, ratelimit.Config{RequestsPerSecond: 100, Book: book}), 5).Done()
	acquire(t, newGate(t, ratelimit.Config{TasksPerDay: 10, Book: book}), 0).Done()
	if book.asked != 0 {
		t.Errorf("it is asked %d times", book.asked)
	}
}

func TestACancelledRequestIsSettledInTheBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &memoryBook{slow: time.Millisecond}
		g := newGate(t, ratelimit.Config{TasksPerMinute: 10, Book: book})
		g.Pause(ratelimit.Pause{For: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Acquire(ctx, 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's cause", err)
		}
		if err := g.Err(); err != nil {
			t.Error(err)
		}
		book.wantToday(t, 0)
	})
}

func TestErrorsOfTheBookEndRequestsWithTasks(t *testing.T) {
	errDisk := errors.New("the disk is full")
	for name, book := range map[string]*memoryBook{"taking": {takeErr: errDisk}, "settling": {endErr: errDisk}} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, ratelimit.Config{TasksPerMinute: 10, Book: book})
			grant, err := g.Acquire(t.Context(), 1)
			if name == "settling" {
				if err != nil {
					t.Fatal(err)
				}
				grant.Done()
				if err := g.Err(); !errors.Is(err, errDisk) {
					t.Errorf("the error of settling is %v", err)
				}
				_, err = g.Acquire(t.Context(), 1)
			}
			if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "quota's book") {
				t.Errorf("the request ends with %v", err)
			}
			acquire(t, g, 0).Done() // the answers to what was sent can be had
		})
	}
}

// evening begins half an hour before midnight, UTC.
func evening(t *testing.T, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(23*time.Hour + 30*time.Minute) // a bubble's clock begins at midnight, UTC
		f(t)
	})
}

// wantParked wants the day's error at once.
func wantParked(t *testing.T, g *ratelimit.Gate, tasks int, want string) {
	t.Helper()
	start := time.Now()
	_, err := g.Acquire(t.Context(), tasks)
	wantParkedError(t, err, want)
	if d := time.Since(start); d != 0 {
		t.Errorf("it is kept waiting for %v", d)
	}
	if s := g.State(); s.Waiting != 0 {
		t.Errorf("%d wait", s.Waiting)
	}
}

func wantParkedError(t *testing.T, err error, want string) {
	t.Helper()
	var parked *ratelimit.DayQuotaError
	if !errors.As(err, &parked) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

const (
	parked100 = "the day's quota of 100 tasks is used up: run the same command again after 2000-01-02T00:00:00Z"
	parked    = "the day's quota of tasks is used up: run the same command again after 2000-01-02T00:00:00Z"
)

// wantRoom wants the day's error to say how many tasks can still be sent.
func wantRoom(t *testing.T, g *ratelimit.Gate, tasks, want int) {
	t.Helper()
	var parked *ratelimit.DayQuotaError
	if _, err := g.Acquire(t.Context(), tasks); !errors.As(err, &parked) || parked.Room != want {
		t.Errorf("there is said to be room for %+v, want %d", parked, want)
	}
}

// What is left of the day is less than a request: a smaller one takes it.
func TestTheRestOfTheDayCanBeUsed(t *testing.T) {
	evening(t, func(t *testing.T) {
		for _, book := range []ratelimit.Book{nil, &memoryBook{}} {
			g := newGate(t, ratelimit.Config{TasksPerDay: 3000, Park: true, Book: book})
			for range 24 {
				acquire(t, g, 120).Done()
			}
			open := acquire(t, g, 100)
			wantRoom(t, g, 120, 20)
			open.Refund()
			wantRoom(t, g, 121, 120)
			acquire(t, g, 120).Done()
			wantRoom(t, g, 1, 0)
		}
	})
}

func TestParkedByOurOwnCount(t *testing.T) {
	evening(t, func(t *testing.T) {
		g := newGate(t, ratelimit.Config{TasksPerMinute: 50, TasksPerDay: 100, TasksToday: 50, Park: true})
		acquire(t, g, 50).Done()
		wantParked(t, g, 1, parked100)
		acquire(t, g, 0).Done()
		time.Sleep(30 * time.Minute)
		acquire(t, g, 50).Done()
		if d := took(func() { acquire(t, g, 50).Done() }); d != ratelimit.Minute {
			t.Errorf("it waits %v for the minute's quota", d)
		}
		wantParked(t, g, 1, strings.Replace(parked100, "01-02", "01-03", 1))
	})
}

// otherClock is a full Book whose day ends at another time than the local one.
type otherClock struct{ ratelimit.Book }

func (otherClock) Sharers() int                       { return 1 }
func (otherClock) Today(context.Context) (int, error) { return 100, nil }

func (otherClock) Take(context.Context, int, ratelimit.Limits) (int64, time.Duration, ratelimit.Reason, error) {
	return 0, 1500 * time.Millisecond, ratelimit.ReasonDay, nil
}

func TestParkedUntilTheEndOfTheBooksDay(t *testing.T) {
	evening(t, func(t *testing.T) {
		g := newGate(t, ratelimit.Config{TasksPerDay: 100, Park: true, Book: otherClock{}})
		wantParked(t, g, 1, strings.Replace(parked100, "2000-01-02T00:00:00Z", "2000-01-01T23:30:02Z", 1))
	})
}

func TestParkedByTheBook(t *testing.T) {
	evening(t, func(t *testing.T) {
		book := &memoryBook{day: 70}
		cfg := ratelimit.Config{TasksPerDay: 100, Park: true, Book: book}
		g := newGate(t, cfg)
		wantParked(t, g, 31, "the day's quota of 100 tasks has room for 30 more, and the next request has more: run the same command again after 2000-01-02T00:00:00Z")
		wantRoom(t, g, 31, 30)
		acquire(t, g, 30).Done()
		wantParked(t, g, 1, parked100)
		acquire(t, g, 0).Done()

		cfg.Park = false
		patient := newGate(t, cfg)
		passed := make(chan struct{})
		go func() {
			acquire(t, patient, 1).Done()
			close(passed)
		}()
		synctest.Wait()
		if s := patient.State(); s.Reason != ratelimit.ReasonDay || time.Until(s.PausedUntil) != 30*time.Minute {
			t.Errorf("state is %+v, want a pause until midnight", s)
		}
		book.mu.Lock()
		book.day = 0
		book.mu.Unlock()
		if d := took(func() { <-passed }); d > time.Second {
			t.Errorf("it passes %v after there was room", d)
		}
	})
}

func TestParkedByTheServer(t *testing.T) {
	for _, tc := range []struct {
		name  string
		limit int
		end   func(*ratelimit.Gate, *ratelimit.Grant)
		want  string
	}{
		{"the interval is the day", 0, func(_ *ratelimit.Gate, gr *ratelimit.Grant) { gr.Refused(ratelimit.Refusal{Interval: "day"}) }, parked},
		{"with a limit of our own", 100, func(_ *ratelimit.Gate, gr *ratelimit.Grant) {
			gr.Refused(ratelimit.Refusal{Interval: ratelimit.IntervalDay})
		}, parked100},
		{"Retry-After says when", 0, func(_ *ratelimit.Gate, gr *ratelimit.Grant) {
			gr.Refused(ratelimit.Refusal{RetryAfter: "3600.5", Interval: ratelimit.IntervalDay})
		}, strings.Replace(parked, "00:00:00", "00:30:01", 1)},
		{"a pause for the day", 0, func(g *ratelimit.Gate, gr *ratelimit.Grant) {
			gr.Done()
			g.Pause(ratelimit.Pause{For: 30 * time.Minute, Reason: ratelimit.ReasonDay})
		}, parked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			evening(t, func(t *testing.T) {
				g := newGate(t, ratelimit.Config{RequestsPerSecond: 1, TasksPerDay: tc.limit, TasksPerMinute: 10, Park: true})
				first := acquire(t, g, 8)
				// Those that wait for anything are let go: a turn, room, a token.
				ended := make(chan error)
				waiting := []int{0, 1, 5, 6}
				for _, tasks := range waiting {
					go func() {
						_, err := g.Acquire(t.Context(), tasks)
						ended <- err
					}()
				}
				synctest.Wait()
				tc.end(g, first)
				for range waiting {
					wantParkedError(t, <-ended, tc.want)
				}
				wantParked(t, g, 1, tc.want)
				wantParked(t, g, 0, tc.want)
				time.Sleep(2 * time.Hour)
				acquire(t, g, 10).Done()
			})
		})
	}
}

func TestAParkedPauseEndsToo(t *testing.T) {
	evening(t, func(t *testing.T) {
		g := newGate(t, ratelimit.Config{Park: true})
		acquire(t, g, 1).Refused(ratelimit.Refusal{Interval: ratelimit.IntervalHour})
		ended := make(chan error)
		go func() {
			_, err := g.Acquire(t.Context(), 1)
			ended <- err
		}()
		time.Sleep(time.Minute)
		g.Pause(ratelimit.Pause{For: 29 * time.Minute, Reason: ratelimit.ReasonDay}) // shorter than the pause
		wantParkedError(t, <-ended, parked)
	})
}

func TestWait(t *testing.T) {
	now := time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC)
	counted := []ratelimit.Counted{{Tasks: 50, Until: now}, {Tasks: 30, Until: now.Add(time.Second)}, {Tasks: 40, Until: now.Add(time.Minute)}}
	for _, tc := range []struct {
		name        string
		limits      ratelimit.Limits
		today, want int
		wait        time.Duration
		reason      ratelimit.Reason
	}{
		{"no limits", ratelimit.Limits{}, 1 << 40, 1 << 40, 0, ""},
		{"what fits", ratelimit.Limits{TasksPerMinute: 100, TasksPerDay: 300}, 270, 30, 0, ""},
		{"one too many for the minute", ratelimit.Limits{TasksPerMinute: 100}, 0, 31, time.Second, ratelimit.ReasonMinute},
		{"all of the minute", ratelimit.Limits{TasksPerMinute: 100}, 0, 100, time.Minute, ratelimit.ReasonMinute},
		{"more than a minute has", ratelimit.Limits{TasksPerMinute: 100}, 0, 101, ratelimit.Minute, ratelimit.ReasonMinute},
		{"one too many for the day", ratelimit.Limits{TasksPerDay: 300}, 270, 31, time.Hour, ratelimit.ReasonDay},
		{"the day comes first", ratelimit.Limits{TasksPerMinute: 100, TasksPerDay: 300}, 270, 100, time.Hour, ratelimit.ReasonDay},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wait, reason := ratelimit.Wait(tc.limits, counted, tc.today, tc.want, now)
			if wait != tc.wait || reason != tc.reason {
				t.Errorf("waits %v (%s), want %v (%s)", wait, reason, tc.wait, tc.reason)
			}
		})
	}
}
