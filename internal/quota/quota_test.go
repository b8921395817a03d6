package quota

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"
	"pgregory.net/rapid"

	"poolfill/internal/pgtest"
	"poolfill/internal/postgres"
	"poolfill/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// file is a database of SQLite.
type file struct{ *sql.DB }

func (file) Shared() bool { return false }

func (f file) Transact(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	tx, err := f.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(ctx, tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// open opens the file as a process of its own would.
func open(t testing.TB, path string) database {
	t.Helper()
	return openAs(t, path, "immediate")
}

func openAs(t testing.TB, path, txlock string) database {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock="+txlock+"&_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return file{db}
}

func openURL(t testing.TB, url string) database {
	t.Helper()
	db, err := postgres.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// database is one that a test can look into and close.
type database interface {
	Database
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	Close() error
}

// onEach runs a test on each kind of database. open opens the test's one as
// another process would each time.
func onEach(t *testing.T, test func(t *testing.T, open func() database)) {
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "ledger.db")
		test(t, func() database { return open(t, path) })
	})
	t.Run("postgres", func(t *testing.T) {
		url := pgtest.URL(t)
		test(t, func() database { return openURL(t, url) })
	})
}

// clock is set by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time       { return c.at }
func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }
func (c *clock) set(hour, minute int) { c.at = time.Date(2026, 3, 1, hour, minute, 0, 0, time.UTC) }

func noon() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func newBook(t testing.TB, db database, c *clock) *Book {
	t.Helper()
	b, err := New(t.Context(), db, "someone", 0)
	if err != nil {
		t.Fatal(err)
	}
	b.setClock(c)
	return b
}

// setClock sets this computer's clock and the book's.
func (b *Book) setClock(c *clock) {
	b.now = c.now
	b.time = func(*page) time.Time { return c.at }
}

// take wants a grant at once.
func take(t testing.TB, b *Book, tasks int, limits ratelimit.Limits) int64 {
	t.Helper()
	id, wait, reason, err := b.Take(t.Context(), tasks, limits)
	if err != nil || wait != 0 || reason != "" || id <= 0 {
		t.Fatalf("taking %d: grant %d, wait %v (%s), error %v; want a grant", tasks, id, wait, reason, err)
	}
	return id
}

// refused wants to be told to wait.
func refused(t testing.TB, b *Book, tasks int, limits ratelimit.Limits, want time.Duration, why ratelimit.Reason) {
	t.Helper()
	id, wait, reason, err := b.Take(t.Context(), tasks, limits)
	if err != nil || id != 0 || wait != want || reason != why {
		t.Fatalf("taking %d: grant %d, wait %v (%s), error %v; want a wait of %v (%s)", tasks, id, wait, reason, err, want, why)
	}
}

func settle(t testing.TB, b *Book, id int64, use ratelimit.Use) {
	t.Helper()
	if err := b.Settle(t.Context(), id, use); err != nil {
		t.Fatal(err)
	}
	tell(t, b)
}

// tell doesn't wait for the book to be told by itself.
func tell(t testing.TB, b *Book) {
	t.Helper()
	b.mu.Lock()
	b.stopTimer()
	b.mu.Unlock()
	b.flushing.Wait()
	if err := b.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func today(t testing.TB, b *Book, want int) {
	t.Helper()
	if got, err := b.Today(t.Context()); err != nil || got != want {
		t.Fatalf("today has %d tasks, error %v; want %d", got, err, want)
	}
}

var perMinute = ratelimit.Limits{TasksPerMinute: 100}

func TestTwoBooksShareTheWindowAndTheDay(t *testing.T) {
	onEach(t, func(t *testing.T, open func() database) {
		c := noon()
		one, two := newBook(t, open(), c), newBook(t, open(), c)
		limits := ratelimit.Limits{TasksPerMinute: 100, TasksPerDay: 150}

		first := take(t, one, 60, limits)
		c.pass(time.Second)
		refused(t, two, 41, limits, abandoned+ratelimit.Minute-time.Second, ratelimit.ReasonMinute)
		second := take(t, two, 40, limits)
		today(t, one, 100)

		settle(t, one, first, true)
		refused(t, two, 1, limits, ratelimit.Minute, ratelimit.ReasonMinute)
		settle(t, two, second, false)
		today(t, one, 60)
		take(t, one, 40, limits)

		c.pass(ratelimit.Minute - time.Millisecond)
		refused(t, two, 1, limits, time.Millisecond, ratelimit.ReasonMinute)
		c.pass(time.Millisecond)
		refused(t, two, 51, limits, 12*time.Hour-time.Second-ratelimit.Minute, ratelimit.ReasonDay)
		take(t, two, 50, limits)
		today(t, two, 150)

		other, err := New(t.Context(), two.db, "another", 0)
		if err != nil {
			t.Fatal(err)
		}
		other.setClock(c)
		today(t, other, 0)
		take(t, other, 100, limits)
		today(t, one, 150)
	})
}

func TestOfManyAtOnceOnlyThoseGetAGrantForWhomThereIsRoom(t *testing.T) {
	manyAtOnce := func(t *testing.T, open func() database) {
		var granted atomic.Int64
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				b, err := New(t.Context(), open(), "someone", 0)
				if err != nil {
					t.Error(err)
					return
				}
				b.setClock(noon())
				for range 20 {
					wg.Go(func() {
						_, wait, _, err := b.Take(t.Context(), 4, perMinute)
						if err != nil {
							t.Error(err)
						}
						if wait == 0 {
							granted.Add(1)
						}
					})
				}
			})
		}
		wg.Wait()
		if got := granted.Load(); got != 25 {
			t.Errorf("%d grants of 4 tasks are given, want 25", got)
		}
	}
	onEach(t, manyAtOnce)
	t.Run("deferred", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "ledger.db")
		manyAtOnce(t, func() database { return openAs(t, path, "deferred") })
	})
}

func TestTheWaitIsForTheFirstToEnd(t *testing.T) {
	onEach(t, func(t *testing.T, open func() database) {
		c := noon()
		b := newBook(t, open(), c)
		take(t, b, 40, perMinute)
		settle(t, b, take(t, b, 40, perMinute), true)
		refused(t, b, 60, perMinute, ratelimit.Minute, ratelimit.ReasonMinute)
		refused(t, b, 61, perMinute, abandoned+ratelimit.Minute, ratelimit.ReasonMinute)
	})
}

func TestTheBookOutlivesItsProcess(t *testing.T) {
	onEach(t, func(t *testing.T, open func() database) {
		c := noon()
		db := open()
		gone := newBook(t, db, c)
		settle(t, gone, take(t, gone, 30, perMinute), true)
		lost := take(t, gone, 70, perMinute)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		b := newBook(t, open(), c)
		today(t, b, 100)
		refused(t, b, 30, perMinute, ratelimit.Minute, ratelimit.ReasonMinute)
		c.pass(abandoned)
		take(t, b, 30, perMinute)
		refused(t, b, 1, perMinute, ratelimit.Minute, ratelimit.ReasonMinute)
		c.pass(ratelimit.Minute)
		take(t, b, 70, perMinute)
		settle(t, b, lost, false) // far too late: it may have been sent
		today(t, b, 200)
	})
}

func TestASettledGrantStaysAsItIs(t *testing.T) {
	onEach(t, func(t *testing.T, open func() database) {
		c := noon()
		b := newBook(t, open(), c)
		id := take(t, b, 100, perMinute)
		settle(t, b, id, true)
		c.pass(time.Second)
		settle(t, b, id, true)
		settle(t, b, id, false)
		settle(t, b, 12345, false)
		today(t, b, 100)
		refused(t, b, 1, perMinute, ratelimit.Minute-time.Second, ratelimit.ReasonMinute)
	})
}

func TestADayBeginsWithWhatIsUnderWay(t *testing.T) {
	onEach(t, func(t *testing.T, open func() database) {
		c := noon()
		b := newBook(t, open(), c)
		limits := ratelimit.Limits{TasksPerDay: 100}
		c.set(23, 59)
		settle(t, b, take(t, b, 9, limits), true)
		used, unused := take(t, b, 20, limits), take(t, b, 30, limits)
		refused(t, b, 42, limits, time.Minute, ratelimit.ReasonDay)
		c.pass(2 * time.Minute)
		settle(t, b, used, true)
		today(t, b, 50)
		settle(t, b, unused, false)
		today(t, b, 20)
		take(t, b, 80, limits)
		refused(t, b, 1, limits, 24*time.Hour-time.Minute, ratelimit.ReasonDay)
	})
}

func TestAShortDay(t *testing.T) {
	onEach(t, func(t *testing.T, open func() database) {
		c := noon()
		b := newBook(t, open(), c)
		b.length = time.Minute
		limits := ratelimit.Limits{TasksPerDay: 100, Day: time.Minute}
		for range 2 * keepDays {
			settle(t, b, take(t, b, 70, limits), true)
			c.pass(40 * time.Second)
			under := take(t, b, 30, limits)
			refused(t, b, 1, limits, 20*time.Second, ratelimit.ReasonDay)
			c.pass(20 * time.Second)
			today(t, b, 30) // the server may count it in this day
			settle(t, b, under, false)
			today(t, b, 0)
		}
	})
}

func TestADayBeginsWithoutWhatWasAbandonedBefore(t *testing.T) {
	onEach(t, func(t *testing.T, open func() database) {
		c := noon()
		b := newBook(t, open(), c)
		limits := ratelimit.Limits{TasksPerDay: 100}
		c.set(23, 30)
		take(t, b, 10, limits) // over by midnight, whatever became of it
		c.set(23, 55)
		take(t, b, 20, limits) // may have been answered after it
		c.pass(8 * time.Hour)
		today(t, b, 20)

		c.set(48+23, 49)
		over := take(t, b, 30, limits)
		c.pass(11*time.Minute + 500*time.Millisecond) // it still counts in the minute
		today(t, b, 0)
		settle(t, b, over, false)
		today(t, b, 0)
	})
}

func TestAClockThatIsSetBackFreesNothing(t *testing.T) {
	limits := ratelimit.Limits{TasksPerMinute: 100, TasksPerDay: 1000}
	for _, tc := range []struct {
		name string
		back time.Duration
	}{{"seconds", 30 * time.Second}, {"hours", 5 * time.Hour}, {"over midnight", 13 * time.Hour}, {"years", 9000 * time.Hour}} {
		t.Run(tc.name, func(t *testing.T) {
			c := noon()
			b := newBook(t, open(t, filepath.Join(t.TempDir(), "ledger.db")), c)
			settle(t, b, take(t, b, 30, limits), true)
			open := take(t, b, 60, limits)
			c.pass(-tc.back)
			refused(t, b, 20, limits, ratelimit.Minute, ratelimit.ReasonMinute)
			today(t, b, 90)
			c.pass(ratelimit.Minute)
			settle(t, b, open, false)
			today(t, b, 30)
			take(t, b, 100, limits)
			today(t, b, 130)
		})
	}
	t.Run("after years ahead", func(t *testing.T) {
		c := noon()
		b := newBook(t, open(t, filepath.Join(t.TempDir(), "ledger.db")), c)
		settle(t, b, take(t, b, 50, limits), true)
		c.pass(9000 * time.Hour)
		settle(t, b, take(t, b, 70, limits), true)
		c.pass(-9000 * time.Hour)
		today(t, b, 120)
		c.pass(24 * time.Hour)
		today(t, b, 0)
	})
}

func TestOldDaysAreDropped(t *testing.T) {
	onEach(t, func(t *testing.T, open func() database) {
		c := noon()
		db := open()
		b := newBook(t, db, c)
		for range 100 {
			settle(t, b, take(t, b, 100, perMinute), true)
			c.pass(24 * time.Hour)
		}
		var days, grants int
		if err := db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM quota_day), (SELECT count(*) FROM quota_grant)`).Scan(&days, &grants); err != nil {
			t.Fatal(err)
		}
		if days != keepDays || grants != 1 {
			t.Errorf("%d days and %d grants are kept, want %d and 1", days, grants, keepDays)
		}
	})
}

func TestWhatCanNotBeTaken(t *testing.T) {
	onEach(t, func(t *testing.T, open func() database) {
		c := noon()
		db := open()
		b := newBook(t, db, c)
		var tooMany *ratelimit.TooManyTasksError
		if _, _, _, err := b.Take(t.Context(), 101, perMinute); !errors.As(err, &tooMany) {
			t.Errorf("more than the limit: %v", err)
		}
		if _, _, _, err := b.Take(t.Context(), -1, perMinute); err == nil {
			t.Error("a negative number of tasks is taken")
		}
		stopped, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, _, err := b.Take(stopped, 1, perMinute); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
		today(t, b, 0)
		id := take(t, b, 1, perMinute)
		db.Close()
		if _, _, _, err := b.Take(t.Context(), 1, perMinute); err == nil {
			t.Error("a closed database gives a grant")
		}
		if err := b.Settle(t.Context(), id, true); err != nil {
			t.Errorf("ending a grant fails before the database is told: %v", err)
		}
		if err := b.Close(t.Context()); err == nil {
			t.Error("a closed database notes the end of a grant")
		}
		if _, err := b.Today(t.Context()); err == nil {
			t.Error("a closed database knows the day")
		}
		if _, err := New(t.Context(), db, "someone", 0); err == nil {
			t.Error("a closed database gets tables")
		}
	})
}

// Each process is a gate over its own connections, in one bubble of time.
func TestGatesOverOneBookNeverExceedTheMinute(t *testing.T) {
	type job struct {
		tasks       int
		there, back time.Duration // latency before and after the server counts
		lost        bool          // never left
	}
	type event struct {
		at    time.Time
		tasks int
	}
	dir := t.TempDir()
	var files int
	rapid.Check(t, func(rt *rapid.T) {
		files++
		file := filepath.Join(dir, fmt.Sprint(files))
		limit := rapid.IntRange(1, 1000).Draw(rt, "limit")
		queues := make([][]job, 2)
		for p := range queues {
			queues[p] = rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) job {
				latency := func(label string) time.Duration {
					return time.Duration(rapid.IntRange(0, 3000).Draw(rt, label)) * time.Millisecond
				}
				return job{rapid.IntRange(1, limit).Draw(rt, "tasks"), latency("there"), latency("back"), rapid.IntRange(0, 4).Draw(rt, "lost") == 0}
			}), 1, 4).Draw(rt, "jobs")
		}
		var counted []event
		var total int
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			books := make([]*Book, 0, len(queues))
			for _, jobs := range queues {
				b, err := New(t.Context(), open(t, file), "someone", 0)
				if err != nil {
					t.Fatal(err)
				}
				g, err := ratelimit.New(ratelimit.Config{TasksPerMinute: limit, Book: b})
				if err != nil {
					t.Fatal(err)
				}
				for _, j := range jobs {
					wg.Go(func() {
						grant, err := g.Acquire(t.Context(), j.tasks)
						if err != nil {
							t.Error(err)
							return
						}
						if j.lost {
							grant.Refund()
							return
						}
						time.Sleep(j.there)
						mu.Lock()
						counted = append(counted, event{time.Now(), j.tasks})
						total += j.tasks
						mu.Unlock()
						time.Sleep(j.back)
						grant.Done()
						if err := g.Err(); err != nil {
							t.Error(err)
						}
					})
				}
				books = append(books, b)
			}
			wg.Wait()
			for _, b := range books {
				if err := b.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
			for _, b := range books {
				today(t, b, total)
			}
		})
		slices.SortFunc(counted, func(a, b event) int { return a.at.Compare(b.at) })
		first, sum := 0, 0
		for _, e := range counted {
			for sum += e.tasks; e.at.Sub(counted[first].at) > time.Minute; first++ {
				sum -= counted[first].tasks
			}
			if sum > limit {
				rt.Fatalf("the server sees %d tasks within a minute, the limit is %d", sum, limit)
			}
		}
	})
}

func TestProcessesKnowHowManyTheyAre(t *testing.T) {
	onEach(t, func(t *testing.T, open func() database) {
		c := noon()
		one, two := newBook(t, open(), c), newBook(t, open(), c)
		sharers := func(b *Book, want int) {
			t.Helper()
			if got := b.Sharers(); got != want {
				t.Fatalf("%d sharers, want %d", got, want)
			}
		}
		sharers(one, 1)
		first := take(t, one, 1, perMinute)
		settle(t, one, take(t, two, 1, perMinute), true) // of another process: it stays
		sharers(one, 1)
		sharers(two, 2)
		take(t, one, 1, perMinute)
		sharers(one, 2)
		settle(t, one, first, true)
		c.pass(abandoned + 2*ratelimit.Minute)
		take(t, one, 1, perMinute)
		sharers(one, 1) // the other is long gone
	})
}
