package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/pipeline/ledger"
)

// completeProfiles returns the names of the profiles in the file of settings.
func completeProfiles(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if _, err := fromOutside(cmd); err != nil {
		return nil, none
	}
	file, err := readConfig(cmd)
	if err != nil || file == nil {
		return nil, none
	}
	return file.Profiles(), none
}

// names are what an argument can be, by a ledger.
type names func(context.Context, *ledger.Ledger) ([]cobra.Completion, error)

// completeOne completes a command's one argument by what the ledger knows. It makes
// no ledger where there is none.
func completeOne(known names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if _, err := applySettings(cmd); err != nil || len(args) > 0 {
			return nil, none
		}
		state := stateFlags{dir: stringFlag(cmd, "state-dir"), db: stringFlag(cmd, dbFlag)}
		if there, err := state.hasLedger(); err != nil || !there {
			return nil, none
		}
		var all []cobra.Completion
		if err := state.withLedger(cmd.Context(), func(l *ledger.Ledger) (err error) {
			all, err = known(cmd.Context(), l)
			return err
		}); err != nil {
			return nil, none
		}
		return all, none | cobra.ShellCompDirectiveKeepOrder
	}
}

func namesOfRuns(ctx context.Context, l *ledger.Ledger) ([]cobra.Completion, error) {
	runs, err := l.Runs(ctx, "", "")
	return described(runs, func(r ledger.Run) (string, string) {
		return r.Name, fmt.Sprintf("%s, pool %s, %s", r.Started.Format("2006-01-02 15:04"), r.Pool, r.State)
	}), err
}

func namesOfBackfills(ctx context.Context, l *ledger.Ledger) ([]cobra.Completion, error) {
	m, err := backfill.Manage(ctx, l)
	if err != nil {
		return nil, err
	}
	statuses, err := m.Statuses(ctx)
	return described(statuses, func(s backfill.Status) (string, string) { return s.Name, string(s.State) }), err
}

func namesOfSchedules(ctx context.Context, l *ledger.Ledger) ([]cobra.Completion, error) {
	m, err := backfill.Manage(ctx, l)
	if err != nil {
		return nil, err
	}
	schedules, err := m.Schedules(ctx)
	return described(schedules, func(s backfill.Scheduled) (string, string) { return s.Name, s.Cron }), err
}

// described returns the completions of a list, each a name and what is said of it.
func described[T any](all []T, of func(T) (name, description string)) []cobra.Completion {
	completions := make([]cobra.Completion, len(all))
	for i, one := range all {
		completions[i] = cobra.CompletionWithDesc(of(one))
	}
	return completions
}
