package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/report"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/state"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/reader"
)

// verifyFlags say what is verified.
type verifyFlags struct {
	reading readingFlags
	api     apiFlags
	state   stateFlags
	json    jsonFlag
	dir     string
}

func newVerifyCommand(std streams) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [RUN] | --pool ID FILE...",
		Short: "List a pool and see that it holds each row once",
		Long: `Verify lists all tasks of a pool once, and accounts for each of them: which rows
have no task (missing), which tasks are beyond one for each row like them (doubled),
which rows have a task that holds something else now (changed), and which tasks are
no row's (foreign). Two tasks are alike where all that they were sent with is.

The rows are those that a run has created, by its name or the beginning of it;
without a name those of the latest run. What other runs that the ledger knows have
created in the same pool is accounted for too. With --pool on the command line they
are all valid rows of files, which are read as upload reads them, and no ledger is
asked.

With --out it writes verify.tsv, with a line for each difference. It sends no task
and changes nothing. Nobody may upload to the pool meanwhile.

Exit codes: 0 the pool holds each row once, and nothing else; 1 it differs, rows of
the run are in doubt, or it could not be listed; 2 the command must change first; 5
a run on this machine is uploading to the pool.`,
		Example: `  poolfill verify
  poolfill verify 5c0f --out verified/
  poolfill verify --pool 1238218 tasks.tsv more.csv.gz --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if f.ofFiles(cmd) {
				return needInputs(cmd, args)
			}
			return atMostOne("run")(cmd, args)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if f.ofFiles(cmd) {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return completeOne(namesOfRuns)(cmd, args, toComplete)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			defer stopOnSignals(cancel, cancel, 0)()
			verify := f.run
			if f.ofFiles(cmd) {
				verify = f.files
			}
			found, err := verify(ctx, cmd, args)
			if ctx.Err() != nil {
				return &interruptedError{"interrupted"}
			}
			if err != nil {
				return err
			}
			return errors.Join(f.json.show(std.out, found), differing(found.Verification))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.api.pool, "pool", "", "the id of the pool that is to hold the rows of files; it counts on the command line alone")
	f.api.registerServer(flags)
	f.api.registerPatience(flags)
	f.reading.register(flags)
	f.state.register(flags, stateOfLook)
	f.json.register(flags)
	flags.StringVar(&f.dir, "out", "", "write verify.tsv to this folder")
	return cmd
}

// ofFiles reports whether the rows are those of files. A pool that the environment or the
// configuration file names is that of uploads.
func (f *verifyFlags) ofFiles(cmd *cobra.Command) bool {
	return originOf(cmd.Flags().Lookup("pool")).Source == fromFlag
}

// files verifies the pool that is to hold the rows of files.
func (f *verifyFlags) files(ctx context.Context, cmd *cobra.Command, args []string) (v ui.Verification, err error) {
	rows := pipeline.RowsOfFiles{Input: pipeline.Input{NoSpec: f.reading.noSpec}, PoolID: f.api.pool}
	if rows.Files, err = reader.Expand(args); err != nil {
		return v, &usageError{err}
	}
	if rows.Reader, err = f.reading.config(); err != nil {
		return v, &usageError{err}
	}
	cfg := pipeline.Verifying{Rows: rows}
	if cfg.API, _, err = f.api.target(cmd.Flags()); err != nil {
		return v, &usageError{err}
	}
	return f.verify(ctx, "pool-"+f.api.pool, cfg)
}

// run verifies the pool of a run, on the server that the run had.
func (f *verifyFlags) run(ctx context.Context, cmd *cobra.Command, args []string) (v ui.Verification, err error) {
	err = known(f.state.withLedger(ctx, func(l *ledger.Ledger) (err error) {
		run, err := l.Find(ctx, strings.Join(args, ""))
		if err != nil {
			return aboutFiles(err, args)
		}
		release, err := f.state.holdPool(ctx, l, run)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, release()) }()
		cfg := pipeline.Verifying{Rows: pipeline.RowsOfRun{Ledger: l, Run: run}}
		if cfg.API, _, err = f.api.target(cmd.Flags()); err != nil {
			return &usageError{err}
		}
		cfg.API.BaseURL = run.Server
		v, err = f.verify(ctx, run.Name, cfg)
		return err
	}))
	return v, err
}

// aboutFiles adds how files are verified to the error of a run that there isn't.
func aboutFiles(err error, args []string) error {
	if len(args) == 1 {
		if _, none := os.Stat(args[0]); none == nil {
			return fmt.Errorf("%w. To verify a file, name its pool with --pool on the command line", err)
		}
	}
	return err
}

func (f *verifyFlags) verify(ctx context.Context, name string, cfg pipeline.Verifying) (v ui.Verification, err error) {
	if f.dir == "" {
		v.Verification, err = pipeline.Verify(ctx, cfg)
		return v, err
	}
	path, err := report.WriteDifferences(filepath.Clean(f.dir), name, func(tell func(pipeline.Difference) error) (err error) {
		cfg.Tell = tell
		v.Verification, err = pipeline.Verify(ctx, cfg)
		return err
	})
	v.Outputs = map[string]string{"verify": path}
	return v, err
}

// holdPool keeps uploads from the pool of a run while it is verified.
func (f stateFlags) holdPool(ctx context.Context, l *ledger.Ledger, run ledger.Run) (release func() error, err error) {
	dir, err := f.folder()
	if err != nil {
		return nil, err
	}
	owner := fmt.Sprintf("verifying run %s, process %d, since %s", run.Name, os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	lock, err := state.LockPool(dir, run.Server, run.Pool, owner)
	if err != nil {
		return nil, adviseFolder(err)
	}
	others, held, err := l.HoldPool(ctx, run.Server, run.Pool)
	if err == nil && !held {
		err = &state.HeldError{Pool: run.Pool, Elsewhere: true}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return func() error { return errors.Join(others(), lock.Release()) }, nil
}

// differenceError says that a pool doesn't hold each row once. To run the command again
// is no help.
type differenceError struct{ found pipeline.Verification }

func (e *differenceError) Error() string {
	var counts []string
	for _, c := range []struct {
		n    int64
		kind pipeline.DifferenceKind
	}{
		{e.found.Missing, pipeline.Missing}, {e.found.Doubled, pipeline.Doubled}, {e.found.Changed, pipeline.Changed}, {e.found.Foreign, pipeline.Foreign},
	} {
		if c.n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", c.n, c.kind))
		}
	}
	if e.found.InDoubt > 0 {
		counts = append(counts, fmt.Sprintf("%d in doubt", e.found.InDoubt))
	}
	first := ""
	if len(e.found.Differences) > 0 {
		first = ", such as " + ui.DescribeDifference(e.found.Differences[0])
	}
	return fmt.Sprintf("pool %s doesn't hold each row once: %s%s", e.found.PoolID, strings.Join(counts, ", "), first)
}

// differing makes an error of a verification that found something, for the exit code.
func differing(v pipeline.Verification) error {
	if v.Well() {
		return nil
	}
	return &differenceError{v}
}
