package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"sync"

	"poolfill/internal/postgres"
)

// store carries out changes in a database, and asks it. It is safe for concurrent use.
type store struct {
	db      *sql.DB
	dialect dialect

	// Writers that wait at the same time share one transaction, and so one
	// synchronisation of the disk.
	queue    chan *write
	ended    chan struct{}
	prepared map[string]*sql.Stmt // the statements of exec; the database closes them
	closer   sync.Once
	closed   error
}

func newStore(db *sql.DB, d dialect) *store {
	return &store{db: db, dialect: d, queue: make(chan *write), ended: make(chan struct{}), prepared: make(map[string]*sql.Stmt)}
}

// close waits for what is being written.
func (s *store) close() error {
	s.closer.Do(func() {
		close(s.queue)
		<-s.ended
		s.closed = s.db.Close()
	})
	return s.closed
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
func (s *store) serve(ctx context.Context) {
	defer close(s.ended)
	for w := range s.queue {
		batch := []*write{w}
	more:
		for len(batch) < maxTogether {
			select {
			case w, ok := <-s.queue:
				if !ok {
					break more
				}
				batch = append(batch, w)
			default:
				break more
			}
		}
		s.commit(ctx, batch)
	}
}

// commit carries out a batch in one transaction. Where that fails, each change
// has one of its own, so that only those fail that are at fault.
func (s *store) commit(ctx context.Context, batch []*write) {
	err := s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, w := range batch {
			if err := w.do(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, w := range batch {
		if err != nil && len(batch) > 1 && !s.dialect.lost(err) {
			w.done <- s.transact(ctx, w.do)
		} else {
			w.done <- err
		}
	}
}

// transact is Ledger.Transact.
func (s *store) transact(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	return s.explain(s.dialect.transact(ctx, do))
}

// patiently does f, again while the connection is lost, and explains its error.
func (s *store) patiently(ctx context.Context, f func() error) error {
	if !s.dialect.shared() {
		return s.explain(f())
	}
	return s.explain(postgres.Patiently(ctx, f))
}

// explain returns the database's errors in words for people.
func (s *store) explain(err error) error { return s.dialect.explain(err) }

// change carries out one change durably. It takes no context: what the server
// has done is to be kept whether or not the run is interrupted. busyFor bounds the
// wait for a file, and postgres.Patiently that for a server.
func (s *store) change(do func(context.Context, *sql.Tx) error) error {
	w := &write{do, make(chan error, 1)}
	s.queue <- w
	return <-w.done
}

// changeLong carries out a change that may take long. With PostgreSQL it keeps no
// other change waiting; a file has one after the other.
func (s *store) changeLong(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	if !s.dialect.shared() {
		return s.change(do)
	}
	return s.explain(s.dialect.long(ctx, do))
}

// exec carries out a statement of a change, and prepares it only once. Only
// serve may call it.
func (s *store) exec(ctx context.Context, tx *sql.Tx, statement string, args ...any) (sql.Result, error) {
	if s.dialect.shared() { // its driver does so itself
		return tx.ExecContext(ctx, statement, args...)
	}
	prepared, err := s.prepare(ctx, statement)
	if err != nil {
		return nil, err
	}
	return tx.StmtContext(ctx, prepared).ExecContext(ctx, args...)
}

// number returns the one number that a query of a change finds, like exec.
func (s *store) number(ctx context.Context, tx *sql.Tx, query string, args ...any) (n int64, err error) {
	if s.dialect.shared() {
		err = tx.QueryRowContext(ctx, query, args...).Scan(&n)
		return n, err
	}
	prepared, err := s.prepare(ctx, query)
	if err != nil {
		return 0, err
	}
	err = tx.StmtContext(ctx, prepared).QueryRowContext(ctx, args...).Scan(&n)
	return n, err
}

func (s *store) prepare(ctx context.Context, statement string) (*sql.Stmt, error) {
	if prepared, ok := s.prepared[statement]; ok {
		return prepared, nil
	}
	prepared, err := s.db.PrepareContext(ctx, statement)
	if err == nil {
		s.prepared[statement] = prepared
	}
	return prepared, err
}

// each calls yield for every row of a query's answer. A connection that is lost
// before the first is made again.
func (s *store) each(ctx context.Context, query string, args []any, yield func(scan func(...any) error) error) error {
	var begun bool
	var failed error // after that
	err := s.patiently(ctx, func() (err error) {
		rows, err := s.db.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			begun = true
			if failed = yield(rows.Scan); failed != nil {
				return nil
			}
		}
		if begun {
			failed = s.explain(rows.Err())
			return nil
		}
		return rows.Err()
	})
	return cmp.Or(failed, err)
}
