package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"poolfill/internal/quota"
	"poolfill/internal/visible"
	"poolfill/pipeline/ledger"
)

// copied is what runs copy says, and with --json prints.
type copied struct {
	ledger.Copied
	QuotaDays int64 `json:"quota_days"`
}

func newRunsCopyCommand(std streams) *cobra.Command {
	var f lookFlags
	var to string
	cmd := &cobra.Command{
		Use:   "copy --to URL",
		Short: "Copy the ledger into a PostgreSQL database, for many machines",
		Long: `Copy copies all that the ledger knows into a PostgreSQL database: runs, with what
was sent and what came of it, and what of the account's quota is used. Where that
has a run of the same name, or anything goes wrong, nothing is copied. The ledger
itself stays as it is. Do it while no upload is running; from then on give --db
to all commands.`,
		Example:           `  poolfill runs copy --to postgres://poolfill@db.example.com/poolfill`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		PreRunE: func(*cobra.Command, []string) error {
			if to == "" {
				return &usageError{errors.New("say where to copy the ledger: --to postgres://user@host/database")}
			}
			return nil
		},
		RunE: f.runs(func(ctx context.Context, from *ledger.Ledger, _ string) error {
			result, err := copyLedger(ctx, from, to)
			if err != nil {
				return err
			}
			if f.json {
				return json.NewEncoder(std.out).Encode(result)
			}
			_, err = visible.Fprintf(std.out, "Copied: %d runs with %d files and %d chunks (%d attempts in doubt), and %d days of quota.\n",
				result.Runs, result.Files, result.Chunks, result.Attempts, result.QuotaDays)
			return err
		}),
	}
	f.register(cmd.Flags(), stateOfLook)
	cmd.Flags().StringVar(&to, "to", "", "the PostgreSQL database to copy into, such as postgres://user@host/poolfill")
	return cmd
}

func copyLedger(ctx context.Context, from *ledger.Ledger, address string) (result copied, err error) {
	to, err := openLedger(ctx, address, "")
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	for _, l := range []*ledger.Ledger{from, to} {
		if err := quota.Prepare(ctx, l); err != nil {
			return result, err
		}
	}
	result.Copied, err = from.CopyTo(ctx, to, func(ctx context.Context, from, into *sql.Tx) (err error) {
		result.QuotaDays, err = quota.Copy(ctx, from, into)
		return err
	})
	var exists *ledger.RunExistsError
	if errors.As(err, &exists) {
		return result, &usageError{err}
	}
	return result, err
}
