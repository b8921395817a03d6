package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"poolfill/internal/visible"
	"poolfill/pipeline/ledger"
)

func newRunsCheckCommand(std streams) *cobra.Command {
	var f lookFlags
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
		RunE: f.runs(func(ctx context.Context, l *ledger.Ledger, _ string) error {
			checked, err := l.Check(ctx)
			if err != nil {
				return err
			}
			if err := f.json.show(std.out, checkedOf(l.Path(), checked)); err != nil {
				return err
			}
			if n := len(checked.Damage); n > 0 {
				return &usageError{fmt.Errorf("the ledger %s is damaged in %d places: restore it from a backup from after its last run, or begin with another ledger, guarded by the pool, which finds what the pool has already", l.Path(), n)}
			}
			return nil
		}),
	}
	f.register(cmd.Flags(), stateOfLook)
	return cmd
}

// checkedLedger is what 'runs check' prints.
type checkedLedger struct {
	Ledger string   `json:"ledger"`
	Runs   int64    `json:"runs"`
	Chunks int64    `json:"chunks"`
	Rows   int64    `json:"rows"`
	Damage []string `json:"damage"`
}

func checkedOf(path string, c ledger.Checked) checkedLedger {
	out := checkedLedger{Ledger: path, Runs: c.Runs, Chunks: c.Chunks, Rows: c.Rows, Damage: make([]string, len(c.Damage))}
	for i, err := range c.Damage {
		out.Damage[i] = err.Error()
	}
	return out
}

// Text is part of ui.Result.
func (c checkedLedger) Text(w io.Writer) error {
	says := "all is as it was written"
	if n := len(c.Damage); n > 0 {
		says = fmt.Sprintf("%d places are damaged", n)
	}
	if _, err := visible.Fprintf(w, "Read: %d runs with %d chunks and %d rows: %s.\n", c.Runs, c.Chunks, c.Rows, says); err != nil {
		return err
	}
	for _, damage := range c.Damage {
		if _, err := visible.Fprintf(w, "  damaged: %s\n", damage); err != nil {
			return err
		}
	}
	return nil
}
