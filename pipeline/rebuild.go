package pipeline

import (
	"context"
	"encoding/json"
	"fmt"

	"poolfill/internal/ledger"
)

// Rebuild makes the report of a run from the ledger, and hands every row to to,
// which may be nil. What only the process itself knew, such as its requests, is
// that of the last attempt that ended; a run that was killed has none.
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
		r.State, r.Error = Interrupted, "the run was cut off, or is still going on: to go on with it, run "+run.Command
	}
	files := map[string]File{}
	for _, f := range r.Files {
		files[f.Path] = f
	}
	r.Files = r.Files[:0]
	t := newTally()
	paths := make([]string, len(run.Files))
	for i, f := range run.Files {
		info := f.Info
		if paths[i] = info.File; info.File == "" {
			continue // it was never opened
		}
		file := files[info.File]
		file.Path, file.SHA256, file.Bytes, file.Compression = info.File, f.SHA256, info.Bytes, info.Compression
		file.Encoding, file.Delimiter = info.Encoding, string(rune(info.Delimiter))
		r.Files = append(r.Files, file)
		if to != nil {
			if err := to.Input(info); err != nil {
				return Report{}, err
			}
		}
	}
	err := l.Rows(ctx, run.ID, func(rows []ledger.Row) error {
		results := make([]Result, len(rows))
		for i := range rows {
			if rows[i].File >= len(paths) {
				return fmt.Errorf("run %s has a row of a file that it doesn't have", run.Name)
			}
			results[i] = ResultOf(paths[rows[i].File], &rows[i])
			t.read(results[i].Position.File)
			t.add(&results[i])
		}
		if to == nil {
			return nil
		}
		return to.Record(results)
	})
	if err != nil {
		return Report{}, err
	}
	r.Totals, r.Rejections = t.totals, t.rejections()
	for i := range r.Files {
		r.Files[i].Totals = *t.file(r.Files[i].Path)
	}
	for path, f := range files {
		if f.UnchangedSince != "" {
			f.Path = path
			r.Files = append(r.Files, f)
		}
	}
	return r, nil
}
