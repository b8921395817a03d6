package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/visible"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
)

// runJSON is a run as --json prints it.
type runJSON struct {
	Run      string          `json:"run_id"`
	State    string          `json:"state"`
	Server   string          `json:"server"`
	Pool     string          `json:"pool_id"`
	Mode     string          `json:"mode"`
	Guard    string          `json:"guard"`
	Attempts int             `json:"attempts"`
	Started  time.Time       `json:"started"`
	Ended    *time.Time      `json:"ended,omitempty"`
	Command  string          `json:"command"`
	Files    []runFileJSON   `json:"files"`
	Totals   pipeline.Totals `json:"totals"`

	report *pipeline.Report // of its end; nil while there is none
}

type runFileJSON struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
}

// describeRun returns a run as it is printed. The error is of a report that can't be
// read.
func describeRun(r ledger.Run) (runJSON, error) {
	out := runJSON{
		Run: r.Name, State: r.State, Server: r.Server, Pool: r.Pool, Mode: r.Mode, Guard: r.Guard,
		Attempts: r.Attempts, Started: r.Started.UTC(), Command: r.Command, Files: []runFileJSON{},
		Totals: pipeline.Totals{Created: r.Created, Rejected: r.Rejected}, // of what was kept before it was cut off
	}
	if !r.Ended.IsZero() {
		ended := r.Ended.UTC()
		out.Ended = &ended
	}
	for _, f := range r.Files {
		out.Files = append(out.Files, runFileJSON{f.Path, f.Size, f.SHA256})
	}
	if len(r.Report) == 0 {
		return out, nil
	}
	out.report = new(pipeline.Report)
	if err := json.Unmarshal(r.Report, out.report); err != nil {
		return out, fmt.Errorf("the report of run %s can't be read: %w", r.Name, err)
	}
	if r.State != ledger.Running {
		out.Totals = out.report.Totals
	}
	return out, nil
}

// Text is part of ui.Result.
func (r runJSON) Text(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	visible.Fprintf(table, "run\t%s\nstate\t%s\npool\t%s at %s\nmode\t%s\nattempts\t%d\nstarted\t%s\n",
		r.Run, r.State, r.Pool, r.Server, r.Mode, r.Attempts, r.Started.Format(time.RFC3339))
	if r.Ended != nil {
		visible.Fprintf(table, "ended\t%s\n", r.Ended.Format(time.RFC3339))
	}
	for _, f := range r.Files {
		visible.Fprintf(table, "file\t%s (%d bytes)\n", f.Path, f.Size)
	}
	if r.State != string(pipeline.Finished) {
		visible.Fprintf(table, "to go on\t%s\n", r.Command)
	}
	if err := table.Flush(); err != nil || r.report == nil {
		return err
	}
	fmt.Fprintln(w)
	return ui.Summary(w, *r.report)
}
