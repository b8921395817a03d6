package quota

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/ratelimit"
)

func TestTheSizeOfALease(t *testing.T) {
	both := ratelimit.Limits{TasksPerMinute: 200_000, TasksPerDay: 4_000_000}
	for _, tc := range []struct {
		name                            string
		limits                          ratelimit.Limits
		inWindow, today, tasks, sharers int
		want                            int
	}{
		{"a hundredth of the minute", both, 0, 0, 1, 1, 2000},
		{"shared by processes", both, 0, 0, 1, 4, 500},
		{"a request that takes more", both, 0, 0, 5000, 1, 5000},
		{"what is left of the minute", both, 198_500, 198_500, 1, 1, 1500},
		{"what is left of the day", both, 0, 3_999_990, 3, 1, 10},
		{"a hundredth of the day", ratelimit.Limits{TasksPerDay: 1000}, 0, 0, 1, 1, 10},
		{"no limits", ratelimit.Limits{}, 0, 0, 7, 1, 7},
		{"a small quota", ratelimit.Limits{TasksPerMinute: 50}, 0, 0, 1, 1, 1},
	} {
		if got := leaseSize(tc.limits, tc.inWindow, tc.today, tc.tasks, tc.sharers); got != tc.want {
			t.Errorf("%s: %d tasks, want %d", tc.name, got, tc.want)
		}
	}
}

func TestALeaseIsHandedOutForHalfASecondByAnyClock(t *testing.T) {
	now := time.Now()
	wall := func(d time.Duration) time.Time { return now.Round(0).Add(d) } // as set by hand
	for _, tc := range []struct {
		name string
		at   time.Time
		want bool
	}{
		{"at once", now, true},
		{"just before", now.Add(leaseFor - 1), true},
		{"half a second later", now.Add(leaseFor), false},
		{"the clock was set back", wall(-1), false},
		{"the clock was set ahead, or the computer slept", wall(leaseFor), false},
	} {
		h := holding{current: &lease{since: now, limits: perMinute, free: 10}}
		if _, got := h.take(1, perMinute, tc.at); got != tc.want {
			t.Errorf("%s: handed out: %v", tc.name, got)
		}
	}
	h := holding{current: &lease{since: now, limits: perMinute, free: 10}}
	if _, got := h.take(11, perMinute, now); got {
		t.Error("more is handed out than there is")
	}
	if _, got := h.take(1, ratelimit.Limits{TasksPerDay: 5}, now); got {
		t.Error("it is handed out under other limits")
	}
}

func TestTheBookHearsAllOfALeaseOnce(t *testing.T) {
	var h holding
	l := &lease{since: time.Now(), limits: perMinute, free: 100, booked: 100}
	used := h.begin(l, 10)
	refunded, taken := h.take(20, perMinute, l.since)
	if !taken {
		t.Fatal("nothing is handed out")
	}
	late, _ := h.take(30, perMinute, l.since)
	wants := func(what string, want ...report) []report {
		t.Helper()
		got := h.reports()
		if !slices.Equal(got, want) {
			t.Errorf("%s: the book hears %v, want %v", what, got, want)
		}
		return got
	}
	wants("nothing has ended")
	h.settle(used, true, l.since)
	h.settle(used, true, l.since)
	h.settle(used, false, l.since)
	h.settle(refunded, false, l.since) // can be handed out again
	h.keep(wants("some have ended", report{l, 100, 10, 0, l.answered}))
	again, _ := h.take(60, perMinute, l.since)
	h.settle(again, true, l.since)
	wants("after it could not be told", report{l, 100, 10, 0, l.answered}, report{l, 90, 60, 0, l.answered})
	next := &lease{since: l.since, limits: perMinute, free: 5}
	h.begin(next, 5)
	h.settle(late, false, l.since)
	wants("of a lease that is not the current one", report{l, 30, 0, 30, l.answered})
	wants("nothing more")
	if len(h.grants) != 1 {
		t.Errorf("%d grants are kept", len(h.grants))
	}
}

// large has room for leases.
var large = ratelimit.Limits{TasksPerMinute: 10_000, TasksPerDay: 100_000}

func rowCount(t *testing.T, b *Book) (n int) {
	t.Helper()
	if err := b.db.(database).QueryRowContext(t.Context(), `SELECT count(*) FROM quota_grant`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSmallRequestsShareALeaseAndUnusedRoomComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "ledger.db")
		open := func() *Book {
			b, err := New(t.Context(), open(t, file), "someone", 0)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		one, two := open(), open()
		for range 30 {
			id := take(t, one, 3, large)
			if err := one.Settle(t.Context(), id, true); err != nil {
				t.Fatal(err)
			}
		}
		if n := rowCount(t, one); n != 1 {
			t.Errorf("30 requests made %d rows", n)
		}
		today(t, two, 100) // what the other process has in hand counts
		time.Sleep(leaseFor + 2*flushAfter)
		synctest.Wait()
		today(t, two, 90)
		if n := rowCount(t, one); n != 1 {
			t.Errorf("after all is told there are %d rows", n)
		}
		refused(t, two, 9911, large, ratelimit.Minute-leaseFor-2*flushAfter, ratelimit.ReasonMinute)
		take(t, two, 9910, large)
		if err := two.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := one.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := one.Take(t.Context(), 1, large); err != nil || one.Sharers() != 1 {
			t.Errorf("%d processes share after one has closed its book (error %v)", one.Sharers(), err)
		}
	})
}

func TestALeaseOfADeadProcessCountsAsUsed(t *testing.T) {
	onEach(t, func(t *testing.T, open func() database) {
		c := noon()
		gone := newBook(t, open(), c)
		take(t, gone, 1, large)
		gone.mu.Lock()
		gone.stopTimer() // it is dead
		gone.mu.Unlock()
		b := newBook(t, open(), c)
		today(t, b, 100)
		refused(t, b, 9901, large, abandoned+ratelimit.Minute, ratelimit.ReasonMinute)
		c.pass(abandoned + ratelimit.Minute)
		take(t, b, 10_000, large)
		today(t, b, 10_100)
	})
}

func TestTwoProcessesUseNearlyAllOfTheMinute(t *testing.T) {
	const limit, tasks = 3000, 20
	file := filepath.Join(t.TempDir(), "ledger.db")
	var mu sync.Mutex
	var counted []time.Time // by the server, for so many tasks each
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 130*time.Second)
		defer cancel()
		var books []*Book
		var wg sync.WaitGroup
		for range 2 {
			b, err := New(t.Context(), open(t, file), "someone", 0)
			if err != nil {
				t.Fatal(err)
			}
			books = append(books, b)
			g, err := ratelimit.New(ratelimit.Config{TasksPerMinute: limit, RequestsPerSecond: 300, Book: b})
			if err != nil {
				t.Fatal(err)
			}
			for range 8 {
				wg.Go(func() {
					for {
						grant, err := g.Acquire(ctx, tasks)
						if err != nil {
							return
						}
						time.Sleep(20 * time.Millisecond)
						mu.Lock()
						counted = append(counted, time.Now())
						mu.Unlock()
						time.Sleep(20 * time.Millisecond)
						grant.Done()
					}
				})
			}
		}
		wg.Wait()
		for _, b := range books {
			if err := b.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	for i := limit / tasks; i < len(counted); i++ {
		if gap := counted[i].Sub(counted[i-limit/tasks]); gap < time.Minute {
			t.Fatalf("the server sees more than the limit within %v", gap)
		}
	}
	if got, most := len(counted)*tasks, 3*limit; got < most*99/100 {
		t.Errorf("%d of %d tasks pass", got, most)
	}
}

// unsure is a database of which the next transaction seems to fail, whether or
// not it was committed.
type unsure struct {
	database
	commits bool
	failing bool
}

var errUnsure = errors.New("the connection is lost")

func (u *unsure) Transact(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	failing := u.failing
	u.failing = false
	if !failing {
		return u.database.Transact(ctx, do)
	}
	err := u.database.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := do(ctx, tx); err != nil || u.commits {
			return err
		}
		return errUnsure
	})
	return errors.Join(err, errUnsure)
}

// Whether or not a transaction was committed whose end is not known: what it told
// counts once, and what it took, which nobody has, is given back.
func TestATransactionOfUnknownEndCountsOnce(t *testing.T) {
	onEach(t, func(t *testing.T, open func() database) {
		for _, commits := range []bool{true, false} {
			t.Run(fmt.Sprintf("committed: %v", commits), func(t *testing.T) {
				c := noon()
				db := &unsure{database: open(), commits: commits}
				b, err := New(t.Context(), db, t.Name(), 0)
				if err != nil {
					t.Fatal(err)
				}
				b.setClock(c)
				end := func(id int64, use ratelimit.Use) {
					t.Helper()
					if err := b.Settle(t.Context(), id, use); err != nil {
						t.Fatal(err)
					}
					b.mu.Lock()
					b.stopTimer() // it is told by the next call
					b.mu.Unlock()
				}
				late := take(t, b, 50, large)
				end(take(t, b, 20, large), true)
				end(take(t, b, 10, large), false)
				db.failing = true
				if _, _, _, err := b.Take(t.Context(), 90, large); !errors.Is(err, errUnsure) {
					t.Fatalf("the error is %v", err)
				}
				today(t, b, 70)
				refused(t, b, 9931, large, ratelimit.Minute, ratelimit.ReasonMinute)

				c.pass(time.Second)
				end(late, true)
				db.failing = true
				if _, err := b.Today(t.Context()); !errors.Is(err, errUnsure) {
					t.Fatalf("the error is %v", err)
				}
				today(t, b, 70)
				c.pass(ratelimit.Minute - time.Second)
				refused(t, b, 9951, large, time.Second, ratelimit.ReasonMinute)
				take(t, b, 9950, large)
			})
		}
	})
}
