package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/ledger"
	"poolfill/pipeline"
)

func newRunsShowCommand(std streams) *cobra.Command {
	var f lookFlags
	cmd := &cobra.Command{
		Use:   "show [RUN]",
		Short: "Show a run: its files, its state and how to go on",
		Long:  "Show a run, by its name or the beginning of it; without a name the latest one.",
		Example: `  poolfill runs show
  poolfill runs show 5c0f --json`,
		Args:              atMostOne("run"),
		ValidArgsFunction: completeOne(namesOfRuns),
		RunE: f.runs(func(ctx context.Context, l *ledger.Ledger, name string) error {
			run, err := l.Find(ctx, name)
			if err != nil {
				return err
			}
			r, err := describeRun(run)
			if err != nil {
				return err
			}
			return f.json.print(std.out, r)
		}),
	}
	f.register(cmd.Flags(), stateOfLook)
	return cmd
}

// Text is part of ui.Result.
func (r runJSON) Text(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "run\t%s\nstate\t%s\npool\t%s at %s\nmode\t%s\nattempts\t%d\nstarted\t%s\n",
		r.Run, r.State, r.Pool, r.Server, r.Mode, r.Attempts, r.Started.Format(time.RFC3339))
	if r.Ended != nil {
		fmt.Fprintf(table, "ended\t%s\n", r.Ended.Format(time.RFC3339))
	}
	for _, f := range r.Files {
		fmt.Fprintf(table, "file\t%s (%d bytes)\n", f.Path, f.Size)
	}
	if r.State != string(pipeline.Finished) {
		fmt.Fprintf(table, "to go on\t%s\n", r.Command)
	}
	if err := table.Flush(); err != nil || r.report == nil {
		return err
	}
	fmt.Fprintln(w)
	return ui.Summary(w, *r.report)
}
