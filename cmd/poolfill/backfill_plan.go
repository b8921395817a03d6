package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/ui"
)

func newBackfillPlanCommand(std streams) *cobra.Command {
	var f backfillFlags
	cmd := &cobra.Command{
		Use:   "plan MANIFEST | FILE...",
		Short: "Say what a backfill would take, without beginning it",
		Long: `Plan reads the files, asks about the pools, and says how many rows, segments,
pools and days of quota the backfill would take.

` + manifestHelp,
		Example: `  poolfill backfill plan backfill.csv
  poolfill backfill plan 'dump/*.tsv.gz' --pool-template 1238218 --json`,
		Args: needBackfillInputs,
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, api, err := f.settings(cmd)
			if err != nil {
				return &usageError{err}
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			defer stopOnSignals(cancel, cancel, 0)()
			plan, err := f.plan(ctx, std.err, args, settings, api)
			if err != nil {
				return err
			}
			return f.output.json.show(std.out, ui.NewBackfillPlan(plan, settings, time.Now()))
		},
	}
	f.register(cmd.Flags())
	return cmd
}
