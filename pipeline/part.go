package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"poolfill/internal/ledger"
	"poolfill/uploader"
)

// ErrPartChanged stands for the error of a part whose file is not what it was
// when the part began. No further attempt finishes it, unless that file comes back
// before rows of the other one are uploaded.
var ErrPartChanged = errors.New("the file is not what it was when the part began")

// guardPart is the guard of a run that is a part: it takes no row of another run
// as uploaded before. It is not GuardNone, as a part doesn't upload its file once
// more on purpose: the rows of all parts count for later runs of the file.
const guardPart Guard = "part"

// partKey is the run key of a part. It depends on nothing that two processes
// could see differently, so that both name the same operations.
func partKey(pool, part string) string { return pool + "/" + part }

// validatePart says what a part can't be combined with.
func (c Config) validatePart() error {
	var errs []error
	report := func(text string) { errs = append(errs, fmt.Errorf("the run %s is a part: %s", c.Part, text)) }
	if len(c.Files) != 1 || c.Files[0] == stdinName || len(c.Sources) > 0 {
		report("it has one file as its input, and not standard input")
	}
	if c.Check || c.Ledger == nil && c.OpenLedger == nil {
		report("it needs a ledger, and is no check")
	}
	if c.Mode == uploader.Sync {
		report("only in asynchronous mode are two processes sure to create nothing twice")
	}
	if c.Guard != "" && c.Guard != GuardNone {
		report("it looks at no rows that were uploaded before")
	}
	if c.RunKey != "" {
		report("its run key follows from its name")
	}
	return errors.Join(errs...)
}

// enterPart enters a part in the ledger, or goes on with it. It reports whether
// there is anything to do; p.run is the run even where there is nothing.
func (p *Pipeline) enterPart(ctx context.Context, want ledger.Run) (bool, error) {
	want.Key = p.cfg.RunKey
	run, found, err := p.cfg.Ledger.Called(ctx, want.Name)
	if err != nil {
		return false, err
	}
	if !found {
		begun, failed := p.cfg.Ledger.Begin(want)
		if failed == nil {
			p.run = &begun
			return true, nil
		}
		// Another process may have been faster.
		if run, found, err = p.cfg.Ledger.Called(ctx, want.Name); err != nil || !found {
			return false, errors.Join(failed, err)
		}
	}
	if err := samePart(want, run); err != nil {
		return false, &SetupError{err}
	}
	p.resumed = true
	if run.State != string(Finished) {
		run.Command, run.Names = want.Command, want.Names
		if run, err = p.cfg.Ledger.Continue(run); err != nil {
			return false, err
		}
	}
	p.run = &run
	return run.State != string(Finished), nil
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

// partChangedError says which file it is.
type partChangedError struct{ path, part string }

func (e *partChangedError) Is(target error) bool { return target == ErrPartChanged }

func (e *partChangedError) Error() string {
	return fmt.Sprintf("the file %s is not what it was when %s began: plan the job again", e.path, e.part)
}

// retell gives the report of a part that was finished before, and records it as
// if it had just been finished.
func (p *Pipeline) retell(ctx context.Context) (Report, error) {
	r, err := Rebuild(ctx, p.cfg.Ledger, *p.run, p.cfg.Recorder)
	if err != nil || p.cfg.Recorder == nil {
		return r, err
	}
	return p.cfg.Recorder.Finish(r)
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
