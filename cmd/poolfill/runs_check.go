package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"poolfill/ledger"
)

func newRunsCheckCommand(std streams) *cobra.Command {
	var flags ledgerFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Read all of the ledger, and name what of it is damaged",
		Long: `Check reads all that the ledger keeps of runs and compares it with its checksums. It
names what isn't as it was written: a disk that loses or changes what it has stored.
It changes nothing, and an upload may be running. A ledger that is damaged sends
nothing: restore it from a backup from after its last run.`,
		Example: `  poolfill runs check
  poolfill runs check --json | jq .damage`,
		Args: noArguments,

		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, func(l *ledger.Ledger) error {
				checked, err := l.Check(cmd.Context())
				if err != nil {
					return err
				}
				if err := showChecked(std.out, l.Path(), checked, flags.json); err != nil {
					return err
				}
				if n := len(checked.Damage); n > 0 {
					return &usageError{fmt.Errorf("the ledger %s is damaged in %d places: restore it from a backup from after its last run, or begin with another ledger, guarded by the pool, which finds what the pool has already", l.Path(), n)}
				}
				return nil
			})
		},
	}
	flags.register(cmd.Flags())
	return cmd
}

// checkedJSON is what check prints with --json.
type checkedJSON struct {
	Ledger string   `json:"ledger"`
	Runs   int64    `json:"runs"`
	Chunks int64    `json:"chunks"`
	Rows   int64    `json:"rows"`
	Damage []string `json:"damage"`
}

func showChecked(w io.Writer, path string, c ledger.Checked, asJSON bool) error {
	if asJSON {
		out := checkedJSON{Ledger: path, Runs: c.Runs, Chunks: c.Chunks, Rows: c.Rows, Damage: make([]string, len(c.Damage))}
		for i, err := range c.Damage {
			out.Damage[i] = err.Error()
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(out)
	}
	says := "all is as it was written"
	if n := len(c.Damage); n > 0 {
		says = fmt.Sprintf("%d places are damaged", n)
	}
	if _, err := fmt.Fprintf(w, "Read: %d runs with %d chunks and %d rows: %s.\n", c.Runs, c.Chunks, c.Rows, says); err != nil {
		return err
	}
	for _, err := range c.Damage {
		if _, err := fmt.Fprintf(w, "  damaged: %v\n", err); err != nil {
			return err
		}
	}
	return nil
}
