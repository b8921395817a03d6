package main

import (
	"github.com/spf13/cobra"
)

func newBackfillCommand(std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backfill",
		Short: "Upload many files to many pools, over days, on one machine or many",
		Long: `Backfill uploads what is too much for one run: many files, more rows than a pool
takes, more than a day's quota. Files are cut into segments, which are uploaded
piece by piece, each row once; where a pool is full, the next one is cloned from
a template. It goes on after any stop.

Without --db all state is in --state-dir, and 'backfill start' does the work
itself. With --db postgres://… any number of 'poolfill worker' share it.`,
		Example: `  poolfill backfill plan backfill.csv
  poolfill backfill start backfill.csv
  poolfill backfill start 'dump/*.tsv.gz' --pool-template 1238218 --name dump
  poolfill backfill status --watch`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBackfillPlanCommand(std), newBackfillStartCommand(std), newBackfillStatusCommand(std), newBackfillListCommand(std),
		newBackfillPauseCommand(std), newBackfillResumeCommand(std), newBackfillCancelCommand(std),
		newBackfillRetryCommand(std), newBackfillReportCommand(std))
	return cmd
}
