// Package ledger keeps, durably, what happened: runs, their files, the chunks
// that were sent, what became of each row, and which operations are in doubt.
//
// What goes in: a run, and before each request what it is about to send; after
// it what came of it, in one transaction a chunk. What comes out: the same,
// after any crash: whether a run can be continued, which chunks are finished,
// which rows were created from a file before, and every row of a report.
//
// It is one SQLite file in write-ahead mode with full synchronisation: what a
// call has returned from survives a power cut. The schema uses no more than
// PostgreSQL has too. A row takes 19 to 29 bytes: 16 of its key, and what its
// task's id has that the others of its chunk don't. Its position and status are
// nearly free, as they mostly follow from those of the row before.
//
// Memory: a cache of 1 MiB for each connection; some 50 bytes a row of the chunk
// for each call that keeps one; and when reading the rows of one
// chunk, 120 bytes and the id each. Rows holds those of the chunks that overlap.
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
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// FileName is the name of the ledger in the folder for the state.
const FileName = "ledger.db"

const (
	// busyFor is how long a transaction waits for another process's.
	busyFor = 10 * time.Second
	// checkUpTo bounds the size up to which a ledger is checked whole when it is
	// opened, since that reads all of it, a MiB in a millisecond. Damage elsewhere
	// shows when it is met.
	checkUpTo = 4 << 20
)

// NewerError is a ledger of a later version of the program.
type NewerError struct {
	Path           string
	Version, Known int
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("the ledger %s was written by a newer poolfill (its format is %d, this one knows up to %d): use that version, or another --state-dir",
		e.Path, e.Version, e.Known)
}

// DamagedError is a ledger that can't be read any more. It is left as it is.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the ledger %s is damaged (%v). It was left as it is: restore it from a backup, or move it away and run the same command again; "+
		"in asynchronous mode the server then still takes each unfinished chunk only once, and --dedupe=pool finds what the pool has already", e.Path, e.Err)
}

// Unwrap gives the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// BusyError is a ledger that another program keeps locked.
type BusyError struct {
	Path string
	// For is how long it was waited for.
	For time.Duration
	Err error
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("the ledger %s was locked by another program for %v: end that program, and run the same command again", e.Path, e.For)
}

// Unwrap gives the cause.
func (e *BusyError) Unwrap() error { return e.Err }

// Ledger is an open ledger. It is safe for concurrent use, and several
// processes can have the same one open.
type Ledger struct {
	db    *sql.DB
	path  string
	busy  time.Duration // how long a transaction waits for another process's
	codec *codec

	// Writers that wait at the same time share one transaction, and so one
	// synchronisation of the disk.
	queue    chan *write
	ended    chan struct{}
	prepared map[string]*sql.Stmt // the statements of exec; the database closes them
	closer   sync.Once
	closed   error
}

// Open opens the ledger in the folder dir, and makes both where they are absent.
//
// The error is a *NewerError, *DamagedError or *BusyError where it is one of
// those; anything else says that the folder can't be used.
func Open(ctx context.Context, dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable(dir, err)
	}
	return open(ctx, filepath.Join(dir, FileName), busyFor)
}

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
	// The driver sets the journal mode last. That makes the file, with its page
	// size: a chunk is some ten pages, not many small ones, and its changes to
	// tables and indexes are still cheap.
	q := url.Values{"_txlock": {"immediate"}, "_journal_mode": {"WAL"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()),
		"page_size(8192)", "wal_autocheckpoint(500)", "synchronous(FULL)", "foreign_keys(ON)", "cache_size(-1024)",
	}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, unusable(filepath.Dir(path), err)
	}
	codec, err := newCodec()
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l := &Ledger{
		codec: codec, db: db, path: path, busy: busy,
		queue: make(chan *write), ended: make(chan struct{}), prepared: make(map[string]*sql.Stmt),
	}
	if err := l.prepare(ctx, info != nil && info.Size() <= checkUpTo); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	go l.serve(context.WithoutCancel(ctx))
	return l, nil
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

// prepare checks the ledger and brings its schema up to date.
func (l *Ledger) prepare(ctx context.Context, check bool) error {
	if check {
		var verdict string
		if err := l.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
			return l.explain(err)
		}
		if verdict != "ok" {
			return &DamagedError{l.path, errors.New(verdict)}
		}
	}
	return l.migrate(ctx)
}

// DB is the database itself, for the tables that other packages keep in it.
func (l *Ledger) DB() *sql.DB { return l.db }

// Path is where the ledger is.
func (l *Ledger) Path() string { return l.path }

// Close ends the ledger. It waits for what is being written.
func (l *Ledger) Close() error {
	l.closer.Do(func() {
		close(l.queue)
		<-l.ended
		l.closed = l.db.Close()
	})
	return l.closed
}

// write is one change that waits for its transaction.
type write struct {
	do   func(context.Context, *sql.Tx) error
	done chan error
}

// maxTogether bounds the changes in one transaction.
const maxTogether = 64

// serve carries out changes until Close. Its context never ends: a change that
// was begun is finished.
func (l *Ledger) serve(ctx context.Context) {
	defer close(l.ended)
	for w := range l.queue {
		batch := []*write{w}
	more:
		for len(batch) < maxTogether {
			select {
			case w, ok := <-l.queue:
				if !ok {
					break more
				}
				batch = append(batch, w)
			default:
				break more
			}
		}
		l.commit(ctx, batch)
	}
}

// commit carries out a batch in one transaction. Where that fails, each change
// has one of its own, so that only those fail that are at fault.
func (l *Ledger) commit(ctx context.Context, batch []*write) {
	err := l.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, w := range batch {
			if err := w.do(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, w := range batch {
		if err != nil && len(batch) > 1 {
			w.done <- l.transact(ctx, w.do)
		} else {
			w.done <- err
		}
	}
}

func (l *Ledger) transact(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return l.explain(err)
	}
	if err := do(ctx, tx); err != nil {
		return l.explain(errors.Join(err, tx.Rollback()))
	}
	return l.explain(tx.Commit())
}

// change carries out one change durably. It takes no context: what the server
// has done is to be kept whether or not the run is interrupted, and busyFor
// bounds the wait.
func (l *Ledger) change(do func(context.Context, *sql.Tx) error) error {
	w := &write{do, make(chan error, 1)}
	l.queue <- w
	return <-w.done
}

// exec carries out a statement of a change, and prepares it only once. Only
// serve may call it.
func (l *Ledger) exec(ctx context.Context, tx *sql.Tx, statement string, args ...any) (sql.Result, error) {
	prepared, ok := l.prepared[statement]
	if !ok {
		var err error
		if prepared, err = l.db.PrepareContext(ctx, statement); err != nil {
			return nil, err
		}
		l.prepared[statement] = prepared
	}
	return tx.StmtContext(ctx, prepared).ExecContext(ctx, args...)
}

// explain gives SQLite's errors words for people.
func (l *Ledger) explain(err error) error {
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return err
	}
	switch lite.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return &DamagedError{l.path, err}
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return &BusyError{l.path, l.busy, err}
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("the disk is full: the ledger %s can't be written. Make space and run the same command again (%w)", l.path, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return unusable(filepath.Dir(l.path), err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("the ledger %s can't be written or read: check the disk, and run the same command again (%w)", l.path, err)
	}
	return fmt.Errorf("the ledger %s: %w", l.path, err)
}

func unusable(dir string, err error) error {
	return fmt.Errorf("the folder for the state, %s, can't be used: name another with --state-dir (%w)", dir, err)
}
