package backfill

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"poolfill/ratelimit"
	"poolfill/uploader"
	"poolfill/uploader/tolokatest"
)

// enter enters a backfill of one file by settings, of which it sets the server.
func enter(t *testing.T, m *Manager, api uploader.ClientConfig, file Source, s Settings) Backfill {
	t.Helper()
	s.Server, file.Priority = api.BaseURL, defaultPriority
	client, err := uploader.NewClient(api)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p, err := MakePlan(t.Context(), client, []Source{file}, nil, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Begin(t.Context(), "b", "", s, p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rowsFile makes a file of so many rows.
func rowsFile(t *testing.T, rows int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.tsv")
	if err := os.WriteFile(path, []byte("INPUT:image\n"+strings.Repeat("https://example.com/1.png\n", rows)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// working gives a worker without an engine.
func working(m *Manager, api uploader.ClientConfig) *worker {
	return &worker{store: m.store, ledger: m.ledger, api: api, log: zap.NewNop(), alarm: newAlarm(m.ledger), left: func() {}}
}

func TestAUsedUpQuotaKeepsTheOtherSegmentsWaiting(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	m := manage(t, place(t))
	s := Settings{ChunkSize: 2, SegmentRows: 4, PoolTasks: 4, Limits: ratelimit.Config{TasksPerDay: 3, TasksPerMinute: 1000}}
	b := enter(t, m, server.API(), Source{Path: rowsFile(t, 8), Template: "1"}, s)
	w := working(m, server.API())
	waits := func(number int) {
		t.Helper()
		var again *snooze
		if err := w.work(t.Context(), b.ID, number, 1, false); !errors.As(err, &again) || again.wait <= 0 {
			t.Fatalf("segment %d ended with %v", number, err)
		}
	}
	cloned := func(number int) bool {
		t.Helper()
		p, err := m.store.slot(t.Context(), b.ID, number)
		if err != nil {
			t.Fatal(err)
		}
		return !p.asked.IsZero()
	}
	waits(0)
	waits(1)
	if !cloned(0) || cloned(1) {
		t.Errorf("pools are cloned: %t, %t", cloned(0), cloned(1))
	}
	// On the next day it is begun, and meets the quota itself.
	if _, err := m.store.db.ExecContext(t.Context(), `UPDATE backfill_segment SET until = $1 WHERE until > 0`, time.Now().Add(-time.Second).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	waits(1)
	if !cloned(1) {
		t.Error("the segment was not begun when the quota was a new one")
	}
}
