package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/report"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/quota"
	"poolfill/ledger"
	"poolfill/pipeline"
)

// ledgerFlags are those of the commands that only look at the ledger.
type ledgerFlags struct {
	stateDir, db string
	json         bool
}

func (f *ledgerFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.stateDir, "state-dir", "", "the folder with the ledger (default: the platform's, such as ~/.local/state/poolfill)")
	registerDB(flags, &f.db)
	flags.BoolVar(&f.json, "json", false, "print JSON")
}

// with opens the ledger for the time of use.
func (f *ledgerFlags) with(cmd *cobra.Command, use func(*ledger.Ledger) error) (err error) {
	dir, err := (&outputFlags{stateDir: f.stateDir}).stateFolder()
	if err != nil {
		return err
	}
	l, err := openLedger(cmd.Context(), f.db, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	err = use(l)
	var (
		unknown *ledger.UnknownRunError
		damaged *ledger.DamagedError
	)
	if errors.As(err, &unknown) || errors.As(err, &damaged) {
		return &usageError{err}
	}
	return err
}

func newRunsCommand(std streams) *cobra.Command {
	cmd := newRunsListCommand(std)
	cmd.Use = "runs"
	cmd.Short = "List the runs that the ledger knows"
	cmd.Long = `Runs lists the uploads of this machine, the latest first: those that finished
and those that can be continued. The ledger is a file in the folder for the
state, or with --db a database that many machines share; it is what keeps rows
from being uploaded twice.`
	cmd.Example = `  poolfill runs
  poolfill runs show 5c0f
  poolfill runs check
  poolfill runs prune --older-than 2160h`
	cmd.AddCommand(newRunsListCommand(std), newRunsShowCommand(std), newRunsCheckCommand(std), newRunsPruneCommand(std), newRunsCopyCommand(std))
	return cmd
}

func newRunsListCommand(std streams) *cobra.Command {
	var flags ledgerFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the runs, as 'poolfill runs' does",
		Example: `  poolfill runs list
  poolfill runs list --json | jq -r '.[0].run_id'`,
		Args: noArguments,

		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, func(l *ledger.Ledger) error {
				runs, err := l.Runs(cmd.Context(), "", "")
				if err != nil {
					return err
				}
				return listRuns(std.out, runs, flags.json)
			})
		},
	}
	flags.register(cmd.Flags())
	return cmd
}

func newRunsShowCommand(std streams) *cobra.Command {
	var flags ledgerFlags
	cmd := &cobra.Command{
		Use:   "show [RUN]",
		Short: "Show a run: its files, its state and how to go on",
		Long:  "Show a run, by its name or the beginning of it; without a name the latest one.",
		Example: `  poolfill runs show
  poolfill runs show 5c0f --json`,
		Args: oneRun,

		ValidArgsFunction: completeOne(namesOfRuns),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.with(cmd, func(l *ledger.Ledger) error {
				run, err := l.Find(cmd.Context(), strings.Join(args, ""))
				if err != nil {
					return err
				}
				return showRun(std.out, run, flags.json)
			})
		},
	}
	flags.register(cmd.Flags())
	return cmd
}

func newRunsPruneCommand(std streams) *cobra.Command {
	var flags ledgerFlags
	var olderThan time.Duration
	var unfinished bool
	cmd := &cobra.Command{
		Use:   "prune --older-than DURATION",
		Short: "Forget old runs and give the disk's space back",
		Long: `Prune forgets finished runs that ended longer ago than a time. What is forgotten
no longer keeps rows from being uploaded twice: the same files, uploaded again
to the same pools, are uploaded whole (--dedupe=pool still finds their tasks).`,
		Example: `  poolfill runs prune --older-than 2160h    # 90 days`,
		Args:    noArguments,

		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if olderThan <= 0 {
				return &usageError{errors.New("say what to forget: --older-than DURATION, such as 2160h for 90 days")}
			}
			return flags.with(cmd, func(l *ledger.Ledger) error {
				n, err := l.Prune(cmd.Context(), time.Now().Add(-olderThan), unfinished)
				if err != nil {
					return err
				}
				if flags.json {
					return json.NewEncoder(std.out).Encode(map[string]int64{"pruned": n})
				}
				_, err = fmt.Fprintf(std.out, "%d runs were forgotten.\n", n)
				return err
			})
		},
	}
	flags.register(cmd.Flags())
	cmd.Flags().DurationVar(&olderThan, "older-than", 0, "forget runs that ended longer ago than this, such as 2160h")
	cmd.Flags().BoolVar(&unfinished, "unfinished", false, "forget also runs that could be continued")
	return cmd
}

// copied is what runs copy says, and with --json prints.
type copied struct {
	ledger.Copied
	QuotaDays int64 `json:"quota_days"`
}

func newRunsCopyCommand(std streams) *cobra.Command {
	var flags ledgerFlags
	var to string
	cmd := &cobra.Command{
		Use:   "copy --to URL",
		Short: "Copy the ledger into a PostgreSQL database, for many machines",
		Long: `Copy copies all that the ledger knows into a PostgreSQL database: runs, with what
was sent and what came of it, and what of the account's quota is used. Where that
has a run of the same name, or anything goes wrong, nothing is copied. The ledger
itself stays as it is. Do it while no upload is running; from then on give --db
to all commands.`,
		Example: `  poolfill runs copy --to postgres://poolfill@db.example.com/poolfill`,
		Args:    noArguments,

		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return &usageError{errors.New("say where to copy the ledger: --to postgres://user@host/database")}
			}
			return flags.with(cmd, func(from *ledger.Ledger) error {
				result, err := copyLedger(cmd.Context(), from, to)
				if err != nil {
					return err
				}
				if flags.json {
					return json.NewEncoder(std.out).Encode(result)
				}
				_, err = fmt.Fprintf(std.out, "Copied: %d runs with %d files and %d chunks (%d attempts in doubt), and %d days of quota.\n",
					result.Runs, result.Files, result.Chunks, result.Attempts, result.QuotaDays)
				return err
			})
		},
	}
	flags.register(cmd.Flags())
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

func newReportCommand(std streams) *cobra.Command {
	var flags ledgerFlags
	var dir string
	cmd := &cobra.Command{
		Use:   "report [RUN]",
		Short: "Show or write the report of a run again",
		Long: `Report makes the report of a run from the ledger, at any time: without --out it
prints the summary, with --out it writes report.json, report.html, results.tsv
and rejected.tsv again. Without a name it takes the latest run.`,
		Example: `  poolfill report
  poolfill report 5c0f --json
  poolfill report 5c0f --out again/`,
		Args:              oneRun,
		ValidArgsFunction: completeOne(namesOfRuns),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.with(cmd, func(l *ledger.Ledger) error {
				run, err := l.Find(cmd.Context(), strings.Join(args, ""))
				if err != nil {
					return err
				}
				if dir == "" {
					r, err := pipeline.Rebuild(cmd.Context(), l, run, nil)
					if err != nil {
						return err
					}
					report.AddHints(&r)
					return show(std.out, r, flags.json)
				}
				w, err := report.Create(filepath.Clean(dir), run.Name, len(run.Files))
				if err != nil {
					return err
				}
				r, err := pipeline.Rebuild(cmd.Context(), l, run, w)
				if err != nil {
					return errors.Join(err, w.Discard())
				}
				if r, err = w.Finish(r); err != nil {
					return err
				}
				return show(std.out, r, flags.json)
			})
		},
	}
	flags.register(cmd.Flags())
	cmd.Flags().StringVar(&dir, "out", "", "write the report's files to this folder")
	return cmd
}

func oneRun(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return &usageError{fmt.Errorf("%s takes one run\nSee '%s --help'", cmd.CommandPath(), cmd.CommandPath())}
	}
	return nil
}

// runJSON is a run as --json prints it.
type runJSON struct {
	Run      string          `json:"run_id"`
	State    string          `json:"state"`
	Server   string          `json:"server"`
	Pool     string          `json:"pool_id"`
	Mode     string          `json:"mode"`
	Guard    string          `json:"guard"`
	Attempts int             `json:"attempts"`
	Started  time.Time       `json:"started"`
	Ended    *time.Time      `json:"ended,omitempty"`
	Command  string          `json:"command"`
	Files    []runFileJSON   `json:"files"`
	Totals   pipeline.Totals `json:"totals"`
}

type runFileJSON struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
}

func describeRun(r ledger.Run) (runJSON, error) {
	out := runJSON{
		Run: r.Name, State: r.State, Server: r.Server, Pool: r.Pool, Mode: r.Mode, Guard: r.Guard,
		Attempts: r.Attempts, Started: r.Started.UTC(), Command: r.Command, Files: []runFileJSON{},
	}
	if !r.Ended.IsZero() {
		ended := r.Ended.UTC()
		out.Ended = &ended
	}
	for _, f := range r.Files {
		out.Files = append(out.Files, runFileJSON{f.Path, f.Size, f.SHA256})
	}
	if r.State == ledger.Running || len(r.Report) == 0 {
		out.Totals.Created, out.Totals.Rejected = r.Created, r.Rejected // of what was kept before it was cut off
		return out, nil
	}
	var last pipeline.Report
	if err := json.Unmarshal(r.Report, &last); err != nil {
		return out, fmt.Errorf("the report of run %s can't be read: %w", r.Name, err)
	}
	out.Totals = last.Totals
	return out, nil
}

func listRuns(w io.Writer, runs []ledger.Run, asJSON bool) error {
	list := make([]runJSON, len(runs))
	for i, r := range runs {
		var err error
		if list[i], err = describeRun(r); err != nil {
			return err
		}
	}
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "The ledger knows no runs.")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RUN\tSTARTED\tPOOL\tSTATE\tCREATED\tREJECTED\tUNSENT\tFILES")
	for _, r := range list {
		names := make([]string, 0, len(r.Files))
		for _, f := range r.Files {
			names = append(names, filepath.Base(f.Path))
		}
		const shown = 3
		if len(names) > shown {
			names = append(names[:shown], fmt.Sprintf("and %d more", len(r.Files)-shown))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", r.Run, r.Started.Format("2006-01-02 15:04:05Z"), r.Pool, r.State,
			r.Totals.Created, r.Totals.Rejected, r.Totals.Unsent, strings.Join(names, ", "))
	}
	return table.Flush()
}

func showRun(w io.Writer, run ledger.Run, asJSON bool) error {
	r, err := describeRun(run)
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "run\t%s\nstate\t%s\npool\t%s at %s\nmode\t%s\nattempts\t%d\nstarted\t%s\n",
		r.Run, r.State, r.Pool, r.Server, r.Mode, r.Attempts, r.Started.Format(time.RFC3339))
	if r.Ended != nil {
		fmt.Fprintf(table, "ended\t%s\n", r.Ended.Format(time.RFC3339))
	}
	for _, f := range r.Files {
		fmt.Fprintf(table, "file\t%s (%d bytes)\n", f.Path, f.Size)
	}
	if r.State != string(pipeline.Finished) {
		fmt.Fprintf(table, "to go on\t%s\n", r.Command)
	}
	if err := table.Flush(); err != nil || len(run.Report) == 0 {
		return err
	}
	var last pipeline.Report
	if err := json.Unmarshal(run.Report, &last); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return ui.Summary(w, last)
}
