package backfill

import (
	"testing"

	"go.uber.org/zap"

	"poolfill/internal/ledger"
	"poolfill/internal/pgtest"
	"poolfill/uploader/tolokatest"
)

// A user who may make no tables works with those that are there: the ledger's, those
// of backfills, and River's.
func TestAUserWithoutTheRightToMakeTables(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	work := func(address string) {
		t.Helper()
		l, err := ledger.OpenURL(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		e, err := Start(t.Context(), Place{Ledger: l, Postgres: address}, Options{API: server.API(), Jobs: 1, Log: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	url := pgtest.URL(t)
	work(url)
	work(pgtest.Restricted(t, url))
}
