package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"poolfill/batcher"
	"poolfill/pipeline/ledger"
	"poolfill/ratelimit"
	"poolfill/reader/verdict"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// VerifyMode says when a run looks, at its end, at what the pool has become.
type VerifyMode string

// The modes of verification.
const (
	// VerifyAuto verifies a run that may have sent a row twice: a synchronous one that
	// sent something again, or that goes on with one which was broken off.
	VerifyAuto VerifyMode = "auto"
	// VerifyAlways verifies each run. It needs a ledger.
	VerifyAlways VerifyMode = "always"
	// VerifyNever verifies none.
	VerifyNever VerifyMode = "never"
)

// Verification is what Verify finds: the counts of its tasks, rows and differences, and
// the first of these.
type Verification struct {
	// RunID is the run whose rows were accounted for; empty where they are of files.
	RunID  string `json:"run_id,omitempty"`
	PoolID string `json:"pool_id"`
	Accounts
	// Rejected counts rows of files that can be no tasks, and have none.
	Rejected int64 `json:"rejected,omitempty"`
	// Differences are at most MaxDifferences.
	Differences []Difference `json:"differences"`
}

// MaxDifferences is the most differences that a Verification holds.
const MaxDifferences = 1000

// Well reports whether each row has its task, and each task its row.
func (v Verification) Well() bool { return v.Accounts.Differences() == 0 && v.InDoubt == 0 }

// own is Own of a verification that there may be.
func (v *Verification) own() int64 {
	if v == nil {
		return 0
	}
	return v.Own()
}

// Verifying says what Verify looks at.
type Verifying struct {
	// Rows are those that are to be accounted for: RowsOfRun or RowsOfFiles.
	Rows Rows
	// API says how the server is reached.
	API toloka.Config
	// Tell gets every difference, the ones beyond MaxDifferences too. An error of it ends
	// the verification. nil is told nothing.
	Tell func(Difference) error
}

// Rows are rows that are to have tasks in a pool: RowsOfRun or RowsOfFiles.
type Rows interface {
	pool() string
	// claims returns the claims on the tasks of the pool, and fills in what it knows of
	// the rows.
	claims(ctx context.Context, api toloka.Config, v *Verification) (claims, error)
}

// RowsOfRun are the rows that a run has created. Tasks that other runs of the ledger have
// created in the same pool are accounted for, too.
type RowsOfRun struct {
	Ledger *ledger.Ledger
	Run    ledger.Run
}

// RowsOfFiles are all valid rows of inputs. They are read once more where a task is
// not theirs, so that standard input can't be one of them.
type RowsOfFiles struct {
	Input
	PoolID string
	// Limits hold for the questions that reading needs.
	Limits ratelimit.Config
}

// Verify lists the pool of some rows once, and accounts for each of its tasks: which rows
// have no task, which tasks are no row's, are one too many for the rows that are equal to
// them, or have other content than their row. Two tasks are equal where all that they
// were sent with is.
//
// Nobody may upload to the pool meanwhile. A difference is no error.
//
// Memory: for each task of the pool 32 bytes and its id, for each row one bit, and a
// chunk of rows.
func Verify(ctx context.Context, cfg Verifying) (Verification, error) {
	client, err := toloka.NewClient(cfg.API)
	if err != nil {
		return Verification{}, err
	}
	defer client.Close()
	pool, err := client.Pool(ctx, cfg.Rows.pool())
	if err != nil {
		return Verification{}, setupUnlessPassing(err)
	}
	return verify(ctx, client, pool, cfg)
}

// verify is Verify by means of a client, whose configuration is that of cfg.
func verify(ctx context.Context, client *toloka.Client, pool toloka.Pool, cfg Verifying) (Verification, error) {
	v := Verification{PoolID: cfg.Rows.pool(), Differences: []Difference{}}
	all, err := cfg.Rows.claims(ctx, cfg.API, &v)
	if err != nil {
		return v, err
	}
	var a accounts
	for t, err := range client.List(ctx, toloka.Tasks().WithOverlap(pool.Defaults.OverlapForNewTasks), pool.ID, toloka.From{}, "") {
		if err != nil {
			return v, err
		}
		a.add(t.Key, t.ID)
	}
	a.arrange()
	v.Accounts, err = a.settle(all, func(d Difference) error {
		if len(v.Differences) < MaxDifferences {
			v.Differences = append(v.Differences, d)
		}
		if cfg.Tell == nil {
			return nil
		}
		return cfg.Tell(d)
	})
	return v, err
}

func (r RowsOfRun) pool() string { return r.Run.Pool }

// claims are first those of other runs, then those of the run, so that where equal rows
// are more than tasks, it is the run's that has none.
func (r RowsOfRun) claims(ctx context.Context, _ toloka.Config, v *Verification) (claims, error) {
	v.RunID = r.Run.Name
	runs, err := r.Ledger.Runs(ctx, r.Run.Server, r.Run.Pool)
	if err != nil {
		return nil, err
	}
	runs = append(slices.DeleteFunc(runs, func(one ledger.Run) bool { return one.ID == r.Run.ID }), r.Run)
	return func(yield func(claim) error) error {
		for _, of := range []func(context.Context, ledger.Run, func(claim) error) error{r.created, r.known, r.inDoubt} {
			for _, run := range runs {
				if err := of(ctx, run, yield); err != nil {
					return err
				}
			}
		}
		return nil
	}, nil
}

// created yields the rows of a run that were created.
func (r RowsOfRun) created(ctx context.Context, run ledger.Run, yield func(claim) error) error {
	ours := run.ID == r.Run.ID
	return r.Ledger.Tasks(ctx, run, func(t ledger.Task) error {
		return yield(claim{kind: createdRow, ours: ours, key: t.Key, id: t.ID, row: verdict.Position{File: t.File, Line: t.Line, Record: t.Record}})
	})
}

// known yields tasks of which the ledger has the ids alone: strays of a run that isn't
// finished, as they are tasks of rows that have no end yet, and those that were in the
// pool when a run that is guarded by it began.
func (r RowsOfRun) known(ctx context.Context, run ledger.Run, yield func(claim) error) error {
	if run.State != string(Finished) {
		err := r.Ledger.Strays(ctx, run.ID, func(s ledger.Stray) error { return yield(claim{kind: knownID, id: s.TaskID}) })
		if err != nil {
			return err
		}
	}
	if run.Guard != string(GuardPool) {
		return nil
	}
	return r.Ledger.Rows(ctx, run, func(rows []verdict.Verdict) error {
		for i := range rows {
			if rows[i].Status != verdict.Duplicate || rows[i].TaskID == "" {
				continue
			}
			if err := yield(claim{kind: knownID, id: rows[i].TaskID}); err != nil {
				return err
			}
		}
		return nil
	})
}

// inDoubt yields the rows of a run of which it is not known whether they were created.
func (r RowsOfRun) inDoubt(ctx context.Context, run ledger.Run, yield func(claim) error) error {
	doubts, err := r.Ledger.Doubts(ctx, run.ID)
	if err != nil {
		return err
	}
	last := -1
	for _, d := range doubts {
		if d.Chunk == last { // several attempts at it
			continue
		}
		last = d.Chunk
		c, _, err := r.Ledger.Entry(run).Chunk(ctx, d.Chunk)
		if err != nil {
			return err
		}
		for i := range min(len(c.Rows), len(c.Keys)) {
			if v := &c.Rows[i]; v.Status != verdict.Unsent || !v.InDoubt {
				continue
			}
			if err := yield(claim{kind: doubtfulRow, ours: run.ID == r.Run.ID, key: c.Keys[i], row: c.Rows[i].Position}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r RowsOfFiles) pool() string { return r.PoolID }

// claims are those of the rows that an upload would send, were there no other run.
func (r RowsOfFiles) claims(ctx context.Context, api toloka.Config, v *Verification) (claims, error) {
	for _, file := range r.Files {
		if file == stdinName {
			return nil, errors.New("rows are read more than once where the pool differs: write standard input to a file first")
		}
	}
	return func(yield func(claim) error) error {
		var failed error
		var p *Pipeline
		p, err := New(Config{
			Input: r.Input, Target: Target{PoolID: r.PoolID, API: api, Limits: r.Limits},
			Job: Check{Chunks: func(c *batcher.Chunk) {
				for i, key := range c.Keys() {
					if failed == nil {
						failed = yield(claim{kind: createdRow, ours: true, key: key, row: c.Position(i)})
					}
				}
				if failed != nil {
					p.Stop()
				}
			}},
		})
		if err != nil {
			return &SetupError{err}
		}
		report, err := p.Run(ctx)
		v.Rejected = report.Totals.Rejected
		switch {
		case failed != nil:
			return failed
		case err == nil && report.State == Interrupted:
			return ErrInterrupted
		}
		return err
	}, nil
}

// repeats note whether rows may have been sent that had tasks already. They are safe for
// concurrent use.
type repeats struct {
	mu       sync.Mutex
	possible bool
	last     time.Time // that rows were sent again; zero where that was an earlier attempt
}

// suspect notes that an earlier attempt was broken off, or left something in doubt.
func (r *repeats) suspect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.possible = true
}

// sent notes a chunk that was sent, where rows of it may have had tasks.
func (r *repeats) sent(o uploader.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.Attempts > 0 && (o.Resent || r.possible) {
		r.possible, r.last = true, time.Now()
	}
}

func (r *repeats) noted() (possible bool, last time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.possible, r.last
}

// DefaultVerifyAfter is how long after something was sent again a run is verified.
const DefaultVerifyAfter = 10 * time.Second

// auditor verifies a run at its end.
type auditor struct {
	set    *settings
	client *toloka.Client
	pool   toloka.Pool
	ledger *ledger.Ledger
	past   *past
	books  *books
}

// due reports whether the run is to be verified, and when.
func (a *auditor) due() (at time.Time, due bool) {
	possible, at := a.past.again.noted()
	at = at.Add(a.set.VerifyAfter) // where nothing was sent again, that is long ago
	switch {
	case a.ledger == nil || a.set.Verify == VerifyNever:
		return at, false
	case a.set.Verify == VerifyAlways:
		return at, true
	}
	return at, possible && a.set.Mode == uploader.Sync
}

// run verifies the run at a time. What was sent again may yet turn up from the first
// time, and is waited for.
func (a *auditor) run(ctx context.Context, at time.Time) (Verification, error) {
	select {
	case <-ctx.Done():
		return Verification{}, ctx.Err()
	case <-time.After(time.Until(at)):
	}
	run, _, err := a.ledger.Called(ctx, a.past.name)
	if err != nil {
		return Verification{}, notVerified(err)
	}
	if a.books.totals().Unsent == 0 {
		run.State = string(Finished) // as it will be: each of its rows has its end
	}
	v, err := verify(ctx, a.client, a.pool, Verifying{Rows: RowsOfRun{a.ledger, run}})
	if err != nil {
		return v, notVerified(err)
	}
	a.set.Log.Info("the pool was verified", zap.Int64("tasks", v.Tasks), zap.Int64("rows", v.Rows), zap.Int64("differences", v.Accounts.Differences()))
	return v, nil
}

func notVerified(err error) error {
	return fmt.Errorf("every row is accounted for, but it was not verified that the pool holds each once: %w", err)
}
