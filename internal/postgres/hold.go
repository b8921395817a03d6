package postgres

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"
)

// lingers bounds how long a session is waited for that was told to end.
const lingers = 10 * time.Second

// Hold is a name that one client of a database has for itself. It is safe for
// concurrent use.
type Hold struct {
	db   *Database
	name string

	mu      sync.Mutex
	conn    *sql.Conn // whose session has the name; nil without one
	session session   // the last one that had it
}

// session is one of the server, unlike all others that it ever had.
type session struct {
	pid   int64
	begun time.Time
}

// Hold takes a name for the caller among all clients of the database until
// Release, or until its connection ends, see Keep. Where another has it, held is
// false.
func (d *Database) Hold(ctx context.Context, name string) (h *Hold, held bool, err error) {
	h = &Hold{db: d, name: name}
	err = Patiently(ctx, func() (err error) {
		held, err = h.take(ctx)
		return err
	})
	if err != nil || !held {
		return nil, false, Explain(d.Where, err)
	}
	return h, true, nil
}

// Keep takes the name again where the connection was lost, and reports whether it
// is the caller's: held is false where another has got it meanwhile. The error is
// one of the connection, with which it isn't known; see Lost.
func (h *Hold) Keep(ctx context.Context) (held bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn != nil {
		if _, err := h.conn.ExecContext(ctx, `SELECT -- ping`); err == nil {
			return true, nil
		}
		if err := h.disconnect(); err != nil {
			return false, err
		}
	}
	return h.take(ctx)
}

// Release releases the name.
func (h *Hold) Release() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn == nil {
		return nil
	}
	// The connection goes back to its pool, so it must not keep the name. Where it
	// was lost, it doesn't.
	ctx, cancel := context.WithTimeout(context.Background(), tryFor)
	defer cancel()
	_, err := h.conn.ExecContext(ctx, `SELECT pg_advisory_unlock(hashtextextended($1, 0))`, h.name)
	if Lost(err) {
		err = nil
	}
	return errors.Join(err, h.disconnect())
}

// take takes the name with a new connection. It needs h.mu, where others have h.
func (h *Hold) take(ctx context.Context) (held bool, err error) {
	conn, err := h.db.Conn(ctx)
	if err != nil {
		return false, err
	}
	h.conn = conn
	defer func() {
		if err != nil || !held {
			err = errors.Join(err, h.disconnect())
		}
	}()
	if err := h.end(ctx); err != nil {
		return false, err
	}
	var ours session
	if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtextextended($1, 0)), pid, backend_start
		FROM pg_stat_activity WHERE pid = pg_backend_pid()`, h.name).Scan(&held, &ours.pid, &ours.begun); err != nil || !held {
		return false, err
	}
	h.session = ours
	return true, nil
}

// end ends the session that had the name, and waits for that: the server may not
// know yet that its client is gone, and keep the name for it.
func (h *Hold) end(ctx context.Context) error {
	if h.session.pid == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lingers)
	defer cancel()
	for {
		var lives bool
		if err := h.conn.QueryRowContext(ctx, `SELECT coalesce(bool_or(pg_terminate_backend(pid)), false)
			FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2`, h.session.pid, h.session.begun).Scan(&lives); err != nil || !lives {
			return err
		}
		if _, err := h.conn.ExecContext(ctx, `SELECT pg_sleep(0.02)`); err != nil {
			return err
		}
	}
}

// disconnect returns the connection to its pool. It needs h.mu.
func (h *Hold) disconnect() error {
	err := h.conn.Close()
	h.conn = nil
	if Lost(err) || errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}
