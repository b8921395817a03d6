package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"poolfill/internal/ledger"
	"poolfill/pipeline"
)

func newRunsCommand(std streams) *cobra.Command {
	cmd := newRunsListCommand(std)
	cmd.Use = "runs"
	cmd.Short = "List the runs that the ledger knows"
	cmd.Long = `Runs lists the uploads of this machine, the latest first: those that finished
and those that can be continued. The ledger is a file in the folder for the
state, or with --db a database that many machines share; it is what keeps rows
from being uploaded twice.`
	cmd.Example = `  poolfill runs
  poolfill runs show 5c0f
  poolfill runs prune --older-than 2160h`
	cmd.AddCommand(newRunsListCommand(std), newRunsShowCommand(std), newRunsPruneCommand(std), newRunsCopyCommand(std))
	return cmd
}

func newRunsListCommand(std streams) *cobra.Command {
	var f lookFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the runs, as 'poolfill runs' does",
		Example: `  poolfill runs list
  poolfill runs list --json | jq -r '.[0].run_id'`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: f.runs(func(ctx context.Context, l *ledger.Ledger, _ string) error {
			runs, err := l.Runs(ctx, "", "")
			if err != nil {
				return err
			}
			list := make(runList, len(runs))
			for i, r := range runs {
				if list[i], err = describeRun(r); err != nil {
					return err
				}
			}
			return f.json.print(std.out, list)
		}),
	}
	f.register(cmd.Flags(), stateOfLook)
	return cmd
}

// runList is what 'runs list' prints.
type runList []runJSON

// Text is part of ui.Result.
func (list runList) Text(w io.Writer) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "The ledger knows no runs.")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RUN\tSTARTED\tPOOL\tSTATE\tCREATED\tREJECTED\tUNSENT\tFILES")
	for _, r := range list {
		names := make([]string, 0, len(r.Files))
		for _, f := range r.Files {
			names = append(names, filepath.Base(f.Path))
		}
		const shown = 3
		if len(names) > shown {
			names = append(names[:shown], fmt.Sprintf("and %d more", len(r.Files)-shown))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", r.Run, r.Started.Format("2006-01-02 15:04:05Z"), r.Pool, r.State,
			r.Totals.Created, r.Totals.Rejected, r.Totals.Unsent, strings.Join(names, ", "))
	}
	return table.Flush()
}

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
