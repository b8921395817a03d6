package ledger

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// pageSize is that of a file: a chunk is some ten pages, not many small ones, and its
// changes to tables and indexes are still cheap.
const pageSize = 8192

// applicationID marks a SQLite file as a ledger ("pfil").
const applicationID = 0x7066696c

func open(ctx context.Context, path string, busy time.Duration) (*Ledger, error) {
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, unusable(filepath.Dir(path), err)
	}
	if err != nil {
		// SQLite would make it readable for everybody.
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, unusable(filepath.Dir(path), err)
		}
		if err := f.Close(); err != nil {
			return nil, unusable(filepath.Dir(path), err)
		}
	}
	if err := notForeign(path); err != nil {
		return nil, err
	}
	if err := logDamage(path); err != nil {
		return nil, err
	}
	// The driver sets the journal mode last. That makes the file, with its page size.
	q := url.Values{"_txlock": {"immediate"}, "_journal_mode": {"WAL"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()),
		fmt.Sprintf("page_size(%d)", pageSize), "wal_autocheckpoint(500)", "synchronous(FULL)", "foreign_keys(ON)", "cache_size(-1024)",
	}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, unusable(filepath.Dir(path), err)
	}
	d := &lite{db: db, where: path, busy: busy}
	if err := d.connect(ctx); err != nil {
		return nil, errors.Join(d.explain(err), db.Close())
	}
	if info != nil && info.Size() <= checkUpTo {
		if err := d.check(ctx, "quick_check"); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return serve(ctx, db, d)
}

// notForeign refuses the database of another program by its header, before
// SQLite is told to keep it in write-ahead mode, which changes it.
func notForeign(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return unusable(filepath.Dir(path), err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	const magic, versionAt, applicationAt = "SQLite format 3\x00", 60, 68
	header := make([]byte, 100)
	if _, err := io.ReadFull(f, header); err != nil || string(header[:len(magic)]) != magic {
		return nil // it is empty, or SQLite says what is wrong with it
	}
	if foreign(int(binary.BigEndian.Uint32(header[applicationAt:])), int(binary.BigEndian.Uint32(header[versionAt:]))) {
		return &DamagedError{path, errForeign}
	}
	return nil
}

// lite is a ledger in a file of SQLite.
type lite struct {
	db    *sql.DB
	where string
	busy  time.Duration // how long a transaction waits for another process's
}

// connect makes the first connection. It sets the mode of a file that is new, for which
// SQLite doesn't wait for others who do the same, as it does elsewhere: so it is tried
// again for that time.
func (l *lite) connect(ctx context.Context) error {
	over := time.NewTimer(l.busy)
	defer over.Stop()
	again := time.NewTicker(connectEvery)
	defer again.Stop()
	for {
		err := l.db.PingContext(ctx)
		if err == nil || !isBusy(err) {
			return err
		}
		select {
		case <-again.C:
		case <-over.C:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// connectEvery is how often the first connection is tried. Others need the file for
// less than that.
const connectEvery = 5 * time.Millisecond

// isBusy reports whether a file is locked by another connection.
func isBusy(err error) bool {
	var failed *sqlite.Error
	return errors.As(err, &failed) && failed.Code()&0xff == sqlite3.SQLITE_BUSY
}

func (l *lite) path() string              { return l.where }
func (*lite) shared() bool                { return false }
func (*lite) lost(error) bool             { return false }
func (*lite) text(s string) string        { return s }
func (*lite) translate(sql string) string { return sql }
func (*lite) forUpdate() string           { return "" } // a transaction has the database for itself

// oneMoment is what every transaction does here.
func (*lite) oneMoment() sql.IsolationLevel { return sql.LevelDefault }

func (l *lite) long(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	return l.transact(ctx, do)
}

func (l *lite) try(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	return l.transact(ctx, do)
}

func (l *lite) transact(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(ctx, tx); err != nil {
		return errors.Join(err, rollback(tx))
	}
	return tx.Commit()
}

// rollback returns no error where the transaction is over already, as it is when
// its context ends.
func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// lock has nothing to do: each transaction has the file for itself.
func (*lite) lock(context.Context, *sql.Tx) error { return nil }

func (l *lite) inspect(ctx context.Context) error { return l.check(ctx, "integrity_check") }

// check reads the whole file for damage, in one of SQLite's two ways.
func (l *lite) check(ctx context.Context, way string) error {
	var verdict string
	if err := l.db.QueryRowContext(ctx, "PRAGMA "+way+"(1)").Scan(&verdict); err != nil {
		return l.explain(err)
	}
	if verdict != "ok" {
		return &DamagedError{l.where, errors.New(verdict)}
	}
	return nil
}

func (l *lite) version(ctx context.Context, q querier) (int, error) {
	var version, application int
	if err := q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, err
	}
	if err := q.QueryRowContext(ctx, "PRAGMA application_id").Scan(&application); err != nil {
		return 0, err
	}
	switch {
	case foreign(application, version):
		return 0, &DamagedError{l.where, errForeign}
	case version > len(migrations):
		return 0, &NewerError{l.where, version, len(migrations), false}
	}
	return version, nil
}

func (*lite) setVersion(ctx context.Context, tx *sql.Tx, version int) error {
	_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d", applicationID, version))
	return err
}

var errForeign = errors.New("it is a database of another program")

// foreign reports whether the marks of a database are another program's. An
// empty one has none.
func foreign(application, version int) bool {
	return application != applicationID && (application != 0 || version != 0)
}

func (*lite) hold(context.Context, string) (holder, bool, error) { return alone{}, true, nil }

// alone is a holder without others.
type alone struct{}

func (alone) Keep(context.Context) (bool, error) { return true, nil }
func (alone) Release() error                     { return nil }

func (l *lite) tidy(ctx context.Context) error {
	// Both work outside of transactions only.
	for _, command := range []string{"VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if _, err := l.db.ExecContext(ctx, command); err != nil {
			return l.explain(err)
		}
	}
	return nil
}

func (l *lite) explain(err error) error {
	var (
		failed *sqlite.Error
		disk   *DiskError
	)
	if !errors.As(err, &failed) || errors.As(err, &disk) {
		return err
	}
	switch failed.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return &DamagedError{l.where, err}
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return &BusyError{l.where, l.busy, err}
	case sqlite3.SQLITE_FULL:
		return &DiskError{l.where, true, err}
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return unusable(filepath.Dir(l.where), err)
	case sqlite3.SQLITE_IOERR:
		return &DiskError{l.where, false, err}
	case sqlite3.SQLITE_ERROR:
		if strings.Contains(failed.Error(), "no such ") { // table or column: the schema is damaged
			return &DamagedError{l.where, err}
		}
	}
	return fmt.Errorf("the ledger %s: %w", l.where, err)
}
