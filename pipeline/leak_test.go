package pipeline_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
)

// A run that is cancelled leaves no goroutine and no open file behind, and the
// next one goes on with it.
func TestACancelledRunWithALedgerLeavesNothingOpen(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	server, url := serve(t, emulator.Config{}, holdPosts(release, arrived))
	cfg := config(url, write(t, "a.tsv", images(100)))
	cfg.ChunkSize, cfg.Workers = 10, 2
	dir := t.TempDir()
	attempt := func(ctx context.Context) (pipeline.Report, error) {
		l, err := ledger.Open(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}()
		cfg.Ledger = l
		return runIn(t, ctx, cfg)
	}
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		<-arrived
		cancel()
	}()
	if r, err := attempt(ctx); err != nil || r.State != pipeline.Interrupted || r.Totals.Created != 0 {
		t.Fatalf("%v: %s with %+v", err, r.State, r.Totals)
	}
	goleak.VerifyNone(t, before)
	for _, path := range openFiles(t) {
		if strings.HasPrefix(path, dir) || path == cfg.Files[0] {
			t.Errorf("%s is still open", path)
		}
	}
	close(release)
	r, err := attempt(context.Background())
	if err != nil || r.Totals.Created != 100 || server.Stats().Pools["1"] != 100 {
		t.Errorf("%v: %+v, %d in the pool", err, r.Totals, server.Stats().Pools["1"])
	}
}

// openFiles lists what this process has open, where the system tells.
func openFiles(t *testing.T) (paths []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		// What was closed since the list was made has no target any more.
		if path, err := os.Readlink(link); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}
