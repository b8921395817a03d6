package main

import (
	"context"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/internal/visible"
)

func newScheduleRemoveCommand(std streams) *cobra.Command {
	var f lookFlags
	cmd := &cobra.Command{
		Use:               "remove NAME",
		Short:             "Remove a schedule",
		Example:           "  poolfill schedule remove nightly",
		ValidArgsFunction: completeOne(namesOfSchedules),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misuse(cmd, "name the schedule")
			}
			return nil
		},
		RunE: f.backfills(func(ctx context.Context, m *backfill.Manager, name string) error {
			if err := m.Unschedule(ctx, name); err != nil {
				return err
			}
			_, err := visible.Fprintf(std.out, "Schedule %s is removed.\n", name)
			return err
		}),
	}
	f.state.register(cmd.Flags(), stateOfRuns)
	return cmd
}
