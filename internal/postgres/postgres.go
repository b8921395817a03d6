// Package postgres opens a PostgreSQL database for database/sql, and bears with
// it: what goes in is its URL and work to be done in it; what comes out is a pool
// of connections, work that was tried again after a lost connection, and errors
// in words for people, which never have a password.
//
// The bound: 8 connections for each database that is open.
package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"poolfill/internal/backoff"
)

const (
	// maxConnections is little, since many machines share a server, which has 100
	// unless it is told otherwise.
	maxConnections = 8
	idleFor        = time.Minute
	connectFor     = 10 * time.Second
	// patience bounds for how long lost work is tried again: a server that is
	// restarted or replaced by another is back within it.
	patience = 2 * time.Minute
	// tryFor bounds a transaction of everyday, so that a server that has stopped to
	// work, though its connection stands, is noticed.
	tryFor = time.Minute
	// A try waits so long after the first failure, and up to twice as long after
	// each further one.
	firstWait, lastWait = 50 * time.Millisecond, 4 * time.Second
)

// IsURL reports whether an address is one for Open.
func IsURL(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// parse reads a URL, unless a part of a password may stand where a place is
// expected: what is special in it cuts the URL in two before its @.
func parse(address string) (u *url.URL, ok bool) {
	u, err := url.Parse(address)
	return u, err == nil && IsURL(address) && !strings.Contains(u.EscapedPath()+u.RawQuery+u.EscapedFragment(), "@")
}

// AddressError is an address that can't be read. It doesn't show it, as it may
// have a password at any place.
type AddressError struct{}

func (*AddressError) Error() string {
	return "the address of the database can't be read: it is like postgres://user@host:5432/database, with what is special in a password written as %40"
}

// Database is an open database. It is safe for concurrent use.
type Database struct {
	*sql.DB
	// Where is its address without user and password.
	Where string

	limit time.Duration // tryFor, but for tests

	mu       sync.Mutex
	prepared bool    // there is a table of marks
	marks    []int64 // of transactions that have ended
}

// Open opens the database with a URL, and connects to nothing yet. A password is
// taken from the URL, PGPASSWORD or ~/.pgpass. The error is an *AddressError.
func Open(address string) (*Database, error) {
	if _, ok := parse(address); !ok {
		return nil, &AddressError{}
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, &AddressError{}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectFor
	}
	// A server that is gone without a word is noticed.
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4}}
	config.DialFunc = dialer.DialContext
	for name, value := range map[string]string{
		"application_name": "poolfill",
		// Who waits for a lock sees what was committed meanwhile.
		"default_transaction_isolation": "read committed",
		// A machine that falls silent in a transaction holds no lock for longer.
		"idle_in_transaction_session_timeout": strconv.FormatInt(tryFor.Milliseconds(), 10),
	} {
		if _, set := config.RuntimeParams[name]; !set {
			config.RuntimeParams[name] = value
		}
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	db.SetConnMaxIdleTime(idleFor)
	return &Database{DB: db, limit: tryFor, Where: "postgres://" + net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database}, nil
}

// Lost reports whether an error is one of the connection or of the server's
// state, and not of what was asked: the same may succeed a little later. Whether
// it was carried out isn't known.
func Lost(err error) bool {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		switch server.Code {
		case "57P01", "57P02", "57P03", // the server is shut down, has crashed, is starting
			"53300",          // too many connections
			"25P03",          // a transaction that stood still for too long was ended
			"40001", "40P01": // transactions that were in each other's way
			return true
		}
		return strings.HasPrefix(server.Code, "08")
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Patiently does f, and does it again while the connection is lost, for two
// minutes at the most. f may have been carried out before it is done again.
func Patiently(ctx context.Context, f func() error) error {
	begun := time.Now()
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		err := f()
		if err == nil || !Lost(err) || ctx.Err() != nil || time.Since(begun) > patience {
			return err
		}
		if backoff.Sleep(ctx, wait/2+rand.N(wait)) != nil {
			return err
		}
	}
}

// Public returns an address without any password, so that it can be shown and kept.
func Public(address string) string {
	u, ok := parse(address)
	if !ok || u.Host == "" {
		return "postgres://" // the password could be anywhere
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	query := u.Query()
	for key := range query {
		if strings.Contains(strings.ToLower(key), "password") {
			query.Del(key)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// Shared is true, see ledger.Ledger.Shared.
func (*Database) Shared() bool { return true }

// Transact does something in a transaction. Where the connection is lost it does
// it again as Patiently does, in a new one, but not where the first was committed
// after all.
//
// Each sets a mark in a table of its own, first thing, which the next one takes
// away. That of one that is done again waits there for what became of the first.
// The number of a transaction would not do: a server that crashed uses those
// again that it had not kept.
//
// A try takes a minute at the most, see TransactLong.
func (d *Database) Transact(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	return d.transact(ctx, d.try, do)
}

// TransactLong is Transact for what may take long, such as to delete millions of
// rows: only ctx bounds its tries.
func (d *Database) TransactLong(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	return d.transact(ctx, d.Try, do)
}

func (d *Database) transact(ctx context.Context, try func(context.Context, func(context.Context, *sql.Tx) error) error, do func(context.Context, *sql.Tx) error) error {
	if err := Patiently(ctx, func() error { return d.prepare(ctx) }); err != nil {
		return err
	}
	mark := rand.Int64()
	old := d.takeMarks()
	err := Patiently(ctx, func() error {
		var again bool // it was committed
		err := try(ctx, func(ctx context.Context, tx *sql.Tx) error {
			result, err := tx.ExecContext(ctx, `WITH gone AS (DELETE FROM poolfill_commit WHERE mark = ANY ($2))
				INSERT INTO poolfill_commit (mark) VALUES ($1) ON CONFLICT DO NOTHING`, mark, old)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil || n == 0 {
				again = err == nil
				return err
			}
			return do(ctx, tx)
		})
		if again {
			return nil
		}
		return err
	})
	if err == nil {
		old = []int64{mark}
	}
	d.keepMarks(old)
	return err
}

// try is Try within the limit.
func (d *Database) try(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	return d.Try(ctx, do)
}

// Try does something in one transaction, which it doesn't do again. Only ctx
// bounds how long it takes.
func (d *Database) Try(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(ctx, tx); err != nil {
		return errors.Join(err, rollback(tx))
	}
	return tx.Commit()
}

// prepare makes the table of the marks, and takes those away that dead processes
// have left.
func (d *Database) prepare(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.prepared {
		return nil
	}
	err := d.try(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// Two can't make one table at once.
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('poolfill_commit', 0))`); err != nil {
			return err
		}
		known, err := Has(ctx, tx, "poolfill_commit")
		if err != nil {
			return err
		}
		if !known {
			if _, err := tx.ExecContext(ctx, `CREATE TABLE poolfill_commit (mark BIGINT PRIMARY KEY, at TIMESTAMPTZ NOT NULL DEFAULT now())`); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM poolfill_commit WHERE at < now() - INTERVAL '1 day'`)
		return err
	})
	d.prepared = err == nil
	return err
}

// Has reports whether there are all these tables and indexes. To make what is there,
// even with IF NOT EXISTS, takes rights that its user need not have.
func Has(ctx context.Context, tx *sql.Tx, names ...string) (bool, error) {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT count(DISTINCT relname) FROM pg_catalog.pg_class WHERE relname = ANY ($1) AND pg_table_is_visible(oid)`, names).Scan(&n)
	return n == len(names), err
}

// takeMarks returns the marks that nobody asks for any more.
func (d *Database) takeMarks() []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	marks := d.marks
	d.marks = nil
	return marks
}

func (d *Database) keepMarks(marks []int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.marks = append(d.marks, marks...)
}

// rollback returns no error where the transaction is over already, as it is when
// its connection was lost or its context has ended.
func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) && !errors.Is(err, driver.ErrBadConn) && !Lost(err) {
		return err
	}
	return nil
}

// Explain returns an error of a database in words for people.
func Explain(where string, err error) error {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		if Lost(err) {
			return fmt.Errorf("the database %s can't be reached: see that it runs, and run the same command again (%w)", where, err)
		}
		return err
	}
	text := "the database %s: %w"
	switch server.Code {
	case "28P01", "28000":
		text = "the database %s doesn't let this user in: check user and password (%w)"
	case "3D000":
		text = "there is no such database: %s. Make it with createdb (%w)"
	case "42501":
		text = "the user may not do this in the database %s: it needs a schema in which it may make tables (%w)"
	case "25006":
		text = "the database %s can only be read: name the primary server (%w)"
	case "53100":
		text = "the disk of the database %s is full: make space and run the same command again (%w)"
	case "53300":
		text = "the database %s has as many connections as it allows: raise max_connections, or let fewer machines work (%w)"
	default:
		if Lost(err) {
			text = "the database %s can't be used just now: run the same command again in a while (%w)"
		}
	}
	return fmt.Errorf(text, where, err)
}
