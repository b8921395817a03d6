package main

import (
	"context"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/ui"
)

func newBackfillListCommand(std streams) *cobra.Command {
	var f lookFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the backfills",
		Example: `  poolfill backfill list
  poolfill backfill list --json`,
		Args: noArguments,
		RunE: f.backfills(func(ctx context.Context, m *backfill.Manager, _ string) error {
			statuses, err := m.Statuses(ctx)
			if err != nil {
				return err
			}
			return f.json.show(std.out, ui.BackfillList(statuses))
		}),
	}
	f.register(cmd.Flags(), stateOfRuns)
	return cmd
}
