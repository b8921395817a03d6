package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
)

// keeper is where a run leaves what it is about to send and what came of its rows.
// It is safe for concurrent use.
type keeper interface {
	// journal is told of each request to create tasks; nil where nothing is remembered
	// of that.
	journal() uploader.Journal
	// input keeps what is known of an input, when it is opened and at its end.
	input(info reader.Info) error
	// reading notes how far the input that is open was read, before any of its rows is
	// handed on.
	reading(info reader.Info)
	// aside keeps rows that are in no chunk.
	aside(rows []verdict.Verdict) error
	// finish keeps what came of a chunk. kept says that later calls of what named
	// returns find its tasks. claimed are the ids of strays that are rows of it.
	finish(o uploader.Outcome, claimed []string) (kept bool, err error)
	// chunk returns what an earlier attempt of the run has left of a chunk, and
	// whether it has left anything.
	chunk(ctx context.Context, number int) (c ledger.Chunk, found bool, err error)
	// named returns how to find the tasks that were created since a time and belong
	// to rows.
	named(ctx context.Context, since time.Time) uploader.Named
	// tell tells the Recorder what it has not heard yet, and returns the report as
	// it is then. told has the inputs that it was told of.
	tell(ctx context.Context, r Report, told map[string]reader.Info) (Report, error)
	// end keeps how the run ended.
	end(r Report) error
	// abandon forgets a run that has sent nothing.
	abandon() error
}

// memoryKeeper keeps nothing: its Recorder is told of rows as they come.
type memoryKeeper struct{ to Recorder }

func (memoryKeeper) journal() uploader.Journal            { return nil }
func (memoryKeeper) input(reader.Info) error              { return nil }
func (memoryKeeper) reading(reader.Info)                  {}
func (k memoryKeeper) aside(rows []verdict.Verdict) error { return k.to.Record(rows) }

func (k memoryKeeper) finish(o uploader.Outcome, _ []string) (bool, error) {
	return false, k.to.Record(o.Rows)
}

func (memoryKeeper) chunk(context.Context, int) (c ledger.Chunk, found bool, err error) {
	return c, false, nil
}

func (memoryKeeper) named(context.Context, time.Time) uploader.Named { return nil }

func (memoryKeeper) tell(_ context.Context, r Report, _ map[string]reader.Info) (Report, error) {
	return r, nil
}

func (memoryKeeper) end(Report) error { return nil }
func (memoryKeeper) abandon() error   { return nil }

// ledgerKeeper keeps an attempt at a run in the ledger.
type ledgerKeeper struct {
	ledger *ledger.Ledger
	run    ledger.Run
	// resumed says that the run is an earlier one, which is gone on with.
	resumed bool
	to      Recorder
	ending  *ending

	mu   sync.Mutex
	read []reader.Info // of inputs, so far as they were read, which isn't kept yet
}

// Sending is part of uploader.Journal.
func (k *ledgerKeeper) Sending(_ context.Context, a uploader.Attempt) error {
	positions := func(yield func(verdict.Position) bool) {
		for i := range a.Chunk.Len() {
			if !yield(a.Chunk.Position(i)) {
				return
			}
		}
	}
	var read []reader.Info
	err := k.ledger.Entry(k.run).Sending(ledger.Attempt{
		Read: func() []reader.Info {
			read = k.unkept()
			return read
		},
		Chunk: a.Chunk.Number, Sum: a.Chunk.Sum(), Keys: a.Chunk.Keys(), Positions: positions,
		Operation: a.Operation, Generation: a.Generation, Tasks: len(a.Rows), Sent: a.At,
	})
	if err == nil {
		k.kept(read)
	}
	if isTakenOver(err) {
		return k.ending.fail(err) // which says why better than that nothing was sent
	}
	return err
}

// input only notes what is known: it is kept before a row of the input is sent, and at the
// end at the latest, that of many inputs at once.
func (k *ledgerKeeper) journal() uploader.Journal { return k }

func (k *ledgerKeeper) input(info reader.Info) error {
	k.reading(info)
	return nil
}

func (k *ledgerKeeper) reading(info reader.Info) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(k.read); n > 0 && k.read[n-1].File == info.File {
		k.read[n-1] = info
		return
	}
	k.read = append(k.read, info)
}

// unkept returns how far the inputs were read, so that an earlier run's rows are known by
// the bytes that they stood in even if it was cut off.
func (k *ledgerKeeper) unkept() []reader.Info {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.read)
}

// kept says that this is kept by now. What is known of the last input may be more already.
func (k *ledgerKeeper) kept(read []reader.Info) {
	k.mu.Lock()
	defer k.mu.Unlock()
	done := 0
	for done < len(read) && done < len(k.read) && read[done].File == k.read[done].File && done < len(k.read)-1 {
		done++
	}
	k.read = slices.Delete(k.read, 0, done)
}

// keepRead keeps what isn't kept yet of inputs.
func (k *ledgerKeeper) keepRead() error {
	read := k.unkept()
	if len(read) == 0 {
		return nil
	}
	err := k.ledger.Entry(k.run).Opened(read...)
	if err == nil {
		k.mu.Lock()
		k.read = nil
		k.mu.Unlock()
	}
	return err
}

func (k *ledgerKeeper) aside(rows []verdict.Verdict) error { return k.ledger.Entry(k.run).Aside(rows) }

func (k *ledgerKeeper) finish(o uploader.Outcome, claimed []string) (bool, error) {
	if !o.Noted && !slices.ContainsFunc(o.Rows, func(v verdict.Verdict) bool { return v.Status != verdict.Unsent || v.InDoubt }) {
		return true, k.aside(o.Rows) // nothing of it was sent
	}
	return true, k.ledger.Entry(k.run).Finish(ledger.Result{
		Chunk: o.Chunk.Number, Sum: o.Chunk.Sum(), Keys: o.Chunk.Keys(), Rows: o.Rows, Claimed: claimed,
	})
}

func (k *ledgerKeeper) chunk(ctx context.Context, number int) (ledger.Chunk, bool, error) {
	if !k.resumed {
		return ledger.Chunk{}, false, nil
	}
	return k.ledger.Entry(k.run).Chunk(ctx, number)
}

func (k *ledgerKeeper) named(ctx context.Context, since time.Time) uploader.Named {
	return named(ctx, k.ledger, k.run, since)
}

// namedMargin is how much earlier than a request the tasks of others are looked
// for: the clocks may differ, and a name too many does no harm.
const namedMargin = time.Hour

// named asks the ledger which tasks of a run's pool belong to rows already.
func named(ctx context.Context, l *ledger.Ledger, run ledger.Run, since time.Time) uploader.Named {
	return func(ids []string) (map[string]bool, error) {
		return l.Named(ctx, run.Server, run.Pool, since.Add(-namedMargin), ids)
	}
}

// tell makes a report agree with the ledger, which is to have what the process has
// counted.
func (k *ledgerKeeper) tell(ctx context.Context, r Report, told map[string]reader.Info) (Report, error) {
	if err := k.keepRead(); err != nil && !isTakenOver(err) {
		return r, err
	}
	if !listens(k.to) {
		return r, nil
	}
	run, err := k.ledger.Find(ctx, k.run.Name)
	if err != nil {
		return r, err
	}
	t, err := recite(ctx, k.ledger, run, k.to, told)
	if err != nil {
		return r, err
	}
	if r.State == Finished && t.totals != r.Totals {
		return r, fmt.Errorf("the ledger has other rows than the run: %+v, not %+v. This is a defect of poolfill: please report it, and check the pool before you upload again", t.totals, r.Totals)
	}
	if t.totals.Rows < r.Totals.Rows {
		// The ledger could not be written, which is what ended the run.
		return r, nil
	}
	r.takeRows(run, t)
	return r, nil
}

// incomplete is the state in the ledger of a run that read everything and left rows
// unsent, or found that the pool doesn't hold each of them once: the same command looks
// again. Its other states are those of a report.
const incomplete = "incomplete"

func (k *ledgerKeeper) end(r Report) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	state := string(r.State)
	if r.State == Finished && (r.Totals.Unsent > 0 || r.Verification.own() > 0) {
		state = incomplete
	}
	err = k.ledger.Entry(k.run).End(state, text)
	if isTakenOver(err) && isTakenOver(k.ending.cause()) {
		return nil // it is said already
	}
	return err
}

func (k *ledgerKeeper) abandon() error {
	if k.resumed {
		return nil
	}
	return k.ledger.Entry(k.run).Abandon()
}

// isTakenOver reports an error that says that another process has the run, or its
// pool, now.
func isTakenOver(err error) bool {
	var (
		run  *ledger.TakenOverError
		pool *ledger.PoolTakenError
	)
	return errors.As(err, &run) || errors.As(err, &pool)
}
