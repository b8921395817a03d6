package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"poolfill/reader"
	"poolfill/reader/verdict"
)

// Attempt is what is about to be sent: an operation, or in synchronous mode a
// request.
type Attempt struct {
	// Chunk is the chunk's number, Sum the hash of its tasks, Keys has the key of
	// each of them, and Positions where each stands.
	Chunk     int
	Sum       Key
	Keys      []Key
	Positions iter.Seq[verdict.Position]
	// Operation is the operation's id; empty in synchronous mode. Tasks is the
	// number of tasks that are sent.
	Operation  string
	Generation int
	Tasks      int
	// Sent is the time, by the server's clock as far as it is known.
	Sent time.Time
	// Read returns what reader knows of the input that is open, so far as it was read; nil
	// where none is. It is asked within the transaction, so that nothing older is kept
	// after something newer.
	Read func() *reader.Info
}

// Sending keeps an attempt before it leaves. It is an error if something else
// was sent under the chunk's number before, a *TakenOverError where another attempt
// goes on with the run, and a *PoolTakenError where the pool was held and is not any
// more.
func (l *Ledger) Sending(run Run, a Attempt) error {
	p := l.codec.packer()
	defer p.release()
	positions, err := p.pack(run.Names, func(yield func(*verdict.Verdict) bool) {
		v := verdict.Verdict{InDoubt: true}
		for v.Position = range a.Positions {
			if !yield(&v) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	if p.rows != len(a.Keys) {
		return fmt.Errorf("chunk %d has %d rows and %d keys", a.Chunk, p.rows, len(a.Keys))
	}
	keys := p.joinKeys(a.Keys)
	return l.attempt(run, func(ctx context.Context, tx *sql.Tx) error {
		// Within the transaction, so that it is asked again after each loss of the
		// connection.
		if err := l.keepPool(ctx, run); err != nil {
			return err
		}
		kept, err := l.exec(ctx, tx, `INSERT INTO chunk (run_id, number, sum, state, tasks, created, rejected, unsent, sent, ended, first_file, first_record, results)
			VALUES ($1, $2, $3, 'sent', $4, 0, 0, 0, $5, 0, $6, $7, $8)
			ON CONFLICT (run_id, number) DO UPDATE SET state = 'sent' WHERE chunk.sum = excluded.sum AND chunk.tasks = excluded.tasks`,
			run.ID, a.Chunk, a.Sum[:], p.rows, a.Sent.UnixMilli(), p.first.file, p.first.record, positions)
		if err != nil {
			return err
		}
		if n, err := kept.RowsAffected(); err != nil || n == 0 {
			return cmp.Or(err, fmt.Errorf("chunk %d is not what was sent under its number before", a.Chunk))
		}
		if _, err := l.exec(ctx, tx, insertKeys, run.ID, a.Chunk, keys); err != nil {
			return err
		}
		if a.Read != nil {
			if read := a.Read(); read != nil {
				if err := opened(ctx, tx, run, *read); err != nil {
					return err
				}
			}
		}
		// The first attempt's time is kept: a search begins there.
		_, err = l.exec(ctx, tx, `INSERT INTO attempt (run_id, chunk, operation, generation, tasks, sent) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (run_id, chunk, operation) DO NOTHING`,
			run.ID, a.Chunk, a.Operation, a.Generation, a.Tasks, a.Sent.UnixMilli())
		return err
	})
}

// insertKeys keeps the keys of a chunk's tasks, which are most of what is kept
// of it and never change. They are apart from what does, which is written twice.
const insertKeys = `INSERT INTO chunk_keys (run_id, chunk, keys) VALUES ($1, $2, $3) ON CONFLICT (run_id, chunk) DO NOTHING`

// Result is what came of a chunk.
type Result struct {
	Chunk int
	Sum   Key
	// Keys has the key of each task. Where Sending was called for the chunk, its
	// keys are kept already, and neither Keys nor Sum is needed.
	Keys []Key
	Rows []verdict.Verdict
	// Claimed are the ids of strays that are tasks of these rows now.
	Claimed []string
}

// Finish keeps what came of a chunk, all of it or nothing. A chunk with rows
// that are unsent keeps its attempts while one of them is in doubt. The error is
// a *TakenOverError where another attempt goes on with the run.
func (l *Ledger) Finish(run Run, r Result) error {
	p := l.codec.packer()
	defer p.release()
	results, err := p.pack(run.Names, all(r.Rows))
	if err != nil {
		return err
	}
	created, rejected := p.counts[statuses[verdict.Created]], p.counts[statuses[verdict.Rejected]]
	unsent := p.rows - created - rejected
	state := "finished"
	if unsent > 0 {
		state = "open"
	}
	return l.attempt(run, func(ctx context.Context, tx *sql.Tx) error {
		now := time.Now().UnixMilli()
		updated, err := l.exec(ctx, tx, `UPDATE chunk SET state = $1, created = $2, rejected = $3, unsent = $4, ended = $5, results = $6
			WHERE run_id = $7 AND number = $8 AND tasks = $9`,
			state, created, rejected, unsent, now, results, run.ID, r.Chunk, p.rows)
		if err != nil {
			return err
		}
		n, err := updated.RowsAffected()
		if err != nil {
			return err
		}
		if n == 0 {
			if p.rows != len(r.Keys) {
				return fmt.Errorf("chunk %d has %d rows, which is not what was sent, and %d keys", r.Chunk, p.rows, len(r.Keys))
			}
			if _, err := l.exec(ctx, tx, `INSERT INTO chunk (run_id, number, sum, state, tasks, created, rejected, unsent, sent, ended, first_file, first_record, results)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
				run.ID, r.Chunk, r.Sum[:], state, p.rows, created, rejected, unsent, now, now, p.first.file, p.first.record, results); err != nil {
				return err
			}
			if _, err := l.exec(ctx, tx, insertKeys, run.ID, r.Chunk, p.joinKeys(r.Keys)); err != nil {
				return err
			}
		}
		for _, id := range r.Claimed {
			if _, err := l.exec(ctx, tx, `DELETE FROM stray WHERE run_id = $1 AND task_id = $2`, run.ID, id); err != nil {
				return err
			}
		}
		if p.counts[inDoubt] > 0 {
			return nil
		}
		_, err = l.exec(ctx, tx, `DELETE FROM attempt WHERE run_id = $1 AND chunk = $2`, run.ID, r.Chunk)
		return err
	})
}

// Chunk is what the ledger knows of a chunk.
type Chunk struct {
	Sum Key
	// Finished says that each row was created or rejected.
	Finished bool
	// Ended says that Rows is what came of the chunk; otherwise they are only
	// positions.
	Ended bool
	Rows  []verdict.Verdict
	Keys  []Key
	// Sent is when the first attempt in doubt was sent, and Operations are the
	// ids of those attempts. Sent is zero where nothing is in doubt.
	Sent       time.Time
	Operations []string
}

// Chunk returns what is known of a chunk of a run, and whether anything is.
func (l *Ledger) Chunk(ctx context.Context, run Run, number int) (c Chunk, known bool, err error) {
	var sum, keys, results []byte
	var state string
	var ended int64
	err = l.patiently(ctx, func() error {
		return l.db.QueryRowContext(ctx, `SELECT sum, state, ended, keys, results FROM chunk JOIN chunk_keys k ON k.run_id = chunk.run_id AND k.chunk = number
			WHERE chunk.run_id = $1 AND number = $2`, run.ID, number).
			Scan(&sum, &state, &ended, &keys, &results)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	copy(c.Sum[:], sum)
	c.Finished, c.Ended = state == "finished", ended != 0
	if c.Rows, err = l.unpack(run.Names, results, nil); err != nil {
		return c, false, err
	}
	c.Keys = splitKeys(keys)
	if c.Finished {
		return c, true, nil
	}
	err = l.each(ctx, `SELECT operation, sent FROM attempt WHERE run_id = $1 AND chunk = $2 ORDER BY sent`, []any{run.ID, number}, func(scan func(...any) error) error {
		var operation string
		var sent int64
		if err := scan(&operation, &sent); err != nil {
			return err
		}
		if c.Sent.IsZero() {
			c.Sent = time.UnixMilli(sent)
		}
		if operation != "" {
			c.Operations = append(c.Operations, operation)
		}
		return nil
	})
	return c, true, err
}

// Aside keeps rows that are in no chunk: those that never reached one, and
// those that were left unsent. The error is a *TakenOverError where another
// attempt goes on with the run.
func (l *Ledger) Aside(run Run, rows []verdict.Verdict) error {
	p := l.codec.packer()
	defer p.release()
	body, err := p.pack(run.Names, all(rows))
	if err != nil {
		return err
	}
	return l.attempt(run, func(ctx context.Context, tx *sql.Tx) error {
		_, err := l.exec(ctx, tx, `INSERT INTO segment (run_id, first_file, first_record, body) VALUES ($1, $2, $3, $4)`,
			run.ID, p.first.file, p.first.record, body)
		return err
	})
}

// all yields the elements of a slice in place.
func all(rows []verdict.Verdict) iter.Seq[*verdict.Verdict] {
	return func(yield func(*verdict.Verdict) bool) {
		for i := range rows {
			if !yield(&rows[i]) {
				return
			}
		}
	}
}

// unpack reads a blob. It overwrites rows, if they are enough.
func (l *Ledger) unpack(files []string, blob []byte, rows []verdict.Verdict) ([]verdict.Verdict, error) {
	rows, err := l.codec.unpack(files, blob, rows)
	if err != nil {
		return nil, &DamagedError{l.Path(), err}
	}
	return rows, nil
}

func (p *packer) joinKeys(keys []Key) []byte {
	p.keys = slices.Grow(p.keys[:0], len(keys)*len(Key{}))
	for i := range keys {
		p.keys = append(p.keys, keys[i][:]...)
	}
	return p.keys
}

func splitKeys(b []byte) []Key {
	keys := make([]Key, len(b)/len(Key{}))
	for i := range keys {
		copy(keys[i][:], b[i*len(Key{}):])
	}
	return keys
}
