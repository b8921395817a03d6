package main

import (
	"context"

	"github.com/spf13/cobra"

	"poolfill/pipeline/ledger"
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
			return f.json.show(std.out, r)
		}),
	}
	f.register(cmd.Flags(), stateOfLook)
	return cmd
}
