package backfill

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sync/errgroup"

	"poolfill/internal/pgtest"
	"poolfill/pipeline/ledger"
	"poolfill/uploader/toloka"
)

// manageBoth has a test run with both databases.
func manageBoth(t *testing.T, test func(*testing.T, *Manager)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, manage(t, place(t))) })
	t.Run("PostgreSQL", func(t *testing.T) {
		l, err := ledger.OpenURL(t.Context(), pgtest.URL(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, manage(t, Place{Ledger: l}))
	})
}

// offline is a server that nobody asks.
var offline = toloka.Config{BaseURL: "https://toloka.example", Token: "t"}

// A command can be killed at any time, and then be repeated.
func TestResumingIsDoneAsAWholeOrNotAtAll(t *testing.T) {
	manageBoth(t, func(t *testing.T, m *Manager) {
		enterPools(t, m, offline, "b", "7")
		q := &queued{}
		k := &keeper{store: m.store, queue: q}
		if err := k.enqueue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Pause(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		// What comes after the first change fails.
		const table, elsewhere = `ALTER TABLE backfill_segment RENAME TO elsewhere`, `ALTER TABLE elsewhere RENAME TO backfill_segment`
		if _, err := m.store.db.ExecContext(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Resume(t.Context(), "b"); err == nil {
			t.Fatal("it is resumed without its segments")
		}
		if _, err := m.store.db.ExecContext(t.Context(), elsewhere); err != nil {
			t.Fatal(err)
		}
		if got := state(t, m, "b"); got != Paused {
			t.Fatalf("the backfill is %s", got)
		}
		if _, err := m.Resume(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		if err := k.enqueue(t.Context()); err != nil || len(q.jobs) != 2 || q.jobs[1].Generation != 2 {
			t.Errorf("the jobs are %+v, %v", q.jobs, err)
		}
		var wrong *StateError
		if _, err := m.Resume(t.Context(), "b"); !errors.As(err, &wrong) || wrong.State != Running {
			t.Errorf("resuming it again gives %v", err)
		}
		if got := state(t, m, "b"); got != Running {
			t.Errorf("the backfill is %s", got)
		}
	})
}

// A retry comes while the backfill is being ended, or just before or after that.
func TestARetryIsSeenByWhatEndsTheBackfill(t *testing.T) {
	manageBoth(t, func(t *testing.T, m *Manager) {
		k := concluding(m, offline)
		for range 20 {
			name := newToken()
			b := enterPools(t, m, offline, name, "7")
			end(t, m, b, 0, Failed)
			var both errgroup.Group
			both.Go(func() error { return k.conclude(context.WithoutCancel(t.Context())) })
			both.Go(func() error {
				_, n, err := m.Retry(context.WithoutCancel(t.Context()), name)
				if err == nil && n != 1 {
					t.Errorf("%d segments are retried", n)
				}
				return err
			})
			if err := both.Wait(); err != nil {
				t.Fatal(err)
			}
			if got := state(t, m, name); got != Running {
				t.Fatalf("a backfill with a segment to do is %s", got)
			}
			if _, err := m.Cancel(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	})
}
