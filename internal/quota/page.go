package quota

import (
	"context"
	"database/sql"
	"errors"
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

// lock changes nothing, as no grant has the number 0, but it is a write, so that
// SQLite lets no other transaction write. A server's only has it wait for those of
// the same account.
const (
	lock       = `UPDATE quota_grant SET tasks = tasks WHERE id = 0`
	lockServer = `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`
)

// page is the book within one transaction: open at the running day, with what is
// over taken out. Its first error stays in err, after which nothing more is done.
type page struct {
	ctx     context.Context
	tx      *sql.Tx
	err     error
	account string
	process int64
	length  time.Duration // of the day
	local   time.Time     // by this computer's clock, not after clock
	clock   time.Time     // by the book's
	now     time.Time     // clock in milliseconds, as everything in the book
	begun   time.Time     // the day
	day     string        // its name
}

func (t *page) exec(query string, args ...any) {
	if t.err == nil {
		_, t.err = t.tx.ExecContext(t.ctx, query, args...)
	}
}

// scan reads the only column of a query's only row.
func (t *page) scan(into any, query string, args ...any) {
	if t.err == nil {
		t.err = t.tx.QueryRowContext(t.ctx, query, args...).Scan(into)
	}
}

func (t *page) number(query string, args ...any) (n int) {
	t.scan(&n, query, args...)
	return n
}

// serverTime is the time by the clock of the database's server.
func (t *page) serverTime() (now time.Time) {
	t.scan(&now, `SELECT clock_timestamp()`)
	return now
}

// correctTimes lets what lies in the future, as the clock was set back, count as
// of now.
func (t *page) correctTimes() {
	for _, column := range []string{"taken_at", "answered_at"} {
		t.exec(`UPDATE quota_grant SET `+column+` = $1 WHERE account = $2 AND `+column+` > $1`, t.now.UnixMilli(), t.account)
	}
}

// turn begins a new day where the clock has come to one. What is under way at
// midnight counts in it too, since the server may count it there.
func (t *page) turn() {
	if t.number(`SELECT count(*) FROM quota_day WHERE account = $1 AND day = $2`, t.account, t.day) > 0 {
		return
	}
	t.exec(`UPDATE quota_grant SET day = $1 WHERE account = $2 AND day < $1 AND answered_at IS NULL AND taken_at > $3`,
		t.day, t.account, t.begun.Add(-abandoned).UnixMilli())
	t.exec(`INSERT INTO quota_day (account, day, tasks) SELECT $1, $2, coalesce(sum(tasks), 0) FROM quota_grant
		WHERE account = $1 AND day = $2 AND answered_at IS NULL`, t.account, t.day)
	t.exec(`DELETE FROM quota_day WHERE account = $1 AND day <=
		(SELECT day FROM quota_day WHERE account = $1 ORDER BY day DESC LIMIT 1 OFFSET $2)`, t.account, keepDays)
}

// correctDays counts the days that are yet to come in this one: the clock was
// days ahead. Tomorrow stays, see today.
func (t *page) correctDays() {
	tomorrow := name(ratelimit.NextDay(t.now, t.length))
	ahead := t.number(`SELECT coalesce(sum(tasks), 0) FROM quota_day WHERE account = $1 AND day > $2`, t.account, tomorrow)
	if ahead == 0 {
		return
	}
	t.exec(`DELETE FROM quota_day WHERE account = $1 AND day > $2`, t.account, tomorrow)
	t.exec(`UPDATE quota_grant SET day = $1 WHERE account = $2 AND day > $3`, t.day, t.account, tomorrow)
	t.count(t.day, ahead)
}

// expire drops the grants that no longer count.
func (t *page) expire() {
	answered := t.now.Add(-ratelimit.Minute)
	t.exec(`DELETE FROM quota_grant WHERE account = $1 AND (answered_at <= $2 OR answered_at IS NULL AND taken_at <= $3)`,
		t.account, answered.UnixMilli(), answered.Add(-abandoned).UnixMilli())
}

// settle moves the tasks of ended grants out of their leases: those that were
// used to what was answered, at the time of the last. A lease that has ended by
// itself has done so with all its tasks, and one that has fewer tasks than before
// the report was settled by it.
func (t *page) settle(news []report) {
	type answers struct {
		tasks int
		last  time.Time
	}
	answered := make(map[string]answers) // by day
	for _, r := range news {
		const open = `WHERE id = $1 AND account = $2 AND answered_at IS NULL`
		var day string
		t.scan(&day, `UPDATE quota_grant SET tasks = tasks - $3 `+open+` AND tasks = $4 RETURNING day`, r.lease.id, t.account, r.used+r.unused, r.before)
		if errors.Is(t.err, sql.ErrNoRows) {
			t.err = nil
			continue
		}
		t.exec(`DELETE FROM quota_grant `+open+` AND tasks = 0`, r.lease.id, t.account)
		if r.used > 0 {
			a := answered[day]
			a.tasks += r.used
			if r.answered.After(a.last) {
				a.last = r.answered
			}
			answered[day] = a
		}
		if r.unused > 0 {
			t.count(day, -r.unused)
		}
	}
	for day, a := range answered {
		at := t.clock.Add(-max(0, t.local.Sub(a.last))).UnixMilli()
		t.add(newID(), day, a.tasks, sql.NullInt64{Int64: at, Valid: true})
	}
}

// add puts tasks into the minute's window.
func (t *page) add(id int64, day string, tasks int, answered sql.NullInt64) {
	t.exec(`INSERT INTO quota_grant (id, account, process, day, tasks, taken_at, answered_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		id, t.account, t.process, day, tasks, t.now.UnixMilli(), answered)
}

// count adds tasks to a day.
func (t *page) count(day string, tasks int) {
	t.exec(`UPDATE quota_day SET tasks = tasks + $1 WHERE account = $2 AND day = $3`, tasks, t.account, day)
}

// counted returns the grants that count in the minute's window, by their end.
func (t *page) counted() (all []ratelimit.Counted) {
	if t.err != nil {
		return nil
	}
	_, t.err = eachRow(t.ctx, t.tx, `SELECT tasks, coalesce(answered_at, taken_at + $2) FROM quota_grant WHERE account = $1 ORDER BY 2`, 2, func(row []any) error {
		all = append(all, ratelimit.Counted{Tasks: int(row[0].(int64)), Until: time.UnixMilli(row[1].(int64)).Add(ratelimit.Minute)})
		return nil
	}, t.account, abandoned.Milliseconds())
	return all
}

// today returns the tasks of the day. Those of tomorrow are there only where the
// clock was set back over midnight: the server may count them in either.
func (t *page) today() int {
	return t.number(`SELECT coalesce(sum(tasks), 0) FROM quota_day WHERE account = $1 AND day >= $2`, t.account, t.day)
}

// name is how the book calls a day by its beginning, UTC. Names sort as their days
// do. Only days that are no calendar's need more than the date.
func name(begun time.Time) string {
	if begun.Equal(ratelimit.DayOf(begun, 0)) {
		return begun.Format(time.DateOnly)
	}
	return begun.Format("2006-01-02T15:04:05.000")
}

// eachRow calls yield for each row of a query's answer, of so many columns.
func eachRow(ctx context.Context, tx *sql.Tx, query string, columns int, yield func([]any) error, args ...any) (n int64, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values, into := make([]any, columns), make([]any, columns)
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return n, err
		}
		if err := yield(values); err != nil {
			return n, err
		}
		n++
	}
	return n, rows.Err()
}
