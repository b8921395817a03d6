package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"poolfill/internal/visible"
	"poolfill/pipeline/ledger"
)

func newRunsPruneCommand(std streams) *cobra.Command {
	var f lookFlags
	var olderThan time.Duration
	var unfinished bool
	cmd := &cobra.Command{
		Use:   "prune --older-than DURATION",
		Short: "Forget old runs and give the disk's space back",
		Long: `Prune forgets finished runs that ended longer ago than a time. What is forgotten
no longer keeps rows from being uploaded twice: the same files, uploaded again
to the same pools, are uploaded whole (--dedupe=pool still finds their tasks).`,
		Example:           `  poolfill runs prune --older-than 2160h    # 90 days`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		PreRunE: func(*cobra.Command, []string) error {
			if olderThan <= 0 {
				return &usageError{errors.New("say what to forget: --older-than DURATION, such as 2160h for 90 days")}
			}
			return nil
		},
		RunE: f.runs(func(ctx context.Context, l *ledger.Ledger, _ string) error {
			n, err := l.Prune(ctx, time.Now().Add(-olderThan), unfinished)
			if err != nil {
				return err
			}
			if f.json {
				return json.NewEncoder(std.out).Encode(map[string]int64{"pruned": n})
			}
			_, err = visible.Fprintf(std.out, "%d runs were forgotten.\n", n)
			return err
		}),
	}
	f.register(cmd.Flags(), stateOfLook)
	cmd.Flags().DurationVar(&olderThan, "older-than", 0, "forget runs that ended longer ago than this, such as 2160h")
	cmd.Flags().BoolVar(&unfinished, "unfinished", false, "forget also runs that could be continued")
	return cmd
}
