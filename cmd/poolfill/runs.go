package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"poolfill/internal/visible"
	"poolfill/pipeline/ledger"
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
  poolfill runs check
  poolfill runs prune --older-than 2160h`
	cmd.AddCommand(newRunsListCommand(std), newRunsShowCommand(std), newRunsCheckCommand(std), newRunsPruneCommand(std), newRunsCopyCommand(std))
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
			return f.json.show(std.out, list)
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
		visible.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", r.Run, r.Started.Format("2006-01-02 15:04:05Z"), r.Pool, r.State,
			r.Totals.Created, r.Totals.Rejected, r.Totals.Unsent, strings.Join(names, ", "))
	}
	return table.Flush()
}
