package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"poolfill/pipeline/ledger"
	"poolfill/uploader"
)

// guardPart is the guard of a run that is a part: it takes no row of another run
// as uploaded before. It is not GuardNone, as a part doesn't upload its file once
// more on purpose: the rows of all parts count for later runs of the file.
const guardPart Guard = "part"

// partKey is the run key of a part. It depends on nothing that two processes
// could see differently, so that both name the same operations.
func partKey(pool, part string) string { return pool + "/" + part }

// validatePart says what a part can't be combined with.
func (c Config) validatePart(name string) error {
	var errs []error
	report := func(text string) { errs = append(errs, fmt.Errorf("the run %s is a part: %s", name, text)) }
	if name == "" {
		errs = append(errs, errors.New("a part needs a name"))
	}
	if len(c.Files) != 1 || c.Files[0] == stdinName || len(c.Sources) > 0 {
		report("it has one file as its input, and not standard input")
	}
	if !c.hasLedger() {
		report("it needs a ledger")
	}
	if c.Mode == uploader.Sync {
		report("only in asynchronous mode are two processes sure to create nothing twice")
	}
	if c.RunID != "" && c.RunID != name {
		report("the run has its name")
	}
	return errors.Join(errs...)
}

// enterPart enters a part in the ledger, or goes on with it.
func (h *history) enterPart(ctx context.Context, p *past, want ledger.Run) error {
	run, found, err := h.ledger.Called(ctx, want.Name)
	if err != nil {
		return err
	}
	if !found {
		begun, failed := h.ledger.Begin(want)
		if failed == nil {
			h.settled(p, begun, false)
			return nil
		}
		// Another process may have been faster.
		if run, found, err = h.ledger.Called(ctx, want.Name); err != nil || !found {
			return errors.Join(failed, err)
		}
	}
	if err := samePart(want, run); err != nil {
		return &SetupError{err}
	}
	if run.State == string(Finished) {
		p.finished = &run
		return nil
	}
	run.Command, run.Names = want.Command, want.Names
	if run, err = h.ledger.Continue(ctx, run); err == nil {
		h.settled(p, run, true)
	}
	return err
}

// samePart says why a run can't be gone on with as the part that is wanted.
func samePart(want, run ledger.Run) error {
	switch {
	case run.Server != want.Server || run.Pool != want.Pool || run.Guard != want.Guard:
		return fmt.Errorf("another run is called %s already, which filled pool %s of %s: give the part another name", run.Name, run.Pool, run.Server)
	case run.Mode != want.Mode || !bytes.Equal(run.Settings, want.Settings):
		return fmt.Errorf("the settings of %s are not those that it began with: the mode, the size of a chunk, the project's spec or the way of reading the file have changed. Plan the job again", want.Name)
	case len(run.Files) != 1 || !identityOf(want.Files[0]).Equal(identityOf(run.Files[0])):
		return &partChangedError{want.Files[0].Path, want.Name}
	}
	return nil
}

// retell returns the report of a part that was finished before, and records it as
// if it had just been finished.
func retell(ctx context.Context, l *ledger.Ledger, run ledger.Run, to Recorder) (Report, error) {
	r, err := Rebuild(ctx, l, run, to)
	if err != nil {
		return r, err
	}
	return to.Finish(r)
}
