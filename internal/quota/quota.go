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
// up to half a second. Ends of grants are told to the book together, a tenth of a
// second later at the most, and so is room that nobody wanted. Until then it all
// counts as under way; so what a process had in hand when it died counts like
// its requests. The last of it is told by Close.
//
// The bound: in the database one row for each lease that is under way, one for
// each time that the book was told of answers in the last minute, and one for
// each of the last 40 days; in memory the grants that are under way, and those that
// the book has not heard of.
//
// Times in the book are those of a wall clock, as no other is shared by processes
// and outlives them: the computer's, or where many share the database its
// server's. Where it is set back, what lies in the future counts as of now, so
// nobody waits longer than the rules say and no quota becomes free; where it is set
// ahead, grants end early in the book, but not in the count that every gate keeps
// of its own. Answers are told with their age, so it doesn't matter how far the
// computers' clocks are apart.
//
// The SQL is plain. One transaction at a time has an account's part of the book:
// each begins with a write, for which SQLite has it wait for its turn, or with a
// lock of PostgreSQL. With SQLite set busy_timeout, and best _txlock=immediate too.
package quota

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"poolfill/ratelimit"
)

const (
	// abandoned is when a grant without an end counts as answered: its process
	// has died, or its computer slept. It is well above the time that one request
	// takes, whose own limit is two minutes unless the user sets another.
	abandoned = 10 * time.Minute
	// tellAfter is how long ends of grants are kept for others to join them. They
	// count as long as the last of them, so it is little beside the minute.
	tellAfter = 100 * time.Millisecond
	// nobody is the process of what a process that has closed the book has used.
	nobody = 0
	// keepDays is for how many days their tasks are kept. It counts days in the
	// book and not in the calendar, so that a clock that is set far ahead for a
	// while doesn't take today's count away.
	keepDays = 40
)

// schema is repeated at each start, so all of it must bear that.
var schema = []string{
	`CREATE TABLE IF NOT EXISTS quota_day (
		account text NOT NULL,
		day text NOT NULL,
		tasks bigint NOT NULL,
		PRIMARY KEY (account, day)
	)`,
	// Times are milliseconds since 1970. The day is the one in whose tasks the
	// grant counts.
	`CREATE TABLE IF NOT EXISTS quota_grant (
		id bigint PRIMARY KEY,
		account text NOT NULL,
		process bigint NOT NULL,
		day text NOT NULL,
		tasks bigint NOT NULL,
		taken_at bigint NOT NULL,
		answered_at bigint
	)`,
}

// lock changes nothing, as no grant has the number 0, but it is a write, so that
// SQLite lets no other transaction write. A server's only has it wait for those of
// the same account.
const (
	lock       = `UPDATE quota_grant SET tasks = tasks WHERE id = 0`
	lockServer = `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`
)

// Database is what a book is kept in, as *ledger.Ledger is.
type Database interface {
	// Transact does something in a transaction. It may do so several times, but
	// only one of them is committed.
	Transact(ctx context.Context, do func(context.Context, *sql.Tx) error) error
	// Shared says that it is PostgreSQL, which many machines share. Otherwise it is
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
	time    func(context.Context, *sql.Tx) (time.Time, error) // of the book

	// turn is held by the transaction that is under way: the next one has to know
	// what became of it, for its news.
	turn chan struct{}

	mu      sync.Mutex
	holding holding
	sharers int
	took    bool        // room, once
	timer   *time.Timer // set while the book will be told by itself
	err     error       // the first error of doing so

	telling sync.WaitGroup
}

var _ ratelimit.Book = (*Book)(nil)

// New returns the book of an account, which any name tells from others (never a
// token, as it is stored), and makes the tables where they are missing. day is as
// in ratelimit.Limits, which Take's must not contradict. Close it before db.
func New(ctx context.Context, db Database, account string, day time.Duration) (*Book, error) {
	if err := Prepare(ctx, db); err != nil {
		return nil, err
	}
	b := &Book{db: db, account: account, length: day, process: newID(), sharers: 1, now: time.Now, turn: make(chan struct{}, 1)}
	b.time = func(context.Context, *sql.Tx) (time.Time, error) { return b.now(), nil }
	if db.Shared() {
		b.time = serverTime
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

// serverTime is the time by the clock of the database's server.
func serverTime(ctx context.Context, tx *sql.Tx) (now time.Time, err error) {
	err = tx.QueryRowContext(ctx, `SELECT clock_timestamp()`).Scan(&now)
	return now, err
}

// Close tells the book what it has not heard yet, and that this process is no
// sharer any more. Call it after the last grant has ended. It gives the first
// error of telling the book, which a Take or Settle may have given before.
func (b *Book) Close(ctx context.Context) error {
	b.mu.Lock()
	b.stopTimer()
	took, err := b.took, b.err
	b.mu.Unlock()
	b.telling.Wait()
	if !took || err != nil {
		return err
	}
	err = b.transact(ctx, func(t *page) error {
		return t.exec(ctx, `UPDATE quota_grant SET process = $1 WHERE account = $2 AND process = $3`, nobody, b.account, b.process)
	})
	if err != nil {
		return fmt.Errorf("closing the book of the quota: %w", err)
	}
	return nil
}

// Take asks for room for so many tasks, as ratelimit.Book says. It fails with a
// *ratelimit.TooManyTasksError where they can never pass, and where an earlier
// end of a grant could not be told to the database.
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
	err = b.transact(ctx, func(t *page) error {
		l = nil // what an earlier try took is not in the book
		others, err := t.number(ctx, `SELECT count(DISTINCT process) FROM quota_grant WHERE account = $1 AND process NOT IN ($2, $3)`,
			b.account, b.process, nobody)
		if err != nil {
			return err
		}
		sharers = others + 1
		counted, err := t.counted(ctx)
		if err != nil {
			return err
		}
		today, err := t.today(ctx)
		if err != nil {
			return err
		}
		if wait, reason = ratelimit.Wait(limits, counted, today, tasks, t.now); wait > 0 {
			return nil
		}
		inWindow := 0
		for _, c := range counted {
			inWindow += c.Tasks
		}
		size := leaseSize(limits, inWindow, today, tasks, sharers)
		l = &lease{id: newID(), limits: limits, since: t.local, free: size, booked: size}
		return errors.Join(t.add(ctx, l.id, t.day, size, sql.NullInt64{}), t.count(ctx, t.day, size))
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
	b.tellSoon(ctx)
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

// Sharers gives how many processes have taken from the book within the last
// minute and have not closed it, as ratelimit.Book says.
func (b *Book) Sharers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sharers
}

// Settle ends a grant, as ratelimit.Book says. One that was taken so long ago
// that it has ended by itself stays as it is; its tasks count. The database
// hears of it a little later; an error in that is one of the next call.
func (b *Book) Settle(ctx context.Context, id int64, used bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holding.settle(id, used, b.now())
	b.tellSoon(ctx)
	return b.err
}

// Today gives the tasks of the running day, UTC, those under way included, and
// room that other processes hold just now.
func (b *Book) Today(ctx context.Context) (int, error) {
	var today int
	err := b.transact(ctx, func(t *page) (err error) {
		today, err = t.today(ctx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("asking for the day's tasks: %w", err)
	}
	return today, nil
}

// news takes what the book has not heard yet; with all, room that was not handed
// out is given back too.
func (b *Book) news(all bool) []report {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.holding.current; all || l != nil && !l.fresh(b.now()) {
		b.holding.giveBack()
	}
	return b.holding.reports()
}

// tell tells the book the news.
func (b *Book) tell(ctx context.Context) error {
	if err := b.transact(ctx, nil); err != nil {
		return fmt.Errorf("noting the ends of grants in the quota: %w", err)
	}
	return nil
}

// tellSoon has the book told where there is something to tell, or will be. It
// needs b.mu.
func (b *Book) tellSoon(ctx context.Context) {
	if b.timer != nil || !b.holding.untold() && (b.holding.current == nil || b.holding.current.free == 0) {
		return
	}
	ctx = context.WithoutCancel(ctx) // the ends of grants are noted even when the run was stopped
	b.telling.Add(1)
	b.timer = time.AfterFunc(tellAfter, func() {
		defer b.telling.Done()
		b.mu.Lock()
		b.timer = nil
		b.mu.Unlock()
		err := b.tell(ctx)
		b.mu.Lock()
		defer b.mu.Unlock()
		if err == nil {
			b.tellSoon(ctx)
		} else if b.err == nil {
			b.err = err
		}
	})
}

// stopTimer needs b.mu.
func (b *Book) stopTimer() {
	if b.timer != nil && b.timer.Stop() {
		b.timer = nil
		b.telling.Done()
	}
}

// page is the book within one transaction: open at the running day, with what is
// over taken out.
type page struct {
	tx      *sql.Tx
	account string
	process int64
	length  time.Duration // of the day
	local   time.Time     // by this computer's clock, not after clock
	clock   time.Time     // by the book's
	now     time.Time     // clock in milliseconds, as everything in the book
	begun   time.Time     // the day
	day     string        // its name
}

// transact tells the book the news and runs f on the page of now; without f it
// does nothing where there are no news. Where it fails, they are news again: it
// may have been committed all the same, but nothing is heard twice.
func (b *Book) transact(ctx context.Context, f func(*page) error) error {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-b.turn }()
	news := b.news(f != nil)
	if f == nil && len(news) == 0 {
		return nil
	}
	err := b.db.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		t := &page{tx: tx, account: b.account, process: b.process, length: b.length}
		if err := b.turnTo(ctx, t); err != nil {
			return err
		}
		if err := t.settle(ctx, news); err != nil || f == nil {
			return err
		}
		return f(t)
	})
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.holding.keep(news)
	}
	return err
}

// turnTo waits until the page is this transaction's. Only then is the time taken,
// so that times are in the order of the transactions.
func (b *Book) turnTo(ctx context.Context, t *page) (err error) {
	if b.db.Shared() {
		err = t.exec(ctx, lockServer, t.account)
	} else {
		err = t.exec(ctx, lock)
	}
	if err != nil {
		return err
	}
	t.local = b.now()
	if t.clock, err = b.time(ctx, t.tx); err != nil {
		return err
	}
	t.now = t.clock.UTC().Truncate(time.Millisecond)
	t.begun = ratelimit.DayOf(t.now, t.length)
	t.day = name(t.begun)
	for _, step := range []func(context.Context) error{t.correctTimes, t.turn, t.correctDays, t.expire} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settle moves the tasks of ended grants out of their leases: those that were
// used to what was answered, at the time of the last. A lease that has ended by
// itself has done so with all its tasks, and one that has fewer tasks than before
// the report was settled by it.
func (t *page) settle(ctx context.Context, news []report) error {
	type answers struct {
		tasks int
		last  time.Time
	}
	answered := make(map[string]answers) // by day
	for _, r := range news {
		const open = `WHERE id = $1 AND account = $2 AND answered_at IS NULL`
		var day string
		err := t.tx.QueryRowContext(ctx, `UPDATE quota_grant SET tasks = tasks - $3 `+open+` AND tasks = $4 RETURNING day`,
			r.lease.id, t.account, r.used+r.unused, r.before).Scan(&day)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		if err := t.exec(ctx, `DELETE FROM quota_grant `+open+` AND tasks = 0`, r.lease.id, t.account); err != nil {
			return err
		}
		if r.used > 0 {
			a := answered[day]
			a.tasks += r.used
			if r.answered.After(a.last) {
				a.last = r.answered
			}
			answered[day] = a
		}
		if r.unused > 0 {
			if err := t.count(ctx, day, -r.unused); err != nil {
				return err
			}
		}
	}
	for day, a := range answered {
		at := t.clock.Add(-max(0, t.local.Sub(a.last))).UnixMilli()
		if err := t.add(ctx, newID(), day, a.tasks, sql.NullInt64{Int64: at, Valid: true}); err != nil {
			return err
		}
	}
	return nil
}

// add puts tasks into the minute's window.
func (t *page) add(ctx context.Context, id int64, day string, tasks int, answered sql.NullInt64) error {
	return t.exec(ctx, `INSERT INTO quota_grant (id, account, process, day, tasks, taken_at, answered_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		id, t.account, t.process, day, tasks, t.now.UnixMilli(), answered)
}

// count adds tasks to a day.
func (t *page) count(ctx context.Context, day string, tasks int) error {
	return t.exec(ctx, `UPDATE quota_day SET tasks = tasks + $1 WHERE account = $2 AND day = $3`, tasks, t.account, day)
}

// correctTimes lets what lies in the future, as the clock was set back, count as
// of now.
func (t *page) correctTimes(ctx context.Context) error {
	now := t.now.UnixMilli()
	if err := t.exec(ctx, `UPDATE quota_grant SET taken_at = $1 WHERE account = $2 AND taken_at > $1`, now, t.account); err != nil {
		return err
	}
	return t.exec(ctx, `UPDATE quota_grant SET answered_at = $1 WHERE account = $2 AND answered_at > $1`, now, t.account)
}

// turn begins a new day where the clock has come to one. What is under way at
// midnight counts in it too, since the server may count it there.
func (t *page) turn(ctx context.Context) error {
	known, err := t.number(ctx, `SELECT count(*) FROM quota_day WHERE account = $1 AND day = $2`, t.account, t.day)
	if err != nil || known > 0 {
		return err
	}
	if err := t.exec(ctx, `UPDATE quota_grant SET day = $1
		WHERE account = $2 AND day < $1 AND answered_at IS NULL AND taken_at > $3`,
		t.day, t.account, t.begun.Add(-abandoned).UnixMilli()); err != nil {
		return err
	}
	open, err := t.number(ctx, `SELECT coalesce(sum(tasks), 0) FROM quota_grant
		WHERE account = $1 AND day = $2 AND answered_at IS NULL`, t.account, t.day)
	if err != nil {
		return err
	}
	if err := t.exec(ctx, `INSERT INTO quota_day (account, day, tasks) VALUES ($1, $2, $3)`, t.account, t.day, open); err != nil {
		return err
	}
	return t.exec(ctx, `DELETE FROM quota_day WHERE account = $1 AND day <=
		(SELECT day FROM quota_day WHERE account = $1 ORDER BY day DESC LIMIT 1 OFFSET $2)`, t.account, keepDays)
}

// correctDays counts the days that are yet to come in this one: the clock was
// days ahead. Tomorrow stays, see today.
func (t *page) correctDays(ctx context.Context) error {
	tomorrow := name(ratelimit.NextDay(t.now, t.length))
	ahead, err := t.number(ctx, `SELECT coalesce(sum(tasks), 0) FROM quota_day WHERE account = $1 AND day > $2`, t.account, tomorrow)
	if err != nil || ahead == 0 {
		return err
	}
	if err := t.exec(ctx, `DELETE FROM quota_day WHERE account = $1 AND day > $2`, t.account, tomorrow); err != nil {
		return err
	}
	if err := t.exec(ctx, `UPDATE quota_grant SET day = $1 WHERE account = $2 AND day > $3`, t.day, t.account, tomorrow); err != nil {
		return err
	}
	return t.count(ctx, t.day, ahead)
}

// expire drops the grants that no longer count.
func (t *page) expire(ctx context.Context) error {
	answered := t.now.Add(-ratelimit.Minute)
	return t.exec(ctx, `DELETE FROM quota_grant WHERE account = $1
		AND (answered_at <= $2 OR answered_at IS NULL AND taken_at <= $3)`,
		t.account, answered.UnixMilli(), answered.Add(-abandoned).UnixMilli())
}

// counted gives the grants that count in the minute's window, by their end.
func (t *page) counted(ctx context.Context) (all []ratelimit.Counted, err error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT tasks, taken_at, answered_at FROM quota_grant WHERE account = $1`, t.account)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var tasks int
		var taken int64
		var answered sql.NullInt64
		if err := rows.Scan(&tasks, &taken, &answered); err != nil {
			return nil, err
		}
		end := time.UnixMilli(taken).Add(abandoned)
		if answered.Valid {
			end = time.UnixMilli(answered.Int64)
		}
		all = append(all, ratelimit.Counted{Tasks: tasks, Until: end.Add(ratelimit.Minute)})
	}
	slices.SortFunc(all, func(a, b ratelimit.Counted) int { return a.Until.Compare(b.Until) })
	return all, rows.Err()
}

// today gives the tasks of the day. Those of tomorrow are there only where the
// clock was set back over midnight: the server may count them in either.
func (t *page) today(ctx context.Context) (int, error) {
	return t.number(ctx, `SELECT coalesce(sum(tasks), 0) FROM quota_day WHERE account = $1 AND day >= $2`, t.account, t.day)
}

func (t *page) exec(ctx context.Context, query string, args ...any) error {
	_, err := t.tx.ExecContext(ctx, query, args...)
	return err
}

func (t *page) number(ctx context.Context, query string, args ...any) (n int, err error) {
	err = t.tx.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

// name is how the book calls a day by its beginning, UTC. Names sort as their days
// do. Only days that are no calendar's need more than the date.
func name(begun time.Time) string {
	if begun.Equal(ratelimit.DayOf(begun, 0)) {
		return begun.Format(time.DateOnly)
	}
	return begun.Format("2006-01-02T15:04:05.000")
}
