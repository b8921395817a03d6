package backfill

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// reported is a segment as a report needs it.
type reported struct {
	run   string
	path  string
	pool  string
	rules Rules
	rows  int64
	// What the segment itself keeps of its outcome.
	created, rejected int64
	info              reader.Info // of the whole file, as it was when the backfill began
}

func (p *reported) fields() []any {
	return []any{&p.run, &p.path, &p.pool, jsonText{&p.rules}, jsonText{&p.info}, &p.rows, &p.created, &p.rejected}
}

// name is what the report calls the segment's file: one that every pool gets is
// another one for each of them.
func (p reported) name() string {
	if p.rules.Each {
		return fmt.Sprintf("%s (pool %s)", p.path, p.pool)
	}
	return p.path
}

// CodeForgotten marks the rows whose runs the ledger has forgotten.
const CodeForgotten = "RUN_FORGOTTEN"

// Report makes the report over all segments of a backfill, from the ledger, and
// hands every row to to, which may be nil, in the order of the files. Rows whose
// segment has not begun are in no file of it; they count as unsent. Nor are those
// whose run was pruned: they count as the segment has counted them.
func (m *Manager) Report(ctx context.Context, b Backfill, to pipeline.Recorder) (pipeline.Report, error) {
	segments, err := list(ctx, m.store.db, (*reported).fields, `SELECT s.run, f.path, p.pool, f.rules, f.info, s.rows_planned, s.created, s.rejected
		FROM `+segmentFiles+` JOIN backfill_pool p ON p.backfill = s.backfill AND p.number = s.pool
		WHERE s.backfill = $1 ORDER BY s.file, p.number, s.from_record`, b.ID)
	if err != nil {
		return pipeline.Report{}, err
	}
	all := pipeline.Report{
		Version: pipeline.ReportVersion, RunID: b.Name, State: stateOf(b.State), Mode: "backfill",
		Started: b.Begun.UTC(), Finished: time.Now().UTC(), Rejections: []pipeline.Rejection{}, Warnings: []pipeline.Warning{},
		Files: []pipeline.File{}, Requests: pipeline.Requests{ByStatus: map[string]int64{}}, Outputs: map[string]string{},
		Settings: pipeline.Settings{Server: b.Settings.Server, Command: b.Command, ChunkSize: b.Settings.ChunkSize, OpenPool: b.Settings.OpenPools},
	}
	if !b.Ended.IsZero() {
		all.Finished = b.Ended.UTC()
	}
	all.Seconds = all.Finished.Sub(all.Started).Seconds()
	announced := map[string]bool{}
	var pools []string
	var forgotten int64 // rows that were created or rejected
	for _, p := range segments {
		if p.pool != "" && !slices.Contains(pools, p.pool) {
			pools = append(pools, p.pool)
		}
		run, found, err := m.store.ledger.Called(ctx, p.run)
		if err != nil {
			return all, err
		}
		if !found {
			all.Totals.Rows += p.rows
			all.Totals.Created += p.created
			all.Totals.Rejected += p.rejected
			all.Totals.Unsent += p.rows - p.created - p.rejected
			forgotten += p.created + p.rejected
			continue
		}
		var recorder pipeline.Recorder
		if to != nil {
			recorder = once{to, p.name(), announced}
		}
		r, err := pipeline.Rebuild(ctx, m.store.ledger, run, recorder)
		if err != nil {
			return all, fmt.Errorf("segment %s: %w", p.run, err)
		}
		for i := range r.Files {
			r.Files[i].Path = p.name()
		}
		for i := range r.Warnings {
			r.Warnings[i].File = p.name()
		}
		all.Add(r)
	}
	if forgotten > 0 {
		all.Warnings = append(all.Warnings, pipeline.Warning{
			Code: CodeForgotten, Count: forgotten, Lines: []int64{},
			Message: "the ledger has forgotten the runs of these rows ('poolfill runs prune'): they are counted, and missing in the files with rows",
		})
	}
	whole := make(map[string]reader.Info, len(all.Files))
	for _, p := range segments {
		whole[p.name()] = p.info
	}
	for i := range all.Files {
		f := &all.Files[i] // of a segment, which has no hash
		f.SHA256, f.Bytes = whole[f.Path].SHA256, whole[f.Path].Bytes
	}
	all.PoolID = joinNames(pools)
	return all, nil
}

// once calls a file by its name in the report, and announces it only the first time.
type once struct {
	pipeline.Recorder
	name      string
	announced map[string]bool
}

// Input is part of pipeline.Recorder.
func (o once) Input(info reader.Info) error {
	info.File = o.name
	if o.announced[info.File] {
		return nil
	}
	o.announced[info.File] = true
	return o.Recorder.Input(info)
}

// Record is part of pipeline.Recorder.
func (o once) Record(results []verdict.Verdict) error {
	for i := range results {
		results[i].Position.File = o.name
	}
	return o.Recorder.Record(results)
}

// joinNames names a few things, and counts the rest.
func joinNames(names []string) string {
	const most = 3
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func stateOf(s State) pipeline.State {
	switch s {
	case Finished:
		return pipeline.Finished
	case Failed:
		return pipeline.Failed
	case Running:
		return pipeline.Running
	}
	return pipeline.Interrupted
}
