package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"iter"
	"slices"
	"time"

	"poolfill/batcher"
	"poolfill/internal/ledger"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
)

// announce tells of an input before its first row.
func (p *Pipeline) announce(info reader.Info) error {
	if p.run != nil {
		if err := p.cfg.Ledger.Opened(p.run.ID, p.numbers[info.File], info); err != nil {
			return err
		}
	}
	if p.cfg.Recorder == nil {
		return nil
	}
	return p.cfg.Recorder.Input(info)
}

// Sending is part of uploader.Journal.
func (p *Pipeline) Sending(_ context.Context, a uploader.Attempt) error {
	rows := func(yield func(*ledger.Row) bool) {
		numbered := p.numberer()
		row := ledger.Row{Status: ledger.InDoubt}
		for i := range a.Chunk.Len() {
			if numbered(&row, a.Chunk.Position(i)); !yield(&row) {
				return
			}
		}
	}
	err := p.cfg.Ledger.Sending(*p.run, ledger.Attempt{
		Chunk: a.Chunk.Number, Sum: a.Chunk.Sum(), Keys: a.Chunk.Keys(), Rows: rows,
		Operation: a.Operation, Generation: a.Generation, Tasks: len(a.Rows), Sent: a.At,
	})
	if isTakenOver(err) {
		return p.fail(err) // which says why better than that nothing was sent
	}
	return err
}

// numberer gives a function that puts a position into a ledger's row. Rows of
// one file come together: it looks each up once.
func (p *Pipeline) numberer() func(*ledger.Row, verdict.Position) {
	path, number := "", -1
	return func(row *ledger.Row, at verdict.Position) {
		if number < 0 || at.File != path {
			path, number = at.File, p.numbers[at.File]
		}
		row.File, row.Line, row.Record = number, at.Line, at.Record
	}
}

// prior gives what the ledger knows of a chunk that an earlier attempt may have
// sent. claimed are the ids of the strays that rows of it are given.
func (p *Pipeline) prior(ctx context.Context, c *batcher.Chunk) (prior uploader.Prior, claimed []string, err error) {
	if p.run == nil {
		return prior, nil, nil
	}
	since := time.Now()
	if p.resumed {
		before, found, err := p.cfg.Ledger.Chunk(ctx, p.run.ID, c.Number)
		if err != nil {
			return prior, nil, err
		}
		if found {
			prior.Operations, prior.Since = before.Operations, before.Sent
			if before.Ended {
				prior.Rows = priorRows(before.Rows)
			}
			if !prior.Since.IsZero() {
				since = prior.Since
			}
		}
		if claimed, err = p.claimStrays(c, &prior); err != nil {
			return prior, nil, err
		}
	}
	prior.Named = p.named(ctx, since)
	return prior, claimed, nil
}

// priorRows translates what became of rows.
func priorRows(rows []ledger.Row) []verdict.Verdict {
	out := make([]verdict.Verdict, len(rows))
	for i := range rows {
		switch r := &rows[i]; r.Status {
		case ledger.Created:
			out[i] = verdict.Verdict{Status: verdict.Created, TaskID: r.TaskID, Reason: r.Reason}
		case ledger.Rejected:
			out[i] = verdict.Verdict{Status: verdict.Rejected}
			for _, f := range r.Findings {
				out[i].Findings = append(out[i].Findings, verdict.Finding{Path: f.Field, Code: f.Code, Message: f.Message})
			}
		case ledger.InDoubt:
			out[i].InDoubt = true
		}
	}
	return out
}

// claimStrays gives rows of a chunk the tasks that this run has created for
// some row, it is not known which.
func (p *Pipeline) claimStrays(c *batcher.Chunk, prior *uploader.Prior) (claimed []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.strays.entries) == 0 {
		return nil, nil
	}
	if len(prior.Rows) == 0 {
		prior.Rows = make([]verdict.Verdict, c.Len())
	}
	for i := range prior.Rows {
		if prior.Rows[i].Status != verdict.Unsent {
			continue
		}
		if id, ok := p.strays.claim(c.Keys()[i]); ok {
			prior.Rows[i] = verdict.Verdict{Status: verdict.Created, TaskID: id}
			claimed = append(claimed, id)
		}
	}
	return claimed, nil
}

// keep commits what came of a chunk.
func (p *Pipeline) keep(o uploader.Outcome, rows results, claimed []string) error {
	if p.run == nil {
		return nil
	}
	if !o.Noted && !slices.ContainsFunc(o.Rows, func(r verdict.Verdict) bool { return r.Status != verdict.Unsent || r.InDoubt }) {
		return p.keepAside(rows) // nothing of it was sent
	}
	return p.cfg.Ledger.Finish(*p.run, ledger.Result{
		Chunk: o.Chunk.Number, Sum: o.Chunk.Sum(), Keys: o.Chunk.Keys(), Rows: p.rowsOf(rows), Claimed: claimed,
	})
}

// keepAside commits rows that are in no chunk.
func (p *Pipeline) keepAside(rows results) error {
	if p.run == nil {
		return nil
	}
	return p.cfg.Ledger.Aside(*p.run, p.rowsOf(rows))
}

// keepDiscarded commits the rows of a chunk that is not sent any more, unless
// an earlier attempt of the run knows better. It gives what is known of them.
func (p *Pipeline) keepDiscarded(ctx context.Context, c *batcher.Chunk, rows results) (results, error) {
	if p.run == nil {
		return rows, nil
	}
	if !p.resumed {
		return rows, p.keepAside(rows)
	}
	before, found, err := p.cfg.Ledger.Chunk(context.WithoutCancel(ctx), p.run.ID, c.Number)
	if err != nil || !found {
		return rows, errors.Join(err, p.keepAside(rows))
	}
	return func(yield func(*Result) bool) {
		i := 0
		for r := range rows {
			// By its key, as a chunk that is cut short may also have changed.
			if before.Ended && i < len(before.Rows) && before.Keys[i] == c.Keys()[i] {
				*r = p.resultOf(&before.Rows[i])
			}
			if i++; !yield(r) {
				return
			}
		}
	}, nil
}

// replay takes what came of a chunk from the ledger, where an earlier attempt
// has finished it.
func (p *Pipeline) replay(ctx context.Context, c *batcher.Chunk) (bool, error) {
	before, found, err := p.cfg.Ledger.Chunk(context.WithoutCancel(ctx), p.run.ID, c.Number)
	switch {
	case err != nil:
		return false, err
	case !found:
		return false, nil
	case before.Sum != c.Sum():
		if p.stopped() {
			return false, nil // cut short by the end of the run
		}
		// What the ledger has under this number is of other rows.
		changed := errChanged
		if p.cfg.Part != "" {
			changed = &partChangedError{p.inputs[0], p.cfg.Part}
		}
		return true, errors.Join(p.fail(changed), p.record(alike(c, Unsent, "the input changed under the run")))
	case !before.Finished:
		return false, nil
	}
	created := int64(0)
	rows := func(yield func(*Result) bool) {
		for i := range before.Rows {
			r := p.resultOf(&before.Rows[i])
			if !yield(&r) {
				return
			}
		}
	}
	for r := range rows {
		if r.Status == Created {
			created++
		}
	}
	p.mu.Lock()
	p.earlier += created
	p.mu.Unlock()
	err = p.record(rows)
	p.batcher.Recycle(c)
	return true, err
}

// rowsOf gives results as the ledger has them.
func (p *Pipeline) rowsOf(rows results) iter.Seq[*ledger.Row] {
	return func(yield func(*ledger.Row) bool) {
		numbered := p.numberer()
		var row ledger.Row
		for r := range rows {
			numbered(&row, r.Position)
			row.Status, row.TaskID, row.Reason, row.Findings, row.Raw = statusInLedger(r), r.TaskID, r.Reason, r.Findings, r.Raw
			if !yield(&row) {
				return
			}
		}
	}
}

// resultOf is the way back of rowsOf.
func (p *Pipeline) resultOf(row *ledger.Row) Result {
	path := ""
	if row.File < len(p.inputs) {
		path = p.inputs[row.File]
	}
	var r Result
	r.take(path, row)
	return r
}

// take makes r a row of the ledger; path is the row's file.
func (r *Result) take(path string, row *ledger.Row) {
	// Field by field, which costs half of a copy of all of them.
	r.Position.File, r.Position.Line, r.Position.Record, r.Position.Offset = path, row.Line, row.Record, 0
	r.TaskID, r.Reason, r.Findings, r.Raw, r.inDoubt = row.TaskID, row.Reason, row.Findings, row.Raw, false
	switch row.Status {
	case ledger.Created:
		r.Status = Created
	case ledger.Rejected:
		r.Status = Rejected
	case ledger.Duplicate:
		r.Status = Duplicate
	default:
		r.Status = Unsent
	}
}

func statusInLedger(r *Result) ledger.Status {
	switch {
	case r.Status == Created:
		return ledger.Created
	case r.Status == Rejected:
		return ledger.Rejected
	case r.Status == Duplicate:
		return ledger.Duplicate
	case r.inDoubt:
		return ledger.InDoubt
	}
	return ledger.Unsent
}

// close keeps how the run ended.
func (p *Pipeline) close(r Report) error {
	if p.run == nil {
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	state := string(r.State)
	if r.State == Finished && r.Totals.Unsent > 0 {
		state = incomplete
	}
	err = p.cfg.Ledger.End(*p.run, state, text)
	if isTakenOver(err) && isTakenOver(p.cause()) {
		return nil // it is said already
	}
	return err
}

// abandon forgets a run that has sent nothing.
func (p *Pipeline) abandon() error {
	if p.run == nil || p.resumed {
		return nil
	}
	return p.cfg.Ledger.Abandon(*p.run)
}

// cause is why the run ends early; nil where the user ended it.
func (p *Pipeline) cause() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// untouched lists the files that were not read again.
func (p *Pipeline) untouched() []File {
	var files []File
	for i, path := range p.inputs {
		if since := p.unchanged[i]; since != "" {
			files = append(files, File{Path: path, UnchangedSince: since})
		}
	}
	return files
}

// CodeChanged marks a file that changed while it was read.
const CodeChanged = "CHANGED_WHILE_READ"

// watchChange warns of a file that is no longer what it was at the beginning. For
// a part it is an error: its range of rows means those of that file only. Such a
// part is not finished, so that its next attempt looks at each chunk.
func (p *Pipeline) watchChange(ctx context.Context, name string) error {
	i := p.numbers[name]
	if i >= len(p.cfg.Files) || name == stdinName || p.stopped() {
		return nil
	}
	was := identityOf(p.run.Files[i])
	if !was.Known() {
		return nil
	}
	w := reader.Warning{Code: CodeChanged, Count: 1}
	switch now, err := reader.Identify(ctx, p.cfg.Files[i]); {
	case p.stopped():
		return nil
	case p.cfg.Part != "" && err != nil:
		return err
	case p.cfg.Part != "" && !now.Equal(was):
		return &partChangedError{name, p.cfg.Part}
	case errors.Is(err, fs.ErrNotExist):
		w.Message = "the file vanished while it was read; what was read of it is uploaded (" + err.Error() + ")"
	case err != nil:
		w.Message = "it is not known whether the file changed while it was read; what was read of it is uploaded (" + err.Error() + ")"
	case !now.Equal(was):
		w.Message = "the file changed while it was read: run the same command again to upload what is new in it"
	default:
		return nil
	}
	p.warn(name, w)
	return nil
}
