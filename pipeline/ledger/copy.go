package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// Copied counts what CopyTo has copied.
type Copied struct {
	Runs     int64 `json:"runs"`
	Files    int64 `json:"files"`
	Chunks   int64 `json:"chunks"`
	Keys     int64 `json:"chunk_keys"`
	Attempts int64 `json:"attempts"`
	Segments int64 `json:"segments"`
	Strays   int64 `json:"strays"`
}

// RunExistsError is a run that would be there twice.
type RunExistsError struct{ Name, Path string }

func (e *RunExistsError) Error() string {
	return fmt.Sprintf("the ledger %s has a run %s already, so nothing was copied: name a database without it", e.Path, e.Name)
}

// CopyTo copies all runs into another ledger, and with also what other packages
// keep in the same database: all of it as of one moment, or nothing. What is copied is
// verified. The error is a *RunExistsError where to has a run of the same name, and a
// *DamagedError where this ledger is damaged.
//
// Memory: one chunk.
func (l *Ledger) CopyTo(ctx context.Context, to *Ledger, also func(ctx context.Context, from, into *sql.Tx) error) (c Copied, err error) {
	err = l.store.look(ctx, func(v *view) error {
		c = Copied{}
		into, err := to.store.db.BeginTx(ctx, nil)
		if err != nil {
			return to.store.explain(err)
		}
		v.yielded = true // is not to be done again
		if err := copying(ctx, v, to, into, &c); err != nil {
			return errors.Join(to.store.explain(err), rollback(into))
		}
		if err := also(ctx, v.tx, into); err != nil {
			return errors.Join(err, rollback(into))
		}
		return to.store.explain(into.Commit())
	})
	if err != nil {
		return Copied{}, err
	}
	return c, nil
}

// copying copies all runs, in the order in which they began.
func copying(ctx context.Context, v *view, to *Ledger, into *sql.Tx, c *Copied) error {
	all, err := v.identities(ctx)
	if err != nil {
		return err
	}
	names, err := names(ctx, to.store.verifier, into)
	if err != nil {
		return err
	}
	for _, one := range slices.Backward(all) {
		if names[one.name] {
			return &RunExistsError{one.name, to.Path()}
		}
		from, err := v.known(ctx, one)
		if err != nil {
			return err
		}
		copied := *from
		copied.tallies = tallies{} // as the blocks are added
		run, err := to.store.verifier.enter(ctx, into, &copied)
		if err != nil {
			return err
		}
		if err := c.blocks(ctx, v, from, run); err != nil {
			return err
		}
		if err := run.save(ctx); err != nil {
			return err
		}
		c.Runs++
	}
	return nil
}

// names returns those of all runs, as they are within a transaction.
func names(ctx context.Context, r verifier, tx *sql.Tx) (map[string]bool, error) {
	all, err := (&view{verifier: r, tx: tx, damage: func(err error) error { return err }}).identities(ctx)
	names := make(map[string]bool, len(all))
	for _, one := range all {
		names[one.name] = true
	}
	return names, err
}

// blocks copies all that belongs to a run, what others refer to first.
func (c *Copied) blocks(ctx context.Context, v *view, from *runBlock, to *change) error {
	for _, one := range []struct {
		copy  func(context.Context, *view, *runBlock, *change, *int64) error
		count *int64
	}{
		{copyEach[fileBlock], &c.Files},
		{copyEach[chunkBlock], &c.Chunks},
		{copyEach[keysBlock], &c.Keys},
		{copyEach[attemptBlock], &c.Attempts},
		{copyEach[segmentBlock], &c.Segments},
		{copyEach[strayBlock], &c.Strays},
		{copyEach[reportBlock], new(int64)},
	} {
		if err := one.copy(ctx, v, from, to, one.count); err != nil {
			return err
		}
	}
	return nil
}

// copyEach copies the blocks of a kind, and counts them.
func copyEach[B any, P interface {
	*B
	ofRun
}](ctx context.Context, v *view, from *runBlock, to *change, count *int64) error {
	return each(ctx, v, from, "", func(b P) error {
		_, err := to.add(ctx, b)
		*count++
		return err
	})
}
