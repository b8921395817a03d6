package backfill

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poolfill/internal/pgtest"
	"poolfill/pipeline/ledger"
	"poolfill/uploader/tolokatest"
)

// A Deployment starts all its workers at once, as a person may on one machine, and
// each finds that the tables are missing.
func TestWorkersThatStartTogetherMakeTheTablesOnce(t *testing.T) {
	api := tolokatest.New(t, tolokatest.Config{}).API()
	for name, address := range map[string]string{"SQLite": t.TempDir(), "PostgreSQL": pgtest.URL(t)} {
		t.Run(name, func(t *testing.T) {
			var group errgroup.Group
			for range 6 {
				group.Go(func() error { return startAndStop(t.Context(), address, Options{API: api, Jobs: 1, Log: zap.NewNop()}) })
			}
			if err := group.Wait(); err != nil {
				t.Fatal(err)
			}
			if name == "SQLite" && runtime.GOOS != "windows" { // where nobody else may read it
				if info, err := os.Stat(filepath.Join(address, queueFile)); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%v, %v", info, err)
				}
			}
		})
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

// What a segment failed of is told, whatever bytes a server or a file's name put into
// the words.
func TestAnErrorThatIsNoTextIsKept(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	l, err := ledger.OpenURL(t.Context(), pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	m := manage(t, Place{Ledger: l})
	b := begin(t, m, server.API(), 3)
	g, err := m.store.segment(t.Context(), b.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if ours, err := m.store.claim(t.Context(), g, "one"); err != nil || !ours {
		t.Fatalf("%t %v", ours, err)
	}
	if err := m.store.release(t.Context(), g, "one", result{state: Failed, err: "a\x00b\xffc"}); err != nil {
		t.Fatal(err)
	}
	if s, err := m.Status(t.Context(), b.Name); err != nil || len(s.Trouble) != 1 || s.Trouble[0].Error != "a\ufffdb\ufffdc" {
		t.Errorf("%+v, %v", s.Trouble, err)
	}
}

// startAndStop starts a worker with the database at a URL, or the files in a folder.
func startAndStop(ctx context.Context, address string, o Options) (err error) {
	var at Place
	if strings.Contains(address, "://") {
		at.Postgres = address
		at.Ledger, err = ledger.OpenURL(ctx, address)
	} else {
		at.Dir = address
		at.Ledger, err = ledger.Open(ctx, address)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, at.Ledger.Close()) }()
	e, err := Start(ctx, at, o)
	if err != nil {
		return err
	}
	return e.Stop(ctx)
}
