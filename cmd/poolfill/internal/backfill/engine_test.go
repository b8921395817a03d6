package backfill

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"poolfill/pipeline/ledger"
	"poolfill/ratelimit"
	"poolfill/uploader/toloka"
	"poolfill/uploader/tolokatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place makes an empty ledger.
func place(t *testing.T) Place {
	t.Helper()
	dir := t.TempDir()
	l, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return Place{Ledger: l, Dir: dir}
}

func manage(t *testing.T, at Place) *Manager {
	t.Helper()
	m, err := Manage(t.Context(), at.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// begin enters a backfill of so many rows from clones of pool 1.
func begin(t *testing.T, m *Manager, api toloka.Config, rows int) Backfill {
	t.Helper()
	return enter(t, m, api, Source{Path: rowsFile(t, rows), Template: "1"},
		Settings{ChunkSize: 2, SegmentRows: 3, PoolTasks: 6, Limits: ratelimit.Config{TasksPerMinute: 1000}})
}

// enter enters a backfill of one file by settings, of which it sets the server.
func enter(t *testing.T, m *Manager, api toloka.Config, file Source, s Settings) Backfill {
	t.Helper()
	s.Server, file.Priority = api.BaseURL, defaultPriority
	client, err := toloka.NewClient(api)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p, err := MakePlan(t.Context(), client, []Source{file}, nil, s, func(Input) {})
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

// queued collects the jobs that are asked for. River takes those in atWork for
// running.
type queued struct {
	jobs   []wanted
	atWork []jobKey
}

func (q *queued) running(context.Context) ([]jobKey, error) { return q.atWork, nil }

func (q *queued) insert(_ context.Context, all []wanted) error {
	q.jobs = append(q.jobs, all...)
	return nil
}

// keeping returns the queue of a keeper, and a function that has it keep after more
// time has passed.
func keeping(t *testing.T, m *Manager, server *tolokatest.Server) (q *queued, keep func(after time.Duration)) {
	t.Helper()
	q = &queued{}
	k := &keeper{store: m.store, queue: q, api: server.API(), log: zap.NewNop(), alarm: newAlarm(m.store.ledger)}
	now := time.Now()
	return q, func(after time.Duration) {
		t.Helper()
		now = now.Add(after)
		if err := k.keep(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASegmentOfADeadWorkerGoesToAnother(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	m := manage(t, place(t))
	b := begin(t, m, server.API(), 3)
	q, keep := keeping(t, m, server)
	keep(0)
	keep(time.Second)
	if len(q.jobs) != 1 || q.jobs[0].Generation != 1 {
		t.Fatalf("the jobs are %+v", q.jobs)
	}
	g, err := m.store.segment(t.Context(), b.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if ours, err := m.store.claim(t.Context(), g, "one"); err != nil || !ours {
		t.Fatalf("%t %v", ours, err)
	}
	if ours, _ := m.store.claim(t.Context(), g, "two"); ours {
		t.Fatal("two workers have the same segment")
	}
	keep(0)
	keep(abandoned / 2)
	if _, lost, err := m.store.beat(t.Context(), g, "one"); lost || err != nil {
		t.Fatalf("lost %t, %v", lost, err)
	}
	keep(0)
	keep(abandoned - time.Second)
	if len(q.jobs) != 1 {
		t.Fatal("a segment was taken away from a worker that is alive")
	}
	keep(time.Second)
	if len(q.jobs) != 2 || q.jobs[1].Generation != 2 {
		t.Fatalf("the jobs are %+v", q.jobs)
	}
	// The dead one comes back: it has lost the segment, and changes nothing.
	if _, lost, err := m.store.beat(t.Context(), g, "one"); !lost || err != nil {
		t.Fatalf("lost %t, %v", lost, err)
	}
	if err := m.store.release(t.Context(), g, "one", result{state: Finished, created: 3}); err != nil {
		t.Fatal(err)
	}
	if g, err = m.store.segment(t.Context(), b.ID, 0); err != nil || g.state != Waiting {
		t.Fatalf("the segment is %s, %v", g.state, err)
	}
}

// A worker can die between River and the segment: before it has it, or after it
// has left it.
func TestAJobThatWasLostWithItsWorkerIsReplaced(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	m := manage(t, place(t))
	b := begin(t, m, server.API(), 3)
	q, keep := keeping(t, m, server)
	keep(0)
	keep(10 * abandoned) // it waits for its turn
	if len(q.jobs) != 1 {
		t.Fatalf("the jobs are %+v", q.jobs)
	}
	q.atWork = []jobKey{{b.ID, 0, 1}}
	keep(0)
	keep(abandoned - time.Second)
	if len(q.jobs) != 1 {
		t.Fatal("a job was replaced too early")
	}
	keep(time.Second)
	if len(q.jobs) != 2 || q.jobs[1].Generation != 2 {
		t.Fatalf("the jobs are %+v", q.jobs)
	}
	keep(10 * abandoned)
	if len(q.jobs) != 2 {
		t.Fatalf("the jobs are %+v", q.jobs)
	}
}

func TestACloneWhoseIdGotLostIsAdopted(t *testing.T) {
	for name, rename := range map[string]bool{"before it had its name": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			server := tolokatest.New(t, tolokatest.Config{})
			m := manage(t, place(t))
			b := begin(t, m, server.API(), 3)
			w := cloner{m.store, zap.NewNop()}
			client, err := toloka.NewClient(server.API())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			p, err := m.store.slot(t.Context(), b.ID, 0)
			if err != nil {
				t.Fatal(err)
			}
			g, err := m.store.segment(t.Context(), b.ID, 0)
			if err != nil {
				t.Fatal(err)
			}
			// A worker asks for the clone and dies before it can note the id.
			if ours, err := m.store.claim(t.Context(), g, "dead"); err != nil || !ours {
				t.Fatalf("%t %v", ours, err)
			}
			if wait, err := m.store.ask(t.Context(), p, "dead", b.Settings, time.Now()); err != nil || wait > 0 {
				t.Fatalf("%s %v", wait, err)
			}
			template, err := client.Pool(t.Context(), "1")
			if err != nil {
				t.Fatal(err)
			}
			clone, err := client.ClonePool(t.Context(), "1")
			if err != nil {
				t.Fatal(err)
			}
			if rename {
				if err := client.RenamePool(t.Context(), clone, template.PrivateName+" [b, pool 1]"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.pool(t.Context(), client, g, "alive"); err == nil {
				t.Fatal("two workers clone the same pool")
			}
			if freed, err := m.store.free(t.Context(), held{b.ID, 0, "dead", 1}); err != nil || !freed {
				t.Fatalf("%t %v", freed, err)
			}
			got, err := w.pool(t.Context(), client, g, "alive")
			if err != nil || got != clone {
				t.Fatalf("the pool is %q and not %q: %v", got, clone, err)
			}
			named, err := client.Pool(t.Context(), got)
			if err != nil || named.PrivateName != template.PrivateName+" [b, pool 1]" {
				t.Fatalf("it is called %q: %v", named.PrivateName, err)
			}
		})
	}
}

// Times that were missed become one run, as soon as there is a worker.
func TestMissedTimesBecomeOneRun(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	at := place(t)
	m := manage(t, at)
	if err := m.Schedule(t.Context(), Scheduled{Name: "hourly", Cron: "0 * * * *", Args: []string{"a.tsv", "--pool", "1"}, Server: server.API().BaseURL}); err != nil {
		t.Fatal(err)
	}
	due := time.Now().Add(-3 * time.Hour)
	if _, err := m.store.db.ExecContext(t.Context(), `UPDATE schedule SET due = $1`, due.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	began := make(chan Scheduled, 10)
	work := func() {
		e, err := Start(t.Context(), at, Options{API: server.API(), Jobs: 1, Log: zap.NewNop(), Upload: func(_ context.Context, s Scheduled) (Outcome, error) {
			began <- s
			return Outcome{Run: "5c0f", Summary: "finished"}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case s := <-began:
			if s.Due.Before(time.Now().Add(-time.Hour)) || s.Args[0] != "a.tsv" {
				t.Errorf("it began for %s: %+v", s.Due, s)
			}
		case <-t.Context().Done():
		}
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	work()
	all, err := m.Schedules(t.Context())
	if err != nil || len(all) != 1 || all[0].Run != "5c0f" || all[0].Result != "finished" || all[0].Ended.IsZero() {
		t.Fatalf("the schedule is %+v, %v", all, err)
	}
	if due, err := lastMissed(all[0], time.Now()); err != nil || !due.IsZero() {
		t.Errorf("a time is due once more: %s, %v", due, err)
	}
	if len(began) > 0 {
		t.Error("it began more than once")
	}
	if err := m.Unschedule(t.Context(), "hourly"); err != nil {
		t.Error(err)
	}
}
