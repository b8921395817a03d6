// Package quota keeps an account's use of tasks in a database, so that it
// outlives the process and all processes of a machine share it: it is the
// ratelimit.Book over database/sql.
//
// What goes in: the grants that gates ask for, and their ends. What comes out:
// whether there is room, decided by ratelimit.Wait within one transaction that
// has the database for itself. The bound: one row for each grant that is under
// way or was answered in the last minute, and one for each of the last 40 days.
//
// Times are those of the wall clock, as no other is shared by processes and
// outlives them. Where it is set back, what lies in the future counts as of now,
// so nobody waits longer than the rules say and no quota becomes free; where it
// is set ahead, grants end early in the book, but not in the count that every
// gate keeps of its own.
//
// The SQL is plain, and the database must let one transaction write at a time.
// Each begins with a write, so that it waits for its turn at the beginning: with
// SQLite set busy_timeout, and best _txlock=immediate too.
package quota

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"poolfill/ratelimit"
)

const (
	// abandoned is when a grant without an end counts as answered: its process
	// has died, or its computer slept. It is well above the time that one request
	// takes, whose own limit is two minutes unless the user sets another.
	abandoned = 10 * time.Minute
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

// lock changes nothing, as no grant has the number 0, but it is a write.
const lock = `UPDATE quota_grant SET tasks = tasks WHERE id = 0`

// Book is a ratelimit.Book over a database. It is safe for concurrent use.
type Book struct {
	db      *sql.DB
	account string
	process int64 // any number that no other process has
	sharers atomic.Int64
	now     func() time.Time
}

var _ ratelimit.Book = (*Book)(nil)

// New returns the book of an account, which any name tells from others (never a
// token, as it is stored), and makes the tables where they are missing. The
// caller closes db, after the last grant has ended.
func New(ctx context.Context, db *sql.DB, account string) (*Book, error) {
	for _, table := range schema {
		if _, err := db.ExecContext(ctx, table); err != nil {
			return nil, fmt.Errorf("making the tables of the quota: %w", err)
		}
	}
	b := &Book{db: db, account: account, process: rand.Int64(), now: time.Now}
	b.sharers.Store(1)
	return b, nil
}

// Take asks for room for so many tasks, as ratelimit.Book says. It fails with a
// *ratelimit.TooManyTasksError where they can never pass.
func (b *Book) Take(ctx context.Context, tasks int, limits ratelimit.Limits) (id int64, wait time.Duration, reason ratelimit.Reason, err error) {
	if tasks < 0 {
		return 0, 0, "", fmt.Errorf("the number of tasks is negative: %d", tasks)
	}
	if err := limits.Check(tasks); err != nil {
		return 0, 0, "", err
	}
	err = b.transact(ctx, func(t *page) error {
		others, err := t.number(ctx, `SELECT count(DISTINCT process) FROM quota_grant WHERE account = $1 AND process <> $2`, b.account, b.process)
		if err != nil {
			return err
		}
		b.sharers.Store(int64(others) + 1)
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
		// A number that is never given twice: the end of a grant may come when
		// its row is long gone.
		id = 1 + rand.Int64N(math.MaxInt64)
		if err := t.exec(ctx, `INSERT INTO quota_grant (id, account, process, day, tasks, taken_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			id, b.account, b.process, t.day, tasks, t.now.UnixMilli()); err != nil {
			return err
		}
		return t.exec(ctx, `UPDATE quota_day SET tasks = tasks + $1 WHERE account = $2 AND day = $3`, tasks, b.account, t.day)
	})
	if err != nil {
		return 0, 0, "", fmt.Errorf("taking from the quota: %w", err)
	}
	return id, wait, reason, nil
}

// Sharers gives how many processes have taken from the book within the last
// minute, as ratelimit.Book says.
func (b *Book) Sharers() int { return int(b.sharers.Load()) }

// Settle ends a grant, as ratelimit.Book says. One that was taken so long ago
// that it has ended by itself stays as it is; its tasks count.
func (b *Book) Settle(ctx context.Context, id int64, used bool) error {
	err := b.transact(ctx, func(t *page) error {
		const open = `WHERE id = $1 AND account = $2 AND answered_at IS NULL`
		if used {
			return t.exec(ctx, `UPDATE quota_grant SET answered_at = $3 `+open, id, b.account, t.now.UnixMilli())
		}
		var tasks int
		var day string
		err := t.tx.QueryRowContext(ctx, `SELECT tasks, day FROM quota_grant `+open, id, b.account).Scan(&tasks, &day)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := t.exec(ctx, `DELETE FROM quota_grant `+open, id, b.account); err != nil {
			return err
		}
		return t.exec(ctx, `UPDATE quota_day SET tasks = tasks - $1 WHERE account = $2 AND day = $3`, tasks, b.account, day)
	})
	if err != nil {
		return fmt.Errorf("noting the end of a grant in the quota: %w", err)
	}
	return nil
}

// Today gives the tasks of the running day, UTC, those under way included.
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

// page is the book within one transaction: open at the running day, with what is
// over taken out.
type page struct {
	tx      *sql.Tx
	account string
	now     time.Time // in milliseconds, as everything in the book
	day     string
}

// transact runs f on the page of now.
func (b *Book) transact(ctx context.Context, f func(*page) error) (err error) {
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, rollback(tx))
		}
	}()
	t := &page{tx: tx, account: b.account}
	// The first statement waits for all other writers. Only then is the time
	// taken, so that times are in the order of the transactions.
	if err := t.exec(ctx, lock); err != nil {
		return err
	}
	t.now = b.now().UTC().Truncate(time.Millisecond)
	t.day = name(t.now)
	for _, step := range []func(context.Context) error{t.correctTimes, t.turn, t.correctDays, t.expire} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := f(t); err != nil {
		return err
	}
	return tx.Commit()
}

// rollback gives no error where the transaction is over already, as it is when
// its context ends.
func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
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
	midnight := t.now.Truncate(24 * time.Hour)
	if err := t.exec(ctx, `UPDATE quota_grant SET day = $1
		WHERE account = $2 AND day < $1 AND answered_at IS NULL AND taken_at > $3`,
		t.day, t.account, midnight.Add(-abandoned).UnixMilli()); err != nil {
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
	tomorrow := name(t.now.AddDate(0, 0, 1))
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
	return t.exec(ctx, `UPDATE quota_day SET tasks = tasks + $1 WHERE account = $2 AND day = $3`, ahead, t.account, t.day)
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

// name is how the book calls a day, UTC. Names sort as their days do.
func name(t time.Time) string { return t.UTC().Format(time.DateOnly) }
