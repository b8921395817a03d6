package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/uploader/toloka"
	"poolfill/uploader/tolokatest"
)

// images writes a file of so many rows.
func images(t *testing.T, rows int) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("INPUT:image\n")
	for i := range rows {
		fmt.Fprintf(&text, "https://example.com/%d.png\n", i)
	}
	path := filepath.Join(t.TempDir(), "rows.tsv")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAScheduledUploadStopsWithItsWorkerAndGoesOnWithAnother(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	t.Setenv("TOLOKA_TOKEN", server.API().Token)
	t.Chdir(t.TempDir())
	place := stateFlags{dir: t.TempDir()}
	s := backfill.Scheduled{Server: server.URL, Args: []string{images(t, 60), "--pool", server.PoolID, "--chunk-size", "1", "--workers", "1"}}

	stop := make(chan struct{})
	var once sync.Once
	std := streams{err: io.Discard, configure: func(cfg *pipeline.Config) {
		cfg.API.Observe = func(e toloka.Exchange) {
			if e.Tasks > 0 {
				once.Do(func() { close(stop) })
			}
		}
	}}
	o, err := scheduledUpload(newRootCommand, std, place, stop)(t.Context(), s)
	if err != nil || o.Until.IsZero() || !strings.HasPrefix(o.Summary, "interrupted: ") {
		t.Fatalf("it came to %+v: %v", o, err)
	}
	if tasks, err := server.Tasks(); err != nil || len(tasks) == 0 || len(tasks) == 60 {
		t.Errorf("%d tasks were created: %v", len(tasks), err)
	}
	if o, err := scheduledUpload(newRootCommand, std, place, stop)(t.Context(), s); err != nil || o.Until.IsZero() || !strings.HasPrefix(o.Summary, "interrupted") {
		t.Errorf("with a worker that is stopping it came to %+v: %v", o, err)
	}
	if o, err = scheduledUpload(newRootCommand, std, place, nil)(t.Context(), s); err != nil || !o.Until.IsZero() || o.Summary != "finished: 60 created, 0 rejected, 0 skipped, 0 unsent" {
		t.Errorf("the next time it came to %+v: %v", o, err)
	}
	if tasks, err := server.Tasks(); err != nil || len(tasks) != 60 {
		t.Errorf("%d tasks were created: %v", len(tasks), err)
	}
}

// A command that is to end with its backfill begins no upload that may take hours.
func TestABackfillLeavesScheduledUploadsToWorkers(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	t.Setenv("TOLOKA_TOKEN", server.API().Token)
	t.Chdir(t.TempDir())
	state := t.TempDir()
	l, err := ledger.Open(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	m, err := backfill.Manage(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Schedule(t.Context(), backfill.Scheduled{Name: "hourly", Cron: "0 * * * *", Server: server.URL, Args: []string{images(t, 3), "--pool", server.PoolID}}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.DB().ExecContext(t.Context(), `UPDATE schedule SET due = $1`, time.Now().Add(-3*time.Hour).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	std := streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	if code := run([]string{"backfill", "start", images(t, 3), "--pool-template", server.PoolID, "--url", server.URL, "--state-dir", state, "--progress", "none"}, std); code != exitOK {
		t.Fatalf("it ended with %d", code)
	}
	if all, err := m.Schedules(t.Context()); err != nil || len(all) != 1 || !all[0].Begun.IsZero() {
		t.Errorf("the schedules are %+v: %v", all, err)
	}
}
