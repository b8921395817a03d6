package pipeline

import (
	"cmp"
	"context"
	"errors"
	"time"

	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// history finds out what earlier runs did, and so which one this run is: it goes on
// with one of them, or begins another. It is used once.
type history struct {
	set    *settings
	ledger *ledger.Ledger
	// server is asked what became of requests of earlier runs.
	server *uploader.Uploader
	ending *ending
	// searched says that the pool was searched for what earlier requests created.
	searched bool
}

// enter finds out which run this is and enters it in the ledger. Where that fails,
// the ledger is as it was.
func (h *history) enter(ctx context.Context, reading reader.Config) (p *past, err error) {
	p = &past{keeper: memoryKeeper{h.set.Recorder}, unchanged: make(map[int]string)}
	defer func() {
		if err != nil {
			var damaged *ledger.DamagedError
			switch {
			case h.ending.byUser():
				err = ErrInterrupted
			case errors.As(err, &damaged):
				err = &SetupError{err} // nothing is sent by it
			}
			err = errors.Join(err, p.keeper.abandon())
		}
	}()
	want, err := h.want(ctx, reading)
	if err != nil {
		return p, err
	}
	for _, f := range want.Files {
		p.identities = append(p.identities, identityOf(f))
	}
	if h.set.part != "" {
		return p, h.enterPart(ctx, p, want)
	}
	runs, err := h.ledger.Runs(ctx, want.Server, want.Pool)
	if err != nil {
		return p, err
	}
	plan := decide(want, runs)
	if err := h.skipUnchanged(p, plan, want.Files); err != nil {
		return p, err
	}
	if p.idle() {
		p.name, p.begun = want.Name, time.Now()
		return p, nil
	}
	run := want
	if plan.resume != nil {
		run = *plan.resume
		run.Command, run.Names = want.Command, want.Names
		run, err = h.ledger.Continue(ctx, run)
	} else {
		if h.set.guard == GuardNone {
			run.Key += "/" + run.Name
		}
		run, err = h.ledger.Begin(run)
	}
	if err != nil {
		return p, err
	}
	h.settled(p, run, plan.resume != nil)
	if p.sent, err = h.ledger.Sums(ctx, run); err != nil {
		return p, err
	}
	return p, h.consult(ctx, p, plan, run)
}

// want returns the run that the command asks for.
func (h *history) want(ctx context.Context, reading reader.Config) (want ledger.Run, err error) {
	files, err := identify(ctx, h.set.Files)
	if err != nil {
		return want, &SetupError{err}
	}
	for _, s := range h.set.Sources {
		files = append(files, ledger.File{Path: s.Name})
	}
	want = ledger.Run{
		Name: h.set.RunID, Server: h.set.API.BaseURL, Pool: h.set.PoolID, Mode: string(h.set.Mode), Key: h.set.firstKey(),
		Guard: string(h.set.guard), Command: h.set.Command, Files: files, Names: h.set.names,
	}
	want.Settings, err = settingsOf(h.set, reading)
	return want, err
}

// settled notes which run this is.
func (h *history) settled(p *past, run ledger.Run, resumed bool) {
	p.keeper = &ledgerKeeper{ledger: h.ledger, run: run, resumed: resumed, to: h.set.Recorder, ending: h.ending}
	p.name, p.key, p.begun = run.Name, run.Key, run.Started
	p.identities = nil
	for _, f := range run.Files {
		p.identities = append(p.identities, identityOf(f))
	}
}

// skipUnchanged finds the files that a finished run has uploaded as they are.
func (h *history) skipUnchanged(p *past, plan plan, files []ledger.File) error {
	for i, path := range h.set.Files {
		runs := plan.same[i]
		if len(runs) == 0 {
			continue
		}
		if plan.sure[i] { // as a URL always is
			p.unchanged[i] = runs[0].Name
			continue
		}
		sum, err := contentOf(path)
		if err != nil {
			return &SetupError{err}
		}
		for _, r := range runs {
			for _, old := range r.Files {
				if old.SHA256 == sum && old.Size == files[i].Size {
					p.unchanged[i] = cmp.Or(p.unchanged[i], r.Name)
				}
			}
		}
	}
	return nil
}

// consult settles what is in doubt, and learns which rows not to send.
func (h *history) consult(ctx context.Context, p *past, plan plan, run ledger.Run) error {
	for _, r := range plan.unsettled {
		if err := h.settle(ctx, r); err != nil {
			return err
		}
	}
	if plan.resume != nil && h.set.Mode == uploader.Sync {
		if err := h.settle(ctx, run); err != nil {
			return err
		}
		if err := h.ledger.Strays(ctx, run.ID, p.strays.known.take); err != nil {
			return err
		}
		p.strays.known.sort()
	}
	if h.searched || plan.resume != nil {
		p.again.suspect()
	}
	if h.set.guard == GuardPool {
		err := h.server.Tasks(ctx, func(t toloka.Task) error {
			p.guard.add(t.Key, t.ID)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, r := range plan.history {
		if err := h.learn(ctx, &p.guard, run, r); err != nil {
			return err
		}
	}
	p.guard.sort()
	return nil
}

// learn takes the tasks of an earlier run into the guard: with GuardFile only
// those of the files of this run.
func (h *history) learn(ctx context.Context, guard *known, this, r ledger.Run) error {
	ours := make(map[string]bool, len(r.Files))
	for i, f := range r.Files {
		one := ledger.Run{Files: []ledger.File{f}}
		ours[r.Names[i]] = h.set.guard == GuardLedger || sharesFile(this, one)
	}
	err := h.ledger.Tasks(ctx, r, func(t ledger.Task) error {
		if ours[t.File] {
			guard.add(t.Key, t.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return h.ledger.Strays(ctx, r.ID, guard.take)
}
