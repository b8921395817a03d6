package backfill

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poolfill/internal/ledger"
	"poolfill/internal/pgtest"
	"poolfill/uploader/tolokatest"
)

// A Deployment starts all its workers at once, and each finds that the tables are
// missing.
func TestWorkersThatStartTogetherMakeTheTablesOnce(t *testing.T) {
	address, api := pgtest.URL(t), tolokatest.New(t, tolokatest.Config{}).API()
	var group errgroup.Group
	for range 6 {
		group.Go(func() error { return startAndStop(t.Context(), address, Options{API: api, Jobs: 1, Log: zap.NewNop()}) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// A user who may make no tables works with those that are there: the ledger's, those
// of backfills, and River's.
func TestAUserWithoutTheRightToMakeTables(t *testing.T) {
	address, api := pgtest.URL(t), tolokatest.New(t, tolokatest.Config{}).API()
	work := func(address string) {
		t.Helper()
		if err := startAndStop(t.Context(), address, Options{API: api, Jobs: 1, Log: zap.NewNop()}); err != nil {
			t.Fatal(err)
		}
	}
	work(address)
	work(pgtest.Restricted(t, address))
}

func startAndStop(ctx context.Context, address string, o Options) (err error) {
	l, err := ledger.OpenURL(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	e, err := Start(ctx, Place{Ledger: l, Postgres: address}, o)
	if err != nil {
		return err
	}
	return e.Stop(ctx)
}
