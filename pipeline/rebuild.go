package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// Rebuild makes the report of a run from the ledger, and hands its inputs and
// every row to a Recorder, which may be nil, in the order of the inputs. What only the
// process itself knew, such as its requests, is that of the last attempt that
// ended; a run that was killed has none.
func Rebuild(ctx context.Context, l *ledger.Ledger, run ledger.Run, to Recorder) (Report, error) {
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
	if to == nil {
		to = nobody{}
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
		delete(known, info.File)
		file := fileOf(info, info.Bytes)
		file.SHA256 = f.SHA256
		file.Totals = *t.file(info.File)
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

// recite tells a Recorder what the ledger has of a run: its inputs, except for those
// that it was told of before, and its rows. It counts the rows.
func recite(ctx context.Context, l *ledger.Ledger, run ledger.Run, to Recorder, told map[string]reader.Info) (*tally, error) {
	for _, f := range run.Files {
		if _, known := told[f.Info.File]; known || f.Info.File == "" {
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
			if err == nil {
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
