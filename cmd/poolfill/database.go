package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"poolfill/internal/postgres"
	"poolfill/internal/state"
	"poolfill/ledger"
)

// dbFlag names the database with the ledger.
const dbFlag = "db"

func registerDB(flags *pflag.FlagSet, db *string) {
	flags.StringVar(db, dbFlag, "", `the PostgreSQL database with the ledger, for many machines, such as
postgres://user@host/poolfill (default: a file in --state-dir); its password is
taken from PGPASSWORD or ~/.pgpass too`)
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
	if unusable(err) || errors.As(err, &address) || errors.As(err, &newer) || errors.As(err, &older) || errors.As(err, &damaged) {
		return nil, &usageError{err}
	}
	return l, err
}

// hasLedger reports whether there may be a ledger, which to open would make one.
func hasLedger(db, dir string) (bool, error) {
	if db != "" {
		return true, nil
	}
	_, err := os.Stat(filepath.Join(dir, ledger.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
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
