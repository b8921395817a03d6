package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
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
	// Line and Record say where the row stands in the file, as in a verdict.Position.
	Line, Record int64
}

// Tasks calls yield with the tasks that a run has created, as far as that is known.
func (l *Ledger) Tasks(ctx context.Context, run Run, yield func(Task) error) error {
	var rows []verdict.Verdict
	err := l.store.look(ctx, func(v *view) error {
		r, err := v.run(ctx, run.ID)
		if err != nil {
			return err
		}
		return v.chunks(ctx, r, func(c *chunkBlock, k *keysBlock) error {
			if c.created == 0 {
				return nil
			}
			if rows, err = v.unpack(run.Names, c.results, rows); err != nil {
				return err
			}
			for i := range rows[:min(len(rows), len(k.keys)/len(Key{}))] {
				if rows[i].Status != verdict.Created {
					continue
				}
				at := rows[i].Position
				if err := yield(Task{Key: Key(k.keys[i*len(Key{}):]), File: at.File, ID: rows[i].TaskID, Line: at.Line, Record: at.Record}); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return takenOver(err, run)
}

// chunks calls yield with each chunk of a run and its keys, which are valid until yield
// returns, and finds out whether those are all.
func (v *view) chunks(ctx context.Context, run *runBlock, yield func(*chunkBlock, *keysBlock) error) error {
	var (
		chunk            chunkBlock
		keys             keysBlock
		ofChunks, ofKeys tally
		sum, sumOfKeys   int64
	)
	fields := append(append(append(chunk.fields(), &sum), keys.fields()...), &sumOfKeys)
	err := v.asked(ctx, `SELECT `+qualified("c", &chunk)+`, `+qualified("k", &keys)+`
		FROM chunk c LEFT JOIN chunk_keys k ON k.run_id = c.run_id AND k.chunk = c.number WHERE c.run_id = $1 ORDER BY c.number`, []any{run.id}, func(scan func(...any) error) error {
		if err := v.scanned(scan(fields...), &chunk, run.name); err != nil {
			return v.tell(err)
		}
		ofChunks.add(sum)
		ofKeys.add(sumOfKeys)
		if err := cmp.Or(v.verify(&chunk, run.name, sum), v.verify(&keys, run.name, sumOfKeys)); err != nil {
			return v.tell(err)
		}
		v.yielded = true
		return yield(&chunk, &keys)
	})
	return v.complete(run, &keys, ofKeys, v.complete(run, &chunk, ofChunks, err))
}

// qualified are the columns of blocks like b in a table with this name, and their
// checksum.
func qualified(as string, b block) string {
	return as + `.` + strings.ReplaceAll(b.columns()+`, checksum`, `, `, `, `+as+`.`)
}

// Sums returns the sums of the chunks that the runs of a pool have sent, but for one run.
func (l *Ledger) Sums(ctx context.Context, except Run) (map[Key]bool, error) {
	sums := map[Key]bool{}
	err := l.store.look(ctx, func(v *view) error {
		all, err := v.identities(ctx)
		if err != nil {
			return err
		}
		for _, one := range ofPool(all, except.Server, except.Pool) {
			if one.id == except.ID {
				continue
			}
			run, err := v.known(ctx, one)
			if err != nil {
				return err
			}
			err = each(ctx, v, run, "", func(c *chunkBlock) error {
				sums[Key(c.sum)] = true
				return nil
			})
			if err != nil {
				return err
			}
		}
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
	err = l.store.look(ctx, func(v *view) error {
		all = nil
		r, err := v.run(ctx, run.ID)
		if err != nil {
			return err
		}
		return each(ctx, v, r, "", func(c *chunkBlock) error {
			all = append(all, Place{c.number, c.first.file, c.first.record})
			return nil
		})
	})
	slices.SortFunc(all, func(a, b Place) int {
		return position{a.File, a.Record}.compare(position{b.File, b.Record})
	})
	return all, takenOver(err, run)
}

// Stray is a task that an attempt has created whose row is not known: only what
// it holds, see package identity.
type Stray struct {
	TaskID  string
	Content [16]byte
}

// Strays returns the strays of a run.
func (l *Ledger) Strays(ctx context.Context, run int64, yield func(Stray) error) error {
	return l.store.look(ctx, func(v *view) error {
		r, err := v.run(ctx, run)
		if err != nil {
			return gone(err)
		}
		return each(ctx, v, r, `ORDER BY task_id`, func(s *strayBlock) error {
			stray := Stray{TaskID: s.task}
			copy(stray.Content[:], s.content)
			return yield(stray)
		})
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
	err := l.store.look(ctx, func(v *view) error {
		doubts = nil
		r, err := v.run(ctx, run)
		if err != nil {
			return gone(err)
		}
		return each(ctx, v, r, `ORDER BY chunk, sent`, func(a *attemptBlock) error {
			doubts = append(doubts, Doubt{Run: run, Chunk: a.chunk, Operation: a.operation, Sent: time.UnixMilli(a.sent)})
			return nil
		})
	})
	return doubts, err
}

// gone explains that a run isn't there.
func gone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return errors.New("the run isn't in the ledger any more: was it pruned meanwhile?")
	}
	return err
}

// Settle ends an attempt in doubt: what it has created are strays now.
func (l *Ledger) Settle(d Doubt, created []Stray) error {
	return gone(l.store.amend(d.Run, func(ctx context.Context, c *change) error {
		for _, s := range created {
			if _, err := c.add(ctx, &strayBlock{task: s.TaskID, content: s.Content[:]}); err != nil {
				return err
			}
		}
		return c.remove(ctx, &attemptBlock{}, ` AND chunk = $2 AND operation = $3`, d.Chunk, d.Operation)
	}))
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
	err := l.store.look(ctx, func(v *view) error {
		all, err := v.identities(ctx)
		if err != nil {
			return err
		}
		for _, one := range ofPool(all, server, pool) {
			run, err := v.known(ctx, one)
			if err != nil {
				return err
			}
			err = each(ctx, v, run, "", func(c *chunkBlock) error {
				if c.created == 0 || c.ended < since.UnixMilli() {
					return nil
				}
				var err error
				rows, err = v.unpack(nil, c.results, rows)
				for i := range rows {
					note(rows[i].TaskID)
				}
				return err
			})
			if err != nil {
				return err
			}
			err = each(ctx, v, run, "", func(s *strayBlock) error {
				note(s.task)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return named, err
}
