package ledger

import (
	"context"
	"database/sql"
	"sync"

	"poolfill/internal/postgres"
)

// store carries out changes in a database, and asks it. It is safe for concurrent use.
type store struct {
	verifier verifier
	db       *sql.DB
	dialect  dialect

	// Writers that wait at the same time share one transaction, and so one
	// synchronisation of the disk.
	queue    chan *write
	ended    chan struct{}
	prepared map[string]*sql.Stmt // the statements of preparing; the database closes them
	closer   sync.Once
	closed   error
}

func newStore(db *sql.DB, d dialect, c *codec) *store {
	return &store{verifier: verifier{d, c}, db: db, dialect: d, queue: make(chan *write), ended: make(chan struct{}), prepared: make(map[string]*sql.Stmt)}
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

// amend carries out a change of a run. The error is sql.ErrNoRows where there is no
// such run.
func (s *store) amend(run int64, do func(context.Context, *change) error) error {
	return s.change(func(ctx context.Context, tx *sql.Tx) error {
		c, err := s.verifier.open(ctx, preparing{s, tx}, run)
		if err != nil {
			return err
		}
		if err := do(ctx, c); err != nil {
			return err
		}
		return c.save(ctx)
	})
}

// preparing is a transaction of a change that prepares each statement only once. Only
// serve may carry it out.
type preparing struct {
	store *store
	tx    *sql.Tx
}

// ExecContext is part of executor.
func (p preparing) ExecContext(ctx context.Context, statement string, args ...any) (sql.Result, error) {
	if p.store.dialect.shared() { // its driver does so itself
		return p.tx.ExecContext(ctx, statement, args...)
	}
	prepared, err := p.store.prepare(ctx, statement)
	if err != nil {
		return nil, err
	}
	return p.tx.StmtContext(ctx, prepared).ExecContext(ctx, args...)
}

// QueryContext is part of executor.
func (p preparing) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if p.store.dialect.shared() {
		return p.tx.QueryContext(ctx, query, args...)
	}
	prepared, err := p.store.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return p.tx.StmtContext(ctx, prepared).QueryContext(ctx, args...)
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
