package pipeline

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/reader/verdict"
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
	p = &past{keeper: memoryKeeper{h.set.Recorder}, unchanged: make(map[int]string), present: make(map[int][]*former)}
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
	same, err := h.compare(want, runs)
	if err != nil {
		return p, err
	}
	plan := decide(want, runs, same)
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
		p.retry = run.State != ledger.Running
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
	return p, h.consult(ctx, p, plan, run, same)
}

// compare finds the earlier files with the bytes of this run's. Where everything is
// uploaded once more on purpose, there is nothing to compare.
func (h *history) compare(want ledger.Run, runs []ledger.Run) (sameBytes, error) {
	if h.set.guard == GuardNone {
		return nil, nil //nolint:nilnil // none is the same
	}
	same, err := compareBytes(h.set.Files, want.Files, runs)
	if err != nil {
		return nil, &SetupError{err}
	}
	return same, nil
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
func (h *history) consult(ctx context.Context, p *past, plan plan, run ledger.Run, same sameBytes) error {
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
	memory := learning{ledger: h.ledger, guard: h.set.guard, run: run, byPath: map[string]int{}, past: p, taken: map[string]bool{}}
	for i, f := range run.Files {
		memory.byPath[f.Path] = i
	}
	for _, r := range plan.history {
		for i, f := range r.Files {
			_, here := memory.byPath[f.Path]
			_, alike := same[r.ID][i]
			memory.edited = memory.edited || (h.set.guard == GuardLedger || here) && !alike
		}
	}
	for _, r := range plan.history {
		if err := memory.learn(ctx, r, same[r.ID]); err != nil {
			return err
		}
	}
	p.guard.sort()
	p.guard.across = len(h.set.names) > 1 && (h.set.guard == GuardLedger || h.set.guard == GuardPool)
	return nil
}

// learning takes what earlier runs have created into a past, the latest run first.
type learning struct {
	ledger *ledger.Ledger
	guard  Guard
	run    ledger.Run
	byPath map[string]int // its files
	past   *past
	// taken are the tasks of rows that a later run has found created. They are gathered
	// only where the tasks of other bytes count, edited.
	taken  map[string]bool
	edited bool
}

// learn takes a run, of which these files have the bytes of one of this run's.
func (l *learning) learn(ctx context.Context, r ledger.Run, same map[int]int) error {
	if err := l.learnPlaces(ctx, r, same); err != nil {
		return err
	}
	if l.guard == GuardPool {
		return nil // whose list has all tasks
	}
	ours := make(map[string]bool, len(r.Files))
	edited := false
	for i, f := range r.Files {
		_, here := l.byPath[f.Path]
		_, same := same[i]
		ours[r.Names[i]] = (l.guard == GuardLedger || here) && !same
		edited = edited || ours[r.Names[i]]
	}
	if edited {
		err := l.ledger.Tasks(ctx, r, func(t ledger.Task) error {
			if ours[t.File] && (t.ID == "" || !l.taken[t.ID]) {
				l.past.guard.add(t.Key, t.ID)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return l.ledger.Strays(ctx, r.ID, l.past.guard.take)
}

// learnPlaces takes the rows of the files with the same bytes, by where they stand.
func (l *learning) learnPlaces(ctx context.Context, r ledger.Run, same map[int]int) error {
	if len(same) == 0 {
		return nil
	}
	chunks, err := l.ledger.Places(ctx, r)
	if err != nil {
		return err
	}
	byName := make(map[string]*former, len(same))
	for file, number := range same {
		e := &former{
			ledger: l.ledger, run: r, file: file, alike: readAlike(l.run, r), chunks: chunksOf(chunks, file),
			grown: r.Files[file].Info.Bytes < l.run.Files[number].Size,
		}
		byName[r.Names[file]] = e
		l.past.present[number] = append(l.past.present[number], e)
	}
	err = l.ledger.Rows(ctx, r, func(rows []verdict.Verdict) error {
		for i := range rows {
			if e := byName[rows[i].Position.File]; e != nil {
				e.add(&rows[i])
			}
			switch {
			case rows[i].Status != verdict.Duplicate || !l.edited:
			case rows[i].TaskID == "":
				l.past.nameless = true
			default:
				l.taken[rows[i].TaskID] = true
			}
		}
		return nil
	})
	for _, e := range byName {
		until := e.last.Line + 1
		if end := r.Files[e.file].Info.End; end.Record == e.last.Record+1 {
			until = end.Line
		}
		e.end(until)
	}
	return err
}

// chunksOf returns those of a run's chunks that may have rows of a file.
func chunksOf(all []ledger.Place, file int) []ledger.Place {
	from, _ := slices.BinarySearchFunc(all, file, func(p ledger.Place, file int) int { return cmp.Compare(p.File, file) })
	until, _ := slices.BinarySearchFunc(all, file+1, func(p ledger.Place, file int) int { return cmp.Compare(p.File, file) })
	return all[max(0, from-1):until]
}
