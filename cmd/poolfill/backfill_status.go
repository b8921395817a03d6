package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/ui"
)

func newBackfillStatusCommand(std streams) *cobra.Command {
	var f lookFlags
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show how far a backfill has come",
		Long:  "Status shows how far a backfill has come, pool by pool; without a name the latest.",
		Example: `  poolfill backfill status
  poolfill backfill status dump --watch`,
		Args: atMostOne("backfill"), ValidArgsFunction: completeOne(namesOfBackfills),
		RunE: f.backfills(func(ctx context.Context, m *backfill.Manager, name string) error {
			if watch {
				return watchBackfill(ctx, std, m, name, f.json)
			}
			s, err := m.Status(ctx, name)
			if err != nil {
				return err
			}
			return f.json.show(std.out, ui.BackfillStatus{Status: s})
		}),
	}
	f.register(cmd.Flags(), stateOfRuns)
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again every few seconds until it has ended")
	return cmd
}

// watchEvery is how often a watched backfill is shown.
const watchEvery = 2 * time.Second

// watchBackfill shows a backfill until it has ended, or the user has seen enough.
func watchBackfill(ctx context.Context, std streams, m *backfill.Manager, name string, json jsonFlag) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer stopOnSignals(cancel, cancel, 0)()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		s, err := m.Status(ctx, name)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if !json {
			ui.Clear(std.out)
		}
		if err := json.show(std.out, ui.BackfillStatus{Status: s}); err != nil {
			return err
		}
		if s.State != backfill.Running && s.State != backfill.Paused {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
