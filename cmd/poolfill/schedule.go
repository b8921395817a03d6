package main

import (
	"github.com/spf13/cobra"
)

func newScheduleCommand(std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "Upload files again and again, at times that a cron expression names",
		Long: `Schedule registers uploads that come again. 'poolfill worker' carries them out,
as 'poolfill upload' would: new rows of a file that grew are uploaded, an
unchanged file is left alone.

Times that are missed, as no worker is running, become one run as soon as there
is one. A time that comes while the last run still goes on waits for it.`,
		Example: `  poolfill schedule add nightly --cron '0 3 * * *' --zone Europe/Berlin -- 'exports/*.tsv' --pool 1238218
  poolfill schedule list
  poolfill schedule remove nightly`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newScheduleAddCommand(std), newScheduleListCommand(std), newScheduleRemoveCommand(std))
	return cmd
}
