package ledger

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"poolfill/reader"
	"poolfill/reader/verdict"
)

// Entry is an attempt at a run, which keeps what it is about to send and what came of
// it: as Begin or Continue gave it, and only while no other attempt goes on with the run.
type Entry struct {
	ledger *Ledger
	run    Run
}

// Entry returns the entry of an attempt at a run.
func (l *Ledger) Entry(run Run) Entry { return Entry{l, run} }

// change carries out a change that belongs to the attempt.
func (e Entry) change(do func(context.Context, *change) error) error {
	return takenOver(e.ledger.store.amend(e.run.ID, func(ctx context.Context, c *change) error {
		if c.run.attempts != e.run.Attempts {
			return &TakenOverError{e.run.Name}
		}
		return do(ctx, c)
	}), e.run)
}

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
	// Read returns what reader knows of inputs, so far as they were read, and isn't kept
	// yet. It is asked within the transaction, so that nothing older is kept after
	// something newer.
	Read func() []reader.Info
}

// Sending keeps an attempt before it leaves. It is an error if something else
// was sent under the chunk's number before, a *TakenOverError where another attempt
// goes on with the run, and a *PoolTakenError where the pool was held and is not any
// more.
func (e Entry) Sending(a Attempt) error {
	p := e.ledger.store.verifier.codec.packer()
	defer p.release()
	positions, err := p.pack(e.run.Names, func(yield func(*verdict.Verdict) bool) {
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
	return e.change(func(ctx context.Context, c *change) error {
		// Within the transaction, so that it is asked again after each loss of the
		// connection.
		if err := e.ledger.keepPool(ctx, e.run); err != nil {
			return err
		}
		kept, was, err := c.chunk(ctx, a.Chunk)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			err = c.addChunk(ctx, &chunkBlock{
				number: a.Chunk, sum: a.Sum[:], state: stateSent, tasks: p.rows, sent: a.Sent.UnixMilli(), first: p.first, results: positions,
			}, keys)
		case err == nil && (!bytes.Equal(kept.sum, a.Sum[:]) || kept.tasks != p.rows):
			err = fmt.Errorf("chunk %d is not what was sent under its number before", a.Chunk)
		case err == nil && kept.state != stateSent:
			kept.state = stateSent
			err = c.replaceChunk(ctx, was, kept)
		}
		if err != nil {
			return err
		}
		if a.Read != nil {
			if err := c.opened(ctx, e.run.Names, a.Read()); err != nil {
				return err
			}
		}
		// The first attempt's time is kept: a search begins there.
		_, err = c.add(ctx, &attemptBlock{chunk: a.Chunk, operation: a.Operation, generation: a.Generation, tasks: a.Tasks, sent: a.Sent.UnixMilli()})
		return err
	})
}

// The states of a chunk: one that is under way, as far as is known, one of which rows
// are unsent, and one of which each row was created or rejected.
const (
	stateSent     = "sent"
	stateOpen     = "open"
	stateFinished = "finished"
)

// chunk reads a chunk of the run. The error is sql.ErrNoRows where there is none.
func (c *change) chunk(ctx context.Context, number int) (b *chunkBlock, sum int64, err error) {
	b = &chunkBlock{}
	if number >= c.run.chunks {
		return b, 0, sql.ErrNoRows
	}
	sum, err = c.find(ctx, b, ` AND number = $2`, number)
	return b, sum, err
}

// addChunk adds a chunk with its keys.
func (c *change) addChunk(ctx context.Context, chunk *chunkBlock, keys []byte) error {
	c.run.chunks = max(c.run.chunks, chunk.number+1)
	for _, b := range []ofRun{chunk, &keysBlock{chunk: chunk.number, keys: keys}} {
		if added, err := c.add(ctx, b); err != nil || !added {
			return cmp.Or(err, c.damaged("%s%s was there, and can't be found", b, in(c.run.name)))
		}
	}
	return nil
}

func (c *change) replaceChunk(ctx context.Context, was int64, chunk *chunkBlock) error {
	return c.replace(ctx, was, chunk, `UPDATE chunk SET checksum = $1, state = $2, created = $3, rejected = $4, unsent = $5, ended = $6, results = $7
		WHERE run_id = $8 AND number = $9`,
		chunk.state, chunk.created, chunk.rejected, chunk.unsent, chunk.ended, []byte(chunk.results), chunk.run, chunk.number)
}

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
func (e Entry) Finish(r Result) error {
	p := e.ledger.store.verifier.codec.packer()
	defer p.release()
	results, err := p.pack(e.run.Names, all(r.Rows))
	if err != nil {
		return err
	}
	return e.change(func(ctx context.Context, c *change) error {
		chunk, was, err := c.chunk(ctx, r.Chunk)
		known := err == nil
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if known && chunk.tasks != p.rows || !known && p.rows != len(r.Keys) {
			return fmt.Errorf("chunk %d has %d rows, which is not what was sent, and %d keys", r.Chunk, p.rows, len(r.Keys))
		}
		now := time.Now().UnixMilli()
		if !known {
			chunk = &chunkBlock{number: r.Chunk, sum: r.Sum[:], tasks: p.rows, sent: now, first: p.first}
		}
		c.run.created -= int64(chunk.created)
		c.run.rejected -= int64(chunk.rejected)
		chunk.created, chunk.rejected = p.counts[statuses[verdict.Created]], p.counts[statuses[verdict.Rejected]]
		chunk.unsent, chunk.ended, chunk.results = p.rows-chunk.created-chunk.rejected, now, results
		if chunk.state = stateFinished; chunk.unsent > 0 {
			chunk.state = stateOpen
		}
		c.run.created += int64(chunk.created)
		c.run.rejected += int64(chunk.rejected)
		if known {
			err = c.replaceChunk(ctx, was, chunk)
		} else {
			err = c.addChunk(ctx, chunk, p.joinKeys(r.Keys))
		}
		if err != nil {
			return err
		}
		for _, id := range r.Claimed {
			if err := c.remove(ctx, &strayBlock{}, ` AND task_id = $2`, id); err != nil {
				return err
			}
		}
		if p.counts[inDoubt] > 0 {
			return nil
		}
		return c.remove(ctx, &attemptBlock{}, ` AND chunk = $2`, r.Chunk)
	})
}

// Aside keeps rows that are in no chunk: those that never reached one, and
// those that were left unsent. The error is a *TakenOverError where another
// attempt goes on with the run.
func (e Entry) Aside(rows []verdict.Verdict) error {
	p := e.ledger.store.verifier.codec.packer()
	defer p.release()
	body, err := p.pack(e.run.Names, all(rows))
	if err != nil {
		return err
	}
	return e.change(func(ctx context.Context, c *change) error {
		_, err := c.add(ctx, &segmentBlock{first: p.first, body: body})
		return err
	})
}

// Opened keeps what reader knows of files, after their headers or at their ends.
func (e Entry) Opened(infos ...reader.Info) error {
	return takenOver(e.ledger.store.amend(e.run.ID, func(ctx context.Context, c *change) error {
		return c.opened(ctx, e.run.Names, infos)
	}), e.run)
}

// opened keeps what reader knows of files of a run whose files have these names.
func (c *change) opened(ctx context.Context, names []string, infos []reader.Info) error {
	numbers := numbering{names: names}
	for i := range infos {
		file, err := numbers.of(infos[i].File)
		if err != nil {
			return err
		}
		if err := c.openedOne(ctx, file, infos[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) openedOne(ctx context.Context, file int, info reader.Info) error {
	text, err := json.Marshal(info)
	if err != nil {
		return err
	}
	var f fileBlock
	was, err := c.find(ctx, &f, ` AND number = $2`, file)
	if errors.Is(err, sql.ErrNoRows) {
		return c.damaged("run %s has no file %d", c.run.name, file+1)
	}
	if err != nil {
		return err
	}
	f.sha256, f.info = info.SHA256, string(text)
	return c.replace(ctx, was, &f, `UPDATE file SET checksum = $1, sha256 = $2, info = $3 WHERE run_id = $4 AND number = $5`, f.sha256, f.info, f.run, f.number)
}

// End keeps how an attempt ended. The error is a *TakenOverError where another
// one goes on with the run.
func (e Entry) End(state string, report []byte) error {
	return e.change(func(ctx context.Context, c *change) error {
		c.run.state, c.run.ended = state, time.Now().UnixMilli()
		if err := c.remove(ctx, &reportBlock{}, ""); err != nil {
			return err
		}
		_, err := c.add(ctx, &reportBlock{body: report})
		return err
	})
}

// Abandon forgets a run whose attempt sent nothing. The error is a
// *TakenOverError where another one goes on with the run.
func (e Entry) Abandon() error {
	return takenOver(e.ledger.store.change(func(ctx context.Context, tx *sql.Tx) error {
		c, err := e.ledger.store.verifier.open(ctx, tx, e.run.ID)
		if err != nil {
			return err
		}
		if c.run.attempts != e.run.Attempts {
			return &TakenOverError{e.run.Name}
		}
		return c.forget(ctx)
	}), e.run)
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
func (e Entry) Chunk(ctx context.Context, number int) (c Chunk, known bool, err error) {
	err = e.ledger.store.look(ctx, func(v *view) error {
		c, known = Chunk{}, false
		r, err := v.run(ctx, e.run.ID)
		if err != nil {
			return err
		}
		if number >= r.chunks {
			return nil
		}
		var chunk chunkBlock
		if _, err = v.one(ctx, v.tx, &chunk, r.name, `WHERE run_id = $1 AND number = $2`, r.id, number); errors.Is(err, sql.ErrNoRows) {
			return v.absent(ctx, r, number)
		}
		if err != nil {
			return err
		}
		var keys keysBlock
		if _, err := v.one(ctx, v.tx, &keys, r.name, `WHERE run_id = $1 AND chunk = $2`, r.id, number); errors.Is(err, sql.ErrNoRows) {
			return v.damaged("the list of keys of %s%s is missing", &chunk, in(r.name))
		} else if err != nil {
			return err
		}
		if c.Rows, err = v.unpack(e.run.Names, chunk.results, nil); err != nil {
			return err
		}
		copy(c.Sum[:], chunk.sum)
		c.Finished, c.Ended, c.Keys = chunk.state == stateFinished, chunk.ended != 0, splitKeys(keys.keys)
		known = true
		if c.Finished {
			return nil
		}
		return each(ctx, v, r, `ORDER BY sent`, func(a *attemptBlock) error {
			if a.chunk != number {
				return nil
			}
			if c.Sent.IsZero() {
				c.Sent = time.UnixMilli(a.sent)
			}
			if a.operation != "" {
				c.Operations = append(c.Operations, a.operation)
			}
			return nil
		})
	})
	return c, known, takenOver(err, e.run)
}

// absent makes sure that a run doesn't have a chunk that wasn't found.
func (v *view) absent(ctx context.Context, run *runBlock, number int) error {
	var (
		found tally
		here  bool
	)
	err := v.asked(ctx, `SELECT number, checksum FROM chunk WHERE run_id = $1`, []any{run.id}, func(scan func(...any) error) error {
		var chunk chunkBlock
		var sum int64
		err := v.scanned(scan(&chunk.number, &sum), &chunk, run.name)
		found.add(sum)
		here = here || chunk.number == number
		return err
	})
	if err == nil && here {
		err = v.damaged("chunk %d%s can't be found by its number", number, in(run.name))
	}
	return v.complete(run, &chunkBlock{}, found, err)
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
