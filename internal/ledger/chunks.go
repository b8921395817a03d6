package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"time"
)

// Attempt is what is about to be sent: an operation, or in synchronous mode a
// request.
type Attempt struct {
	// Chunk is the chunk's number, Sum the hash of its body, Keys has the key of
	// each of its tasks, and Rows their positions.
	Chunk int
	Sum   [32]byte
	Keys  []Key
	Rows  []Row
	// Operation is the operation's id; empty in synchronous mode. Tasks is the
	// number of tasks that are sent.
	Operation  string
	Generation int
	Tasks      int
	// Sent is the time, by the server's clock as far as it is known.
	Sent time.Time
}

// Sending keeps an attempt before it leaves.
func (l *Ledger) Sending(run int64, a Attempt) error {
	positions, err := l.codec.pack(a.Rows)
	if err != nil {
		return err
	}
	keys := joinKeys(a.Keys)
	return l.change(func(ctx context.Context, tx *sql.Tx) error {
		// A chunk that was cut otherwise under this number was finished or never
		// created anything, or the run would not be continued.
		if _, err := tx.ExecContext(ctx, `INSERT INTO chunk (run_id, number, sum, state, tasks, created, rejected, unsent, sent, ended, results)
			VALUES (?, ?, ?, 'sent', ?, 0, 0, 0, ?, 0, ?)
			ON CONFLICT (run_id, number) DO UPDATE SET state = 'sent'`,
			run, a.Chunk, a.Sum[:], len(a.Keys), a.Sent.UnixMilli(), positions); err != nil {
			return err
		}
		if err := keepKeys(ctx, tx, run, a.Chunk, keys); err != nil {
			return err
		}
		// The first attempt's time is kept: a search begins there.
		_, err := tx.ExecContext(ctx, `INSERT INTO attempt (run_id, chunk, operation, generation, tasks, sent) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (run_id, chunk, operation) DO NOTHING`,
			run, a.Chunk, a.Operation, a.Generation, a.Tasks, a.Sent.UnixMilli())
		return err
	})
}

// keepKeys keeps the keys of a chunk's tasks, which are most of what is kept of
// it and never change. They are apart from what does, which is written twice.
func keepKeys(ctx context.Context, tx *sql.Tx, run int64, chunk int, keys []byte) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO chunk_keys (run_id, chunk, keys) VALUES (?, ?, ?) ON CONFLICT (run_id, chunk) DO NOTHING`, run, chunk, keys)
	return err
}

// Result is what came of a chunk.
type Result struct {
	Chunk int
	Sum   [32]byte
	Keys  []Key
	Rows  []Row
	// Claimed are the ids of strays that are tasks of these rows now.
	Claimed []string
}

// Finish keeps what came of a chunk, all of it or nothing. A chunk with rows
// that are unsent keeps its attempts while one of them is in doubt.
func (l *Ledger) Finish(run int64, r Result) error {
	results, err := l.codec.pack(r.Rows)
	if err != nil {
		return err
	}
	var created, rejected, unsent int
	doubt := false
	for i := range r.Rows {
		switch r.Rows[i].Status {
		case Created:
			created++
		case Rejected:
			rejected++
		default:
			unsent++
			doubt = doubt || r.Rows[i].Status == InDoubt
		}
	}
	state := "finished"
	if unsent > 0 {
		state = "open"
	}
	keys := joinKeys(r.Keys)
	return l.change(func(ctx context.Context, tx *sql.Tx) error {
		now := time.Now().UnixMilli()
		if _, err := tx.ExecContext(ctx, `INSERT INTO chunk (run_id, number, sum, state, tasks, created, rejected, unsent, sent, ended, results)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (run_id, number) DO UPDATE SET state = excluded.state, created = excluded.created, rejected = excluded.rejected,
				unsent = excluded.unsent, ended = excluded.ended, results = excluded.results`,
			run, r.Chunk, r.Sum[:], state, len(r.Keys), created, rejected, unsent, now, now, results); err != nil {
			return err
		}
		if err := keepKeys(ctx, tx, run, r.Chunk, keys); err != nil {
			return err
		}
		for _, id := range r.Claimed {
			if _, err := tx.ExecContext(ctx, `DELETE FROM stray WHERE run_id = ? AND task_id = ?`, run, id); err != nil {
				return err
			}
		}
		if doubt {
			return nil
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM attempt WHERE run_id = ? AND chunk = ?`, run, r.Chunk)
		return err
	})
}

// Chunk is what the ledger knows of a chunk.
type Chunk struct {
	Sum [32]byte
	// Finished says that each row was created or rejected.
	Finished bool
	// Ended says that Rows is what came of the chunk; otherwise they are only
	// positions.
	Ended bool
	Rows  []Row
	Keys  []Key
	// Sent is when the first attempt in doubt was sent, and Operations are the
	// ids of those attempts. Sent is zero where nothing is in doubt.
	Sent       time.Time
	Operations []string
}

// Chunk gives what is known of a chunk of a run, and whether anything is.
func (l *Ledger) Chunk(ctx context.Context, run int64, number int) (c Chunk, known bool, err error) {
	var sum, keys, results []byte
	var state string
	var ended int64
	err = l.db.QueryRowContext(ctx, `SELECT sum, state, ended, keys, results FROM chunk JOIN chunk_keys k ON k.run_id = chunk.run_id AND k.chunk = number
		WHERE chunk.run_id = ? AND number = ?`, run, number).
		Scan(&sum, &state, &ended, &keys, &results)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, l.explain(err)
	}
	copy(c.Sum[:], sum)
	c.Finished, c.Ended = state == "finished", ended != 0
	if c.Rows, err = l.unpack(results); err != nil {
		return c, false, err
	}
	c.Keys = splitKeys(keys)
	if c.Finished {
		return c, true, nil
	}
	rows, err := l.db.QueryContext(ctx, `SELECT operation, sent FROM attempt WHERE run_id = ? AND chunk = ? ORDER BY sent`, run, number)
	if err != nil {
		return c, false, l.explain(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var operation string
		var sent int64
		if err := rows.Scan(&operation, &sent); err != nil {
			return c, false, l.explain(err)
		}
		if c.Sent.IsZero() {
			c.Sent = time.UnixMilli(sent)
		}
		if operation != "" {
			c.Operations = append(c.Operations, operation)
		}
	}
	return c, true, l.explain(rows.Err())
}

// Aside keeps rows that are in no chunk: those that never reached one, and
// those that were left unsent.
func (l *Ledger) Aside(run int64, rows []Row) error {
	body, err := l.codec.pack(rows)
	if err != nil {
		return err
	}
	return l.change(func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO segment (run_id, body) VALUES (?, ?)`, run, body)
		return err
	})
}

// Rows gives all rows of a run in groups, each of them in the order of the
// files. Rows whose attempt never ended are InDoubt.
func (l *Ledger) Rows(ctx context.Context, run int64, yield func([]Row) error) error {
	err := l.each(ctx, `SELECT results, ended FROM chunk WHERE run_id = ? ORDER BY number`, []any{run}, func(scan func(...any) error) error {
		var blob []byte
		var ended int64
		if err := scan(&blob, &ended); err != nil {
			return err
		}
		rows, err := l.unpack(blob)
		if err != nil {
			return err
		}
		if ended == 0 {
			for i := range rows {
				rows[i].Status, rows[i].Reason = InDoubt, "the run was broken off before the server's answer was kept"
			}
		}
		return yield(rows)
	})
	if err != nil {
		return err
	}
	return l.each(ctx, `SELECT body FROM segment WHERE run_id = ? ORDER BY id`, []any{run}, func(scan func(...any) error) error {
		var blob []byte
		if err := scan(&blob); err != nil {
			return err
		}
		rows, err := l.unpack(blob)
		if err != nil {
			return err
		}
		return yield(rows)
	})
}

// each calls yield for every row of a query's answer.
func (l *Ledger) each(ctx context.Context, query string, args []any, yield func(scan func(...any) error) error) (err error) {
	rows, err := l.db.QueryContext(ctx, query, args...)
	if err != nil {
		return l.explain(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := yield(rows.Scan); err != nil {
			return l.explain(err)
		}
	}
	return l.explain(rows.Err())
}

func (l *Ledger) unpack(blob []byte) ([]Row, error) {
	rows, err := l.codec.unpack(blob)
	if err != nil {
		return nil, &DamagedError{l.path, err}
	}
	return rows, nil
}

func joinKeys(keys []Key) []byte {
	out := make([]byte, 0, len(keys)*len(Key{}))
	for i := range keys {
		out = append(out, keys[i][:]...)
	}
	return out
}

func splitKeys(b []byte) []Key {
	keys := make([]Key, 0, len(b)/len(Key{}))
	for len(b) >= len(Key{}) {
		keys = append(keys, Key(bytes.Clone(b[:len(Key{})])))
		b = b[len(Key{}):]
	}
	return keys
}
