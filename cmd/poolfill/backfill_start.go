package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/report"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/visible"
	"poolfill/reader"
	"poolfill/uploader/toloka"
)

// backfillStart is one 'backfill start'.
type backfillStart struct {
	backfillFlags
	name, out     string
	detach, again bool
	work          workFlags
}

func newBackfillStartCommand(std streams) *cobra.Command {
	s := backfillStart{work: workFlags{grace: defaultGrace}}
	cmd := &cobra.Command{
		Use:   "start MANIFEST | FILE...",
		Short: "Begin a backfill, or go on with it",
		Long: `Start plans the backfill as 'backfill plan' does, enters it, and works at it until
it is finished. The same command again goes on with it. With --detach it only
enters it, for workers to do.

` + manifestHelp + `

Exit codes: 0 every row is uploaded; 1 it could not finish, or segments failed;
2 nothing was begun, because something must change first; 3 finished, some rows
rejected; 130 interrupted, can be continued.`,
		Example: `  poolfill backfill start backfill.csv
  poolfill backfill start 'dump/*.tsv.gz' --pool-template 1238218 --name dump --each-pool control.tsv
  poolfill backfill start backfill.csv --db postgres://db/poolfill --detach`,
		Args: needBackfillInputs,
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, std, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&s.name, "name", "", "what the backfill is called (default: after the manifest or the first file)")
	flags.BoolVar(&s.detach, "detach", false, "only enter it; workers do it")
	flags.BoolVar(&s.again, "again", false, "begin it even if the files were uploaded to these pools before")
	flags.IntVar(&s.work.jobs, "jobs", defaultJobs, "how many segments are uploaded at once")
	flags.StringVar(&s.out, "out", "", "the folder for the report's files (default poolfill-runs/NAME)")
	s.register(flags)
	s.work.registerView(flags)
	return cmd
}

func (f *backfillStart) run(cmd *cobra.Command, std streams, args []string) error {
	settings, api, err := f.settings(cmd)
	if err != nil {
		return &usageError{err}
	}
	if err := f.work.validate(); err != nil {
		return err
	}
	f.name = cmp.Or(f.name, backfillName(args[0]))
	f.out = cmp.Or(f.out, filepath.Join("poolfill-runs", f.name))
	if !f.detach {
		if err := tryFolder(f.out, f.name); err != nil {
			return err
		}
	}
	ctx := cmd.Context()
	return f.output.state.withManager(ctx, func(at backfill.Place, m *backfill.Manager) error {
		b, err := f.begin(ctx, std, m, args, settings, api)
		if err != nil {
			return err
		}
		if f.detach {
			visible.Fprintf(std.out, "Backfill %s is entered: 'poolfill worker' does it, 'poolfill backfill status %s' shows it.\n", b.Name, b.Name)
			return nil
		}
		if b.State != backfill.Running {
			beside := std.out // before the report, unless that is JSON
			if f.output.json {
				beside = std.err
			}
			visible.Fprintf(beside, "Backfill %s has ended before (%s): nothing was sent this time. What came of it then:\n\n", b.Name, b.State)
		}
		err = f.work.work(ctx, std, &f.output, at, m, api, func(ctx context.Context) (bool, error) {
			now, err := m.Find(ctx, b.Name)
			return err == nil && now.State != backfill.Running, err
		})
		return f.conclude(ctx, std, m, b.Name, err)
	})
}

// begin records a backfill, or finds the one that the same command has begun.
func (f *backfillStart) begin(ctx context.Context, std streams, m *backfill.Manager, args []string,
	settings backfill.Settings, api toloka.Config,
) (backfill.Backfill, error) {
	command := commandLine(withoutPassword(os.Args))
	b, err := m.Find(ctx, f.name)
	if err == nil {
		switch {
		case b.Command != command:
			return b, &usageError{advise(fmt.Errorf("backfill %s was begun by another command", b.Name), "  "+b.Command, "Run that to go on with it, or choose another --name")}
		case b.State == backfill.Paused || b.State == backfill.Cancelled:
			return b, &usageError{fmt.Errorf("backfill %s is %s: 'poolfill backfill resume %s' goes on with a paused one; choose another --name for a new one", b.Name, b.State, b.Name)}
		}
		return b, nil
	}
	if !errors.Is(err, backfill.ErrUnknown) {
		return b, err
	}
	plan, err := f.plan(ctx, std.err, args, settings, api)
	if err != nil {
		return b, err
	}
	if !f.again {
		if err := m.Repeats(ctx, plan, settings); err != nil {
			return b, &usageError{err}
		}
	}
	b, err = m.Begin(ctx, f.name, command, settings, plan)
	if err == nil && f.output.progress != string(ui.None) {
		visible.Fprintf(std.err, "poolfill: backfill %s begins: %s\n", b.Name, ui.NewBackfillPlan(plan, settings, time.Now()).Size())
	}
	return b, err
}

// conclude writes and shows the report of a backfill that was worked at.
func (f *backfillStart) conclude(ctx context.Context, std streams, m *backfill.Manager, name string, worked error) error {
	b, err := m.Find(ctx, name)
	if err != nil {
		return errors.Join(worked, err)
	}
	if b.State == backfill.Running {
		return &unfinishedError{cmp.Or(worked, error(&interruptedError{"interrupted: the backfill is not finished"})), b.Command}
	}
	r, err := writeBackfill(ctx, m, b, f.out)
	if err != nil {
		return errors.Join(worked, err)
	}
	if err := f.output.json.report(std.out, r); err != nil {
		return errors.Join(worked, err)
	}
	if b.State == backfill.Failed {
		return errors.Join(worked, fmt.Errorf("some segments failed: 'poolfill backfill status %s' says why, 'poolfill backfill retry %s' tries them again", b.Name, b.Name))
	}
	return errors.Join(worked, outcome(r, nil))
}

// backfillName makes a name of a manifest's or a file's.
func backfillName(path string) string {
	base := filepath.Base(reader.Name(path))
	base, _, _ = strings.Cut(base, ".")
	name := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_' {
			return r
		}
		return -1
	}, base)
	return cmp.Or(name, "backfill")
}

// tryFolder finds out whether the report's files can be written, before the rows
// are uploaded that they tell of.
func tryFolder(dir, name string) error {
	w, err := report.Create(filepath.Clean(dir), name, 1)
	switch {
	case unusable(err):
		return &usageError{err}
	case err != nil:
		return err
	}
	return w.Discard()
}
