package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/ui"
)

func newScheduleListCommand(std streams) *cobra.Command {
	var f lookFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the schedules, and what their last runs came to",
		Example: `  poolfill schedule list
  poolfill schedule list --json`,
		Args: noArguments,
		RunE: f.backfills(func(ctx context.Context, m *backfill.Manager, _ string) error {
			all, err := m.Schedules(ctx)
			if err != nil {
				return err
			}
			return f.json.show(std.out, ui.NewSchedules(all, time.Now()))
		}),
	}
	f.register(cmd.Flags(), stateOfRuns)
	return cmd
}
