package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/internal/ledger"
)

// values says what the value of a flag can be, for shells that complete it, for
// the check of what comes from the environment or a file, and for the list of
// settings.
type values struct {
	choices []string // the only values
	common  []string // some of many
	files   []string // it is a file, with one of these extensions; "" is any
	folder  bool
}

// valuesOf knows the flags whose values can be told; by name, as flags of the
// same name take the same values in all commands.
func valuesOf() map[string]values {
	anyFile := values{files: []string{""}}
	return map[string]values{
		"mode":            {choices: []string{"async", "sync"}},
		"on-invalid":      {choices: []string{"skip", "stop"}},
		"on-quota":        {choices: []string{"auto", "wait", "park"}},
		"dedupe":          {choices: []string{"ledger", "pool"}},
		"quotes":          {choices: []string{"auto", "toloka", "none"}},
		"progress":        {choices: []string{"auto", "bar", "plain", "json", "none"}},
		"log-format":      {choices: []string{"console", "json"}},
		"log-level":       {choices: []string{"debug", "info", "warn", "error"}},
		"workers":         {common: []string{"auto"}},
		"delimiter":       {common: []string{"tab", "comma", "semicolon", "pipe"}},
		"control-overlap": {common: []string{"infinite", "pool"}},
		"url":             {common: []string{productionURL, sandboxURL, "http://127.0.0.1:8090"}},
		"encoding": {common: []string{
			"utf-8", "utf-16le", "utf-16be", "windows-1250", "windows-1251", "windows-1252", "iso-8859-1", "iso-8859-2",
			"koi8-r", "ibm866", "shift_jis", "euc-jp", "euc-kr", "gb18030", "gbk", "big5",
		}},
		"max-rejected": {common: []string{"0", "1%", "5%"}},
		"retry-for":    {common: []string{"5m", "15m", "1h"}},
		"older-than":   {common: []string{"720h", "2160h", "8760h"}},
		"faults":       {common: []string{"lost=0.1", "502html=0.05", "429=0.02", "slow=0.1:2s"}},
		"spec":         {files: []string{"json"}},
		"config":       {files: []string{"yaml", "yml"}},
		"token-file":   anyFile,
		"state":        anyFile,
		"cpuprofile":   anyFile,
		"memprofile":   anyFile,
		"out":          {folder: true},
		"state-dir":    {folder: true},
	}
}

// describeValues tells all flags of a command, and of those below it, what
// their values can be.
func describeValues(cmd *cobra.Command, known map[string]values) error {
	var err error
	describe := func(f *pflag.Flag) {
		v, ok := known[f.Name]
		if !ok || err != nil {
			return
		}
		switch {
		case v.folder:
			annotate(f, cobra.BashCompSubdirsInDir)
		case v.files != nil:
			annotate(f, cobra.BashCompFilenameExt, strings.Fields(strings.Join(v.files, " "))...)
		default:
			if v.choices != nil {
				annotate(f, choicesKey, v.choices...)
			}
			shown := slices.Concat(v.choices, v.common)
			err = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(shown, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	cmd.LocalNonPersistentFlags().VisitAll(describe)
	cmd.PersistentFlags().VisitAll(describe)
	for _, sub := range cmd.Commands() {
		if err == nil {
			err = describeValues(sub, known)
		}
	}
	return err
}

// completeProfiles gives the names of the profiles in the file of settings.
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
