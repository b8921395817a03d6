package ledger

import (
	"context"
	"errors"

	"poolfill/reader/verdict"
)

// Checked is what Check has read, and what of it is damaged.
type Checked struct {
	Runs   int64
	Chunks int64
	// Rows are those of chunks, and those that are in none.
	Rows int64
	// Damage has an error for each thing that is not as it was written.
	Damage []error
}

// Check reads all that the ledger keeps of runs, and verifies it. An error says that it
// couldn't be read to its end for another reason than damage.
func (l *Ledger) Check(ctx context.Context) (Checked, error) {
	var c Checked
	note := func(err error) error {
		var damaged *DamagedError
		if errors.As(err, &damaged) {
			err = damaged.Err
		}
		c.Damage = append(c.Damage, err)
		return nil
	}
	err := l.store.lookAt(ctx, note, func(v *view) error {
		c = Checked{}
		if err := v.tell(l.store.dialect.inspect(ctx)); err != nil {
			return err
		}
		all, err := v.identities(ctx)
		if err != nil {
			return err
		}
		for _, one := range all {
			c.Runs++
			if err := v.tell(v.checkRun(ctx, one, &c)); err != nil {
				return err
			}
		}
		return nil
	})
	// What is no block can be damaged too: then the database can't be read on.
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		return c, note(damaged)
	}
	return c, err
}

// checkRun counts what is kept of a run.
func (v *view) checkRun(ctx context.Context, one identity, c *Checked) error {
	run, err := v.known(ctx, one)
	if err != nil {
		return err
	}
	var rows []verdict.Verdict
	unpack := func(blob []byte) (err error) {
		rows, err = v.unpack(nil, blob, rows)
		c.Rows += int64(len(rows))
		return v.tell(err)
	}
	return v.survey(ctx, run, func(b *chunkBlock) error {
		c.Chunks++
		return unpack(b.results)
	}, func(b *segmentBlock) error { return unpack(b.body) })
}

// survey reads all that is kept of a run. It calls chunk and segment with what has rows,
// which is valid until they return.
func (v *view) survey(ctx context.Context, run *runBlock, chunk func(*chunkBlock) error, segment func(*segmentBlock) error) error {
	for _, read := range []func() error{
		func() error { return each(ctx, v, run, "", func(*fileBlock) error { return nil }) },
		func() error { return each(ctx, v, run, "", chunk) },
		func() error { return each(ctx, v, run, "", func(*keysBlock) error { return nil }) },
		func() error { return each(ctx, v, run, "", func(*attemptBlock) error { return nil }) },
		func() error { return each(ctx, v, run, "", segment) },
		func() error { return each(ctx, v, run, "", func(*strayBlock) error { return nil }) },
		func() error { return each(ctx, v, run, "", func(*reportBlock) error { return nil }) },
	} {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}
