package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"poolfill/internal/ledger"
	"poolfill/reader/verdict"
)

// Rebuild makes the report of a run from the ledger, and hands its inputs and
// every row to to, which may be nil, in the order of the inputs. What only the
// process itself knew, such as its requests, is that of the last attempt that
// ended; a run that was killed has none.
func Rebuild(ctx context.Context, l *Ledger, run LedgerRun, to Recorder) (Report, error) {
	r := Report{
		Version: ReportVersion, Rejections: []Rejection{}, Warnings: []Warning{},
		Requests: Requests{ByStatus: map[string]int64{}}, Outputs: map[string]string{},
		Finished: run.Started.UTC(),
	}
	if len(run.Report) > 0 {
		if err := json.Unmarshal(run.Report, &r); err != nil {
			return Report{}, fmt.Errorf("the report of run %s can't be read: %w", run.Name, err)
		}
	}
	r.RunID, r.PoolID, r.Mode, r.Started = run.Name, run.Pool, run.Mode, run.Started.UTC()
	if run.State == ledger.Running {
		r.Unread = true // as far as is known
		r.State, r.Error = Interrupted, "the run was cut off, or is still going on: to go on with it, run "+run.Command
	}
	t, err := recite(ctx, l, run, to, nil)
	if err != nil {
		return Report{}, err
	}
	r.takeRows(run, t)
	return r, nil
}

// takeRows makes the rows' part of a report from the ledger.
func (r *Report) takeRows(run ledger.Run, t *tally) {
	known := map[string]File{}
	for _, f := range r.Files {
		known[f.Path] = f
	}
	files := make([]File, 0, len(run.Files))
	for _, f := range run.Files {
		info := f.Info
		if info.File == "" {
			continue // it was never opened
		}
		file := known[info.File]
		delete(known, info.File)
		file.Path, file.SHA256, file.Bytes, file.Compression = info.File, f.SHA256, info.Bytes, info.Compression
		file.Encoding, file.Delimiter, file.Totals = info.Encoding, string(rune(info.Delimiter)), *t.file(info.File)
		files = append(files, file)
	}
	for _, f := range r.Files {
		if _, left := known[f.Path]; left && f.UnchangedSince != "" {
			files = append(files, f)
		}
	}
	r.Files, r.Totals, r.Rejections = files, t.totals, t.rejections()
}

// Of the rows of a ledger, so many are recorded at a time, and so many such
// groups are in memory.
const (
	recited  = 1024
	reciting = 3
)

// recite hands what the ledger has of a run to to, which may be nil: its inputs,
// except for those that were announced before, and its rows. It counts the rows.
func recite(ctx context.Context, l *ledger.Ledger, run ledger.Run, to Recorder, announced map[string]bool) (*tally, error) {
	for _, f := range run.Files {
		if to == nil || f.Info.File == "" || announced[f.Info.File] {
			continue
		}
		if err := to.Input(f.Info); err != nil {
			return nil, err
		}
	}
	t := newTally()
	// One goroutine reads while another counts and records.
	var group errgroup.Group
	full, empty := make(chan []verdict.Verdict), make(chan []verdict.Verdict, reciting)
	for range reciting {
		empty <- make([]verdict.Verdict, recited)
	}
	group.Go(func() error {
		var err error
		for results := range full {
			for i := range results {
				t.read(results[i].Position.File, 1)
				t.add(&results[i])
			}
			if to != nil && err == nil {
				err = to.Record(results)
			}
			empty <- results
		}
		return err
	})
	group.Go(func() error {
		defer close(full)
		return l.Rows(ctx, run, func(rows []verdict.Verdict) error {
			for part := range slices.Chunk(rows, recited) {
				results := (<-empty)[:len(part)]
				copy(results, part)
				full <- results
			}
			return nil
		})
	})
	err := group.Wait()
	return t, err
}

// conclude gives the Recorder all that the ledger has of the run, and makes the
// report final: its rows are then those of the ledger.
func (p *Pipeline) conclude(ctx context.Context, r Report) (Report, error) {
	if p.cfg.Recorder == nil {
		return r, nil
	}
	if p.run != nil {
		var err error
		if r, err = p.fromLedger(context.WithoutCancel(ctx), r); err != nil {
			return r, err
		}
	}
	return p.cfg.Recorder.Finish(r)
}

// fromLedger makes a report agree with the ledger, which is to have what the
// process has seen.
func (p *Pipeline) fromLedger(ctx context.Context, r Report) (Report, error) {
	run, err := p.cfg.Ledger.Find(ctx, p.run.Name)
	if err != nil {
		return r, err
	}
	announced := make(map[string]bool, len(p.infos))
	for path := range p.infos {
		announced[path] = true
	}
	t, err := recite(ctx, p.cfg.Ledger, run, p.cfg.Recorder, announced)
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
