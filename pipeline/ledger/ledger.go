// Package ledger keeps, durably, what happened: runs, their files, the chunks
// that were sent, what became of each row, and which operations are in doubt.
//
// What goes in: a run, and before each request what it is about to send; after
// it what came of it, in one transaction a chunk. What comes out: the same,
// after any crash: whether a run can be continued, which chunks are finished,
// which rows were created from a file before, and every row of a report.
//
// It is one SQLite file in write-ahead mode with full synchronisation, or, for
// many machines, a database of PostgreSQL: what a call has returned from survives
// a power cut. All that decides about sending has checksums, and what is read is what
// was written, or a *DamagedError. All statements are the same for both. A connection to PostgreSQL
// that is lost is made again, and what was not known to be kept is kept again,
// for two minutes. A row takes 20 to 31 bytes: 16 of its key, and what its
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
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"poolfill/internal/postgres"
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
	// Shared says that it is in a database, which many machines can share.
	Shared bool
}

func (e *NewerError) Error() string {
	other := "folder"
	if e.Shared {
		other = "database"
	}
	return fmt.Sprintf("the ledger %s was written by a newer poolfill (its format is %d, this one knows up to %d): use that version, or take another %s",
		e.Path, e.Version, e.Known, other)
}

// OlderError is a ledger of a version that told rows apart in another way, or kept no
// checksums, and has runs: by it, rows that were uploaded would look new.
type OlderError struct {
	Path    string
	Version int
}

func (e *OlderError) Error() string {
	return fmt.Sprintf("the ledger %s was written by a poolfill from before the first release (its format is %d), which told rows apart in another way or kept no checksums, "+
		"so that rows of its runs could be uploaded twice: finish them with that version, then begin with another ledger, guarded by the pool",
		e.Path, e.Version)
}

// DamagedError is a ledger that can't be read any more, or that says something else than
// what was written. Nothing is sent by it, and it is left as it is.
type DamagedError struct {
	Path string
	// Err says what of it is damaged.
	Err error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the ledger %s is damaged (%v). It was left as it is, and nothing is sent by it. See what else is damaged with 'poolfill runs check'; "+
		"then restore it from a backup from after its last run, or begin with another ledger, guarded by the pool, which finds what the pool has already", e.Path, e.Err)
}

// Unwrap returns the cause.
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

// Unwrap returns the cause.
func (e *BusyError) Unwrap() error { return e.Err }

// DiskError is a ledger in a file whose disk is full or fails. To wait doesn't
// help.
type DiskError struct {
	Path string
	Full bool
	Err  error
}

func (e *DiskError) Error() string {
	if e.Full {
		return fmt.Sprintf("the disk is full: the ledger %s can't be written. Make space and run the same command again (%v)", e.Path, e.Err)
	}
	return fmt.Sprintf("the ledger %s can't be written or read: check the disk, and run the same command again (%v)", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *DiskError) Unwrap() error { return e.Err }

// Ledger is an open ledger. It is safe for concurrent use, and several processes can
// have the same one open.
//
// Programs open and close it, look at its runs, by Runs, Find and Called, Prune or copy
// them, Check them, and HoldPool. How runs are written and continued, from Begin on, is
// package pipeline's, and may change: what an attempt at a run sends, and what comes of
// it, is kept by its Entry; Tasks, Strays and Doubts say what earlier ones have left.
type Ledger struct {
	store *store
	pools sync.Map // from poolKey to holder: those that are held
}

// AddressError is a URL of a database that can't be read. It doesn't show it, as
// it may have a password at any place.
type AddressError struct{ Err error }

func (e *AddressError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *AddressError) Unwrap() error { return e.Err }

// Open opens the ledger at a place, and makes what is absent of it: a folder, which
// is the command line program's --state-dir, or for many machines the URL of a
// PostgreSQL database, see OpenURL. The caller closes it, after the runs that use it.
//
// The error is a *NewerError, *OlderError, *DamagedError, *BusyError or *DiskError, or
// one of OpenURL, where it is one of those; anything else says that the place can't
// be used.
func Open(ctx context.Context, place string) (*Ledger, error) {
	if postgres.IsURL(place) {
		return OpenURL(ctx, place)
	}
	return openFolder(ctx, place)
}

func openFolder(ctx context.Context, dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable(dir, err)
	}
	return open(ctx, filepath.Join(dir, FileName), busyFor)
}

// OpenURL opens the ledger in a database of PostgreSQL, and makes its tables
// where they are absent. address is as in postgres://user@host:5432/database. A
// password is taken from it, PGPASSWORD or ~/.pgpass.
//
// The error is an *AddressError, *NewerError, *OlderError or *DamagedError
// where it is one of those; anything else says that the database can't be used. None has the
// password.
func OpenURL(ctx context.Context, address string) (*Ledger, error) {
	db, err := postgres.Open(address)
	if err != nil {
		return nil, &AddressError{err}
	}
	return serve(ctx, db.DB, &server{db})
}

// serve makes a ledger of an open database, which it closes where it fails.
func serve(ctx context.Context, db *sql.DB, d dialect) (*Ledger, error) {
	codec, err := newCodec()
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l := &Ledger{store: newStore(db, d, codec)}
	if err := l.store.migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	go l.store.serve(context.WithoutCancel(ctx))
	return l, nil
}

// PoolTakenError says that the connection that held a pool was lost, and that
// another machine has got the pool meanwhile.
type PoolTakenError struct{ Pool string }

func (e *PoolTakenError) Error() string {
	return fmt.Sprintf("while the connection to the database was lost, another machine has begun to upload to pool %s: "+
		"this run has stopped. Wait until that one has ended, see 'poolfill runs', and run the same command again", e.Pool)
}

// HoldPool keeps other machines from a pool until release. Where another has it,
// held is false. It lasts as long as the connection to the database; Sending takes
// it again where that was lost, and fails with a *PoolTakenError where another has
// it then. With a file there are no other machines: see state.LockPool.
func (l *Ledger) HoldPool(ctx context.Context, server, pool string) (release func() error, held bool, err error) {
	h, held, err := l.store.dialect.hold(ctx, "poolfill pool "+server+" "+pool)
	if err != nil || !held {
		return nil, false, err
	}
	key := poolKey{server, pool}
	l.pools.Store(key, h)
	return func() error {
		l.pools.Delete(key)
		return h.Release()
	}, true, nil
}

// poolKey names a pool.
type poolKey struct{ server, pool string }

// keepPool sees to it that the pool of a run is still held, where it was.
func (l *Ledger) keepPool(ctx context.Context, run Run) error {
	h, holding := l.pools.Load(poolKey{run.Server, run.Pool})
	if !holding {
		return nil
	}
	held, err := h.(holder).Keep(ctx)
	if err == nil && !held {
		err = &PoolTakenError{run.Pool}
	}
	return err
}

// DB is the database itself, for the tables that other packages keep in it.
func (l *Ledger) DB() *sql.DB { return l.store.db }

// Shared reports whether the database is PostgreSQL, which many machines can
// share, and not a file.
func (l *Ledger) Shared() bool { return l.store.dialect.shared() }

// Path is where the ledger is: a file, or the address of a database without user
// and password.
func (l *Ledger) Path() string { return l.store.dialect.path() }

// Close ends the ledger. It waits for what is being written.
func (l *Ledger) Close() error { return l.store.close() }

// Transact does something in a transaction. Where the connection is lost it is
// done again, unless it was committed after all: do must bear that.
func (l *Ledger) Transact(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	return l.store.transact(ctx, do)
}

// Text returns a text as the database can keep it: an error's words need not be one.
func (l *Ledger) Text(s string) string { return l.store.dialect.text(s) }

// Explain returns an error of DB in words for people. With a file it is a *DiskError
// where the disk is full or fails.
func (l *Ledger) Explain(err error) error { return l.store.explain(err) }

func unusable(dir string, err error) error {
	return fmt.Errorf("the folder for the state, %s, can't be used: take another folder (%w)", dir, err)
}
