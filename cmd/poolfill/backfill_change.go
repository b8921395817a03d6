package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/visible"
)

// backfillChange changes a backfill, and says so in a sentence.
type backfillChange func(ctx context.Context, m *backfill.Manager, name string) (backfill.Backfill, string, error)

func newBackfillPauseCommand(std streams) *cobra.Command {
	return newBackfillChangeCommand(std, "pause", "Stop beginning segments until 'backfill resume'", toState((*backfill.Manager).Pause))
}

func newBackfillResumeCommand(std streams) *cobra.Command {
	return newBackfillChangeCommand(std, "resume", "Go on with a paused backfill", toState((*backfill.Manager).Resume))
}

func newBackfillCancelCommand(std streams) *cobra.Command {
	return newBackfillChangeCommand(std, "cancel", "End a backfill for good; what was created stays", toState((*backfill.Manager).Cancel))
}

func newBackfillRetryCommand(std streams) *cobra.Command {
	cmd := newBackfillChangeCommand(std, "retry", "Try the segments again that failed",
		func(ctx context.Context, m *backfill.Manager, name string) (backfill.Backfill, string, error) {
			b, n, err := m.Retry(ctx, name)
			return b, visible.Sprintf("Backfill %s: %d failed segments are tried again.", b.Name, n), err
		})
	cmd.Long = ""
	return cmd
}

func toState(change func(*backfill.Manager, context.Context, string) (backfill.Backfill, error)) backfillChange {
	return func(ctx context.Context, m *backfill.Manager, name string) (backfill.Backfill, string, error) {
		b, err := change(m, ctx, name)
		return b, visible.Sprintf("Backfill %s is %s.", b.Name, b.State), err
	}
}

func newBackfillChangeCommand(std streams, verb, short string, change backfillChange) *cobra.Command {
	var f lookFlags
	cmd := &cobra.Command{
		Use:     verb + " [NAME]",
		Short:   short,
		Long:    short + ". Without a name it is the latest backfill.",
		Example: "  poolfill backfill " + verb + "\n  poolfill backfill " + verb + " dump",
		Args:    atMostOne("backfill"), ValidArgsFunction: completeOne(namesOfBackfills),
		RunE: f.backfills(func(ctx context.Context, m *backfill.Manager, name string) error {
			b, text, err := change(ctx, m, name)
			if err != nil {
				return err
			}
			if !f.json {
				_, err := fmt.Fprintln(std.out, text)
				return err
			}
			s, err := m.Status(ctx, b.Name)
			if err != nil {
				return err
			}
			return f.json.show(std.out, ui.BackfillStatus{Status: s})
		}),
	}
	f.register(cmd.Flags(), stateOfRuns)
	return cmd
}
