package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/internal/postgres"
	"poolfill/internal/state"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
)

// dbFlag names the database with the ledger.
const dbFlag = "db"

// stateFlags say where the state is: the ledger, and the lock of each pool.
type stateFlags struct{ dir, db string }

// What --state-dir is to commands that write the state, and to those that read it.
const (
	stateOfRuns = "the folder for what outlives a run: the ledger, and the lock of each pool"
	stateOfLook = "the folder with the ledger"
)

func (f *stateFlags) register(flags *pflag.FlagSet, usage string) {
	flags.StringVar(&f.dir, "state-dir", "", usage+" (default: the platform's, such as ~/.local/state/poolfill)")
	flags.StringVar(&f.db, dbFlag, "", `the PostgreSQL database with the ledger, for many machines, such as
postgres://user@host/poolfill (default: a file in --state-dir); its password is
taken from PGPASSWORD or ~/.pgpass too`)
}

// folder returns the folder that the user named, or the platform's.
func (f stateFlags) folder() (string, error) {
	if f.dir != "" {
		return f.dir, nil
	}
	dir, err := state.DefaultDir()
	if err != nil {
		return "", &usageError{adviseFolder(err)}
	}
	return dir, nil
}

// adviseFolder adds what to do about a folder for the state that can't be used.
func adviseFolder(err error) error {
	var folder *state.FolderError
	switch {
	case !errors.As(err, &folder):
		return err
	case folder.Dir == "":
		return fmt.Errorf("there is no folder for the state: name one with --state-dir (%w)", folder.Err)
	}
	return fmt.Errorf("the folder for the state, %s, can't be used: name another with --state-dir (%w)", folder.Dir, folder.Err)
}

// hasLedger reports whether there may be a ledger; to open one that isn't there
// would make it.
func (f stateFlags) hasLedger() (bool, error) {
	if f.db != "" {
		return true, nil
	}
	dir, err := f.folder()
	if err != nil {
		return false, err
	}
	_, err = os.Stat(filepath.Join(dir, ledger.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// withLedger opens the ledger for the time of use.
func (f stateFlags) withLedger(ctx context.Context, use func(*ledger.Ledger) error) error {
	dir, err := f.folder()
	if err != nil {
		return err
	}
	l, err := openLedger(ctx, f.db, dir)
	if err != nil {
		return err
	}
	return errors.Join(use(l), l.Close())
}

// withManager opens the ledger and its backfills for the time of use.
func (f stateFlags) withManager(ctx context.Context, use func(backfill.Place, *backfill.Manager) error) error {
	return f.withLedger(ctx, func(l *ledger.Ledger) error {
		dir, err := f.folder()
		if err != nil {
			return err
		}
		m, err := backfill.Manage(ctx, l)
		if err != nil {
			return err
		}
		return use(backfill.Place{Ledger: l, Postgres: f.db, Dir: dir}, m)
	})
}

// lookFlags are those of commands that only look at the state, or change it.
type lookFlags struct {
	state stateFlags
	json  jsonFlag
}

func (f *lookFlags) register(flags *pflag.FlagSet, usage string) {
	f.state.register(flags, usage)
	f.json.register(flags)
}

// runs returns the body of a command about runs. name is its argument, or empty.
func (f *lookFlags) runs(do func(ctx context.Context, l *ledger.Ledger, name string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return known(f.state.withLedger(cmd.Context(), func(l *ledger.Ledger) error {
			return do(cmd.Context(), l, strings.Join(args, ""))
		}))
	}
}

// backfills returns the body of a command about backfills or schedules. name is its
// argument, or empty.
func (f *lookFlags) backfills(do func(ctx context.Context, m *backfill.Manager, name string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return known(f.state.withManager(cmd.Context(), func(_ backfill.Place, m *backfill.Manager) error {
			return do(cmd.Context(), m, strings.Join(args, ""))
		}))
	}
}

// openLedger opens the ledger in the database where one is named, and otherwise in
// the folder.
func openLedger(ctx context.Context, db, dir string) (*ledger.Ledger, error) {
	open, place := ledger.Open, dir
	if db != "" {
		open, place = ledger.OpenURL, db
	}
	l, err := open(ctx, place)
	var (
		address *postgres.AddressError
		newer   *ledger.NewerError
		older   *ledger.OlderError
		damaged *ledger.DamagedError
	)
	if unusable(err) || errors.As(err, &damaged) || errors.As(err, &address) || errors.As(err, &newer) || errors.As(err, &older) {
		return nil, &usageError{err}
	}
	return l, err
}

// lateLedger is a ledger that the run opens, beside its first question to the
// server, and that is closed after the run.
type lateLedger struct {
	db, dir      string
	server, pool string
	ledger       *ledger.Ledger // nil while it is not open
	release      func() error   // lets other machines have the pool
}

func (l *lateLedger) open(ctx context.Context) (*ledger.Ledger, error) {
	opened, err := openLedger(ctx, l.db, l.dir)
	if err != nil {
		return nil, err
	}
	release, held, err := opened.HoldPool(ctx, l.server, l.pool)
	if err == nil && !held {
		err = &state.HeldError{Pool: l.pool, Elsewhere: true}
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	l.ledger, l.release = opened, release
	return opened, nil
}

func (l *lateLedger) close() error {
	if l.ledger == nil {
		return nil
	}
	return errors.Join(l.release(), l.ledger.Close())
}

// withoutPassword leaves the database's password out of a command line, since
// command lines are kept and printed.
func withoutPassword(args []string) []string {
	kept := append([]string(nil), args...)
	for i, arg := range kept {
		value, joined := strings.CutPrefix(arg, "--"+dbFlag+"=")
		switch {
		case arg == "--":
			return kept
		case joined:
			kept[i] = "--" + dbFlag + "=" + postgres.Public(value)
		case i > 0 && kept[i-1] == "--"+dbFlag:
			kept[i] = postgres.Public(arg)
		}
	}
	return kept
}

// lockPool keeps other runs on this machine from the pool, and hands the run its
// ledger.
func (f stateFlags) lockPool(cfg *pipeline.Config) (release func() error, err error) {
	dir, err := f.folder()
	if err != nil {
		return nil, err
	}
	owner := fmt.Sprintf("run %s, process %d, since %s", cfg.RunID, os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	lock, err := state.LockPool(dir, cfg.API.BaseURL, cfg.PoolID, owner)
	switch {
	case unusable(err):
		return nil, &usageError{adviseFolder(err)}
	case err != nil:
		return nil, adviseFolder(err)
	}
	l := lateLedger{db: f.db, dir: dir, server: cfg.API.BaseURL, pool: cfg.PoolID}
	cfg.OpenLedger = l.open
	return func() error { return errors.Join(l.close(), lock.Release()) }, nil
}
