package ledger

import (
	"context"
	"database/sql"
	"time"

	"poolfill/reader/verdict"
)

// Task is a task that was created, and the row that it came from.
type Task struct {
	Key Key
	// File is the name of the run's file, see Run.Names, and ID the task's id,
	// which is empty where it isn't known.
	File string
	ID   string
}

// Tasks calls yield with the tasks that a run has created, as far as that is known.
func (l *Ledger) Tasks(ctx context.Context, run Run, yield func(Task) error) error {
	var rows []verdict.Verdict
	return l.each(ctx, `SELECT keys, results FROM chunk JOIN chunk_keys k ON k.run_id = chunk.run_id AND k.chunk = number
		WHERE chunk.run_id = $1 AND created > 0 ORDER BY number`, []any{run.ID}, func(scan func(...any) error) error {
		var keys, blob sql.RawBytes
		if err := scan(&keys, &blob); err != nil {
			return err
		}
		var err error
		if rows, err = l.unpack(run.Names, blob, rows); err != nil {
			return err
		}
		for i := range rows[:min(len(rows), len(keys)/len(Key{}))] {
			if rows[i].Status != verdict.Created {
				continue
			}
			if err := yield(Task{Key: Key(keys[i*len(Key{}):]), File: rows[i].Position.File, ID: rows[i].TaskID}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Sums returns the sums of the chunks that the runs of a pool have sent, but for one run.
func (l *Ledger) Sums(ctx context.Context, except Run) (map[Key]bool, error) {
	sums := map[Key]bool{}
	err := l.each(ctx, `SELECT sum FROM chunk WHERE run_id <> $1 AND run_id IN (SELECT id FROM run WHERE server = $2 AND pool = $3)`,
		[]any{except.ID, except.Server, except.Pool}, func(scan func(...any) error) error {
			var sum sql.RawBytes
			if err := scan(&sum); err != nil {
				return err
			}
			var key Key
			copy(key[:], sum)
			sums[key] = true
			return nil
		})
	return sums, err
}

// Place is where a chunk begins.
type Place struct {
	Number int
	// File is the number of the run's file, Record that of the row.
	File   int
	Record int64
}

// Places returns where the chunks of a run begin, in the order of the inputs.
func (l *Ledger) Places(ctx context.Context, run Run) (all []Place, err error) {
	err = l.each(ctx, `SELECT number, first_file, first_record FROM chunk WHERE run_id = $1 ORDER BY first_file, first_record`, []any{run.ID}, func(scan func(...any) error) error {
		var p Place
		if err := scan(&p.Number, &p.File, &p.Record); err != nil {
			return err
		}
		all = append(all, p)
		return nil
	})
	return all, err
}

// Stray is a task that an attempt has created whose row is not known: only what
// it holds, see package identity.
type Stray struct {
	TaskID  string
	Content [16]byte
}

// Strays returns the strays of a run.
func (l *Ledger) Strays(ctx context.Context, run int64, yield func(Stray) error) error {
	return l.each(ctx, `SELECT task_id, content FROM stray WHERE run_id = $1 ORDER BY task_id`, []any{run}, func(scan func(...any) error) error {
		var s Stray
		var content []byte
		if err := scan(&s.TaskID, &content); err != nil {
			return err
		}
		copy(s.Content[:], content)
		return yield(s)
	})
}

// Doubt is an attempt whose end is not known.
type Doubt struct {
	Run       int64
	Chunk     int
	Operation string // empty in synchronous mode
	Sent      time.Time
}

// Doubts returns the attempts of a run whose end is not known.
func (l *Ledger) Doubts(ctx context.Context, run int64) ([]Doubt, error) {
	var doubts []Doubt
	err := l.each(ctx, `SELECT chunk, operation, sent FROM attempt WHERE run_id = $1 ORDER BY chunk, sent`, []any{run}, func(scan func(...any) error) error {
		d := Doubt{Run: run}
		var sent int64
		if err := scan(&d.Chunk, &d.Operation, &sent); err != nil {
			return err
		}
		d.Sent = time.UnixMilli(sent)
		doubts = append(doubts, d)
		return nil
	})
	return doubts, err
}

// Settle ends an attempt in doubt: what it has created are strays now.
func (l *Ledger) Settle(d Doubt, created []Stray) error {
	return l.change(func(ctx context.Context, tx *sql.Tx) error {
		for _, s := range created {
			if _, err := tx.ExecContext(ctx, `INSERT INTO stray (run_id, task_id, content) VALUES ($1, $2, $3) ON CONFLICT (run_id, task_id) DO NOTHING`,
				d.Run, s.TaskID, s.Content[:]); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM attempt WHERE run_id = $1 AND chunk = $2 AND operation = $3`, d.Run, d.Chunk, d.Operation)
		return err
	})
}

// Named reports which of some ids are those of tasks of a pool that belong to
// somebody: to a row of a chunk that ended since a time, or to a stray.
func (l *Ledger) Named(ctx context.Context, server, pool string, since time.Time, ids []string) (map[string]bool, error) {
	named := make(map[string]bool, len(ids))
	for _, id := range ids {
		named[id] = false
	}
	note := func(id string) {
		if _, asked := named[id]; asked {
			named[id] = true
		}
	}
	var rows []verdict.Verdict
	err := l.each(ctx, `SELECT results FROM chunk WHERE created > 0 AND ended >= $1 AND run_id IN (SELECT id FROM run WHERE server = $2 AND pool = $3)`,
		[]any{since.UnixMilli(), server, pool}, func(scan func(...any) error) error {
			var blob sql.RawBytes
			if err := scan(&blob); err != nil {
				return err
			}
			var err error
			rows, err = l.unpack(nil, blob, rows)
			for i := range rows {
				note(rows[i].TaskID)
			}
			return err
		})
	if err != nil {
		return nil, err
	}
	err = l.each(ctx, `SELECT task_id FROM stray WHERE run_id IN (SELECT id FROM run WHERE server = $1 AND pool = $2)`, []any{server, pool},
		func(scan func(...any) error) error {
			var id string
			if err := scan(&id); err != nil {
				return err
			}
			note(id)
			return nil
		})
	return named, err
}
