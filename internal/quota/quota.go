// Package quota keeps an account's use of tasks in a database, so that it
// outlives the process and all processes of a machine share it, or of many
// machines: it is the ratelimit.Book over database/sql.
//
// What goes in: the grants that gates ask for, and their ends. What comes out:
// whether there is room, decided by ratelimit.Wait within one transaction that
// has the database for itself.
//
// A transaction is dear, as the disk has to have it, so a small request takes
// room for the next ones too: a lease, which this process hands out by itself for
// up to half a second. Ends of grants are reported to the book together, a tenth of a
// second later at the most, and so is room that nobody wanted. Until then it all
// counts as under way; so what a process had in hand when it died counts like
// its requests. Close reports the last of it.
//
// The bound: in the database one row for each lease that is under way, one for
// each report of answers in the last minute, and one for
// each of the last 40 days; in memory the grants that are under way, and those that
// the book has not heard of.
//
// Times in the book are those of a wall clock, as no other is shared by processes
// and outlives them: the computer's, or where many share the database its
// server's. Where it is set back, what lies in the future counts as of now, so
// nobody waits longer than by the rules and no quota becomes free; where it is set
// ahead, grants end early in the book, but not in the count that every gate keeps
// of its own. Answers are reported with their age, so it doesn't matter how far the
// computers' clocks are apart.
//
// The SQL is plain. One transaction at a time has an account's part of the book:
// each begins with a write, for which SQLite has it wait for its turn, or with a
// lock of PostgreSQL. With SQLite set busy_timeout, and best _txlock=immediate too.
package quota

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"poolfill/ratelimit"
)

const (
	// flushAfter is how long ends of grants are kept for others to join them. They
	// count as long as the last of them, so it is little beside the minute.
	flushAfter = 100 * time.Millisecond
	// nobody is the process of what a process that has closed the book has used.
	nobody = 0
)

// Database is what a book is kept in, as *ledger.Ledger is.
type Database interface {
	// Transact does something in a transaction. It may do so several times, but
	// only one of them is committed.
	Transact(ctx context.Context, do func(context.Context, *sql.Tx) error) error
	// Shared reports whether it is PostgreSQL, which many machines share. Otherwise it is
	// SQLite.
	Shared() bool
}

// Book is a ratelimit.Book over a database. It is safe for concurrent use.
type Book struct {
	db      Database
	account string
	length  time.Duration // of the day, as in ratelimit.Limits
	process int64         // any number that no other process has, and not nobody
	now     func() time.Time
	time    func(*page) time.Time // of the book

	// turn is held by the transaction that is under way: the next one has to know
	// what became of it, for its news.
	turn chan struct{}

	mu      sync.Mutex
	holding holding
	sharers int
	took    bool        // room, once
	timer   *time.Timer // set while there will be a report by itself
	err     error       // the first error of doing so

	flushing sync.WaitGroup
}

var _ ratelimit.Book = (*Book)(nil)

// New returns the book of an account, which any name distinguishes (never a
// token, as it is stored), and makes the tables where they are missing. day is as
// in ratelimit.Limits, which Take's must not contradict. Close it before db.
func New(ctx context.Context, db Database, account string, day time.Duration) (*Book, error) {
	if err := Prepare(ctx, db); err != nil {
		return nil, err
	}
	b := &Book{db: db, account: account, length: day, process: newID(), sharers: 1, now: time.Now, turn: make(chan struct{}, 1)}
	b.time = func(*page) time.Time { return b.now() }
	if db.Shared() {
		b.time = (*page).serverTime
	}
	return b, nil
}

// Prepare makes the tables of all books where they are missing.
func Prepare(ctx context.Context, db Database) error {
	err := db.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if db.Shared() { // there two can't make the same table at once
			if _, err := tx.ExecContext(ctx, lockServer, "quota"); err != nil {
				return err
			}
			var made bool // to make them again takes rights that the user need not have
			if err := tx.QueryRowContext(ctx, `SELECT count(DISTINCT relname) = 2 FROM pg_catalog.pg_class
				WHERE relname IN ('quota_day', 'quota_grant') AND pg_table_is_visible(oid)`).Scan(&made); err != nil || made {
				return err
			}
		}
		for _, table := range schema {
			if _, err := tx.ExecContext(ctx, table); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("making the tables of the quota: %w", err)
	}
	return nil
}

// Close reports to the book what it has not heard yet, and that this process is no
// sharer any more. Call it after the last grant has ended. It returns the first
// error of reporting to the book, which a Take or Settle may have returned before.
func (b *Book) Close(ctx context.Context) error {
	b.mu.Lock()
	b.stopTimer()
	took, err := b.took, b.err
	b.mu.Unlock()
	b.flushing.Wait()
	if !took || err != nil {
		return err
	}
	err = b.transact(ctx, func(t *page) {
		t.exec(`UPDATE quota_grant SET process = $1 WHERE account = $2 AND process = $3`, nobody, b.account, b.process)
	})
	if err != nil {
		return fmt.Errorf("closing the book of the quota: %w", err)
	}
	return nil
}

// Take asks for room for so many tasks, as ratelimit.Book says. It fails with a
// *ratelimit.TooManyTasksError where they can never pass, and where an earlier
// end of a grant could not be reported to the database.
func (b *Book) Take(ctx context.Context, tasks int, limits ratelimit.Limits) (id int64, wait time.Duration, reason ratelimit.Reason, err error) {
	if tasks < 0 {
		return 0, 0, "", fmt.Errorf("the number of tasks is negative: %d", tasks)
	}
	if err := limits.Check(tasks); err != nil {
		return 0, 0, "", err
	}
	id, taken, err := b.takeInHand(tasks, limits)
	if err != nil || taken {
		return id, 0, "", err
	}
	var l *lease
	var sharers int
	err = b.transact(ctx, func(t *page) {
		l = nil // what an earlier try took is not in the book
		sharers = 1 + t.number(`SELECT count(DISTINCT process) FROM quota_grant WHERE account = $1 AND process NOT IN ($2, $3)`, t.account, t.process, nobody)
		counted, today := t.counted(), t.today()
		if wait, reason = ratelimit.Wait(limits, counted, today, tasks, t.now); wait > 0 || t.err != nil {
			return
		}
		inWindow := 0
		for _, c := range counted {
			inWindow += c.Tasks
		}
		size := leaseSize(limits, inWindow, today, tasks, sharers)
		l = &lease{id: newID(), limits: limits, since: t.local, free: size, booked: size}
		t.add(l.id, t.day, size, sql.NullInt64{})
		t.count(t.day, size)
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		if l != nil {
			b.holding.disown(l)
		}
		return 0, 0, "", fmt.Errorf("taking from the quota: %w", err)
	}
	b.sharers = sharers
	if l == nil {
		return 0, wait, reason, nil
	}
	b.took = true
	id = b.holding.begin(l, tasks)
	b.flushSoon(ctx)
	return id, 0, "", nil
}

// takeInHand takes of the room that this process holds.
func (b *Book) takeInHand(tasks int, limits ratelimit.Limits) (id int64, taken bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, false, b.err
	}
	id, taken = b.holding.take(tasks, limits, b.now())
	return id, taken, nil
}

// Sharers returns how many processes have taken from the book within the last
// minute and have not closed it, as ratelimit.Book says.
func (b *Book) Sharers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sharers
}

// Settle ends a grant, as ratelimit.Book says. One that was taken so long ago
// that it has ended by itself stays as it is; its tasks count. The database
// hears of it a little later; an error in that is one of the next call.
func (b *Book) Settle(ctx context.Context, id int64, use ratelimit.Use) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holding.settle(id, use, b.now())
	b.flushSoon(ctx)
	return b.err
}

// Today returns the tasks of the running day, UTC, those under way included, and
// room that other processes hold just now.
func (b *Book) Today(ctx context.Context) (int, error) {
	var today int
	if err := b.transact(ctx, func(t *page) { today = t.today() }); err != nil {
		return 0, fmt.Errorf("asking for the day's tasks: %w", err)
	}
	return today, nil
}

// transact returns the room that was not handed out, reports the news to the book and
// runs f on the page of now.
func (b *Book) transact(ctx context.Context, f func(*page)) error {
	return b.inTurn(ctx, func() error { return b.write(ctx, b.news((*holding).giveBack), f) })
}

// flush reports the news to the book, where there are any.
func (b *Book) flush(ctx context.Context) error {
	err := b.inTurn(ctx, func() error {
		news := b.news(func(h *holding) { h.expire(b.now()) })
		if len(news) == 0 {
			return nil
		}
		return b.write(ctx, news, func(*page) {})
	})
	if err != nil {
		return fmt.Errorf("noting the ends of grants in the quota: %w", err)
	}
	return nil
}

func (b *Book) inTurn(ctx context.Context, do func() error) error {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-b.turn }()
	return do()
}

// news takes what the book has not heard yet, after a last change of the holding.
func (b *Book) news(last func(*holding)) []report {
	b.mu.Lock()
	defer b.mu.Unlock()
	last(&b.holding)
	return b.holding.reports()
}

// write reports the news to the book and runs f. Where it fails, they are news again: it
// may have been committed all the same, but nothing is heard twice.
func (b *Book) write(ctx context.Context, news []report, f func(*page)) error {
	err := b.db.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		t := b.open(ctx, tx)
		t.settle(news)
		f(t)
		return t.err
	})
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.holding.keep(news)
	}
	return err
}

// open waits until the page is this transaction's. Only then is the time taken, so
// that times are in the order of the transactions.
func (b *Book) open(ctx context.Context, tx *sql.Tx) *page {
	t := &page{ctx: ctx, tx: tx, account: b.account, process: b.process, length: b.length}
	if b.db.Shared() {
		t.exec(lockServer, t.account)
	} else {
		t.exec(lock)
	}
	t.local, t.clock = b.now(), b.time(t)
	t.now = t.clock.UTC().Truncate(time.Millisecond)
	t.begun = ratelimit.DayOf(t.now, t.length)
	t.day = name(t.begun)
	t.correctTimes()
	t.turn()
	t.correctDays()
	t.expire()
	return t
}

// flushSoon has the news reported where there are any, or will be. It
// needs b.mu.
func (b *Book) flushSoon(ctx context.Context) {
	if b.timer != nil || !b.holding.pending() && (b.holding.current == nil || b.holding.current.free == 0) {
		return
	}
	ctx = context.WithoutCancel(ctx) // the ends of grants are noted even when the run was stopped
	b.flushing.Add(1)
	b.timer = time.AfterFunc(flushAfter, func() {
		defer b.flushing.Done()
		b.mu.Lock()
		b.timer = nil
		b.mu.Unlock()
		err := b.flush(ctx)
		b.mu.Lock()
		defer b.mu.Unlock()
		if err == nil {
			b.flushSoon(ctx)
		} else if b.err == nil {
			b.err = err
		}
	})
}

// stopTimer needs b.mu.
func (b *Book) stopTimer() {
	if b.timer != nil && b.timer.Stop() {
		b.timer = nil
		b.flushing.Done()
	}
}
