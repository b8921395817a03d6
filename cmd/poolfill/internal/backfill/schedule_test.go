package backfill

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
)

// entered collects the scheduled uploads that are entered, each once, as River does.
type entered struct{ jobs []scheduleArgs }

func (e *entered) insertScheduled(_ context.Context, a scheduleArgs) error {
	if !slices.Contains(e.jobs, a) {
		e.jobs = append(e.jobs, a)
	}
	return nil
}

// schedule enters an upload of a server, which was made at a time.
func schedule(t *testing.T, m *Manager, name, cron, server string, made time.Time) {
	t.Helper()
	if err := m.Schedule(t.Context(), Scheduled{Name: name, Cron: cron, Args: []string{"a.tsv"}, Server: server}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.store.db.ExecContext(t.Context(), `UPDATE schedule SET made = $1, due = $1 WHERE name = $2`, millis(made), name); err != nil {
		t.Fatal(err)
	}
}

func scheduling(m *Manager, q scheduleQueue, server string, upload func(Scheduled)) *scheduler {
	return &scheduler{schedules: m.schedules(), queue: q, server: server, log: zap.NewNop(), alarm: newAlarm(m.store.ledger), upload: func(_ context.Context, one Scheduled) (Outcome, error) {
		if upload != nil {
			upload(one)
		}
		return Outcome{Run: "run", Summary: "finished"}, nil
	}}
}

// The workers of one database may be of several servers, and come and go.
func TestEachTimeIsEnteredOnceByTheWorkersOfItsServer(t *testing.T) {
	m := manage(t, place(t))
	made := time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC)
	schedule(t, m, "a", "* * * * *", "one", made)
	schedule(t, m, "b", "* * * * *", "two", made)
	schedule(t, m, "c", "0 3 * * *", "two", made)
	q := &entered{}
	first, second, third := scheduling(m, q, "one", nil), scheduling(m, q, "two", nil), scheduling(m, q, "two", nil)
	sync := func(s *scheduler, after time.Duration) {
		t.Helper()
		if err := s.sync(t.Context(), made.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	sync(first, 20*time.Second)
	sync(second, 20*time.Second)
	if len(q.jobs) > 0 {
		t.Fatalf("before their time there are %+v", q.jobs)
	}
	sync(first, 30*time.Second)
	sync(second, 30*time.Second)
	sync(third, 40*time.Second)
	minute := made.Truncate(time.Minute).Add(time.Minute)
	want := []scheduleArgs{{"a", minute}, {"b", minute}}
	if !slices.Equal(q.jobs, want) {
		t.Fatalf("the jobs are %+v", q.jobs)
	}
	for _, job := range q.jobs {
		if err := first.work(t.Context(), job, 1); (err == nil) != (job.Schedule == "a") {
			t.Fatalf("%s: %v", job.Schedule, err)
		}
	}
	if err := third.work(t.Context(), want[1], 1); err != nil {
		t.Fatal(err)
	}
	sync(third, 50*time.Second)
	sync(third, 90*time.Second)
	if want = append(want, scheduleArgs{"b", minute.Add(time.Minute)}); !slices.Equal(q.jobs, want) {
		t.Errorf("the jobs are %+v", q.jobs)
	}
}

func TestTheLastTimeThatWasMissed(t *testing.T) {
	made := time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC)
	for _, tt := range []struct {
		cron  string
		after time.Duration
		want  time.Duration // from when it was made; 0 is none
	}{
		{"* * * * *", 20 * time.Second, 0},
		{"* * * * *", 30 * time.Second, 30 * time.Second},
		{"* * * * *", 100*24*time.Hour + time.Minute, 100*24*time.Hour + 30*time.Second},
		{"* * * * *", 10 * 366 * 24 * time.Hour, 10*366*24*time.Hour - 30*time.Second},
		{"0 3 * * *", 2 * time.Hour, 0},
		{"0 3 * * *", 3 * time.Hour, 3*time.Hour - 30*time.Second},
		{"0 3 * * *", 50 * time.Hour, 27*time.Hour - 30*time.Second},
		{"0 0 29 2 *", 2 * 365 * 24 * time.Hour, 0},
		{"0 0 29 2 *", 3 * 365 * 24 * time.Hour, (2*365+31+28)*24*time.Hour - 30*time.Second},
	} {
		due, err := lastMissed(Scheduled{Cron: tt.cron, Due: made}, made.Add(tt.after))
		if err != nil || due.IsZero() != (tt.want == 0) || tt.want != 0 && !due.Equal(made.Add(tt.want)) {
			t.Errorf("%s after %s: %s, %v", tt.cron, tt.after, due, err)
		}
	}
}

// A run may take longer than it is to the next one, or than its schedule stays the
// same.
func TestTheEndOfARunBringsNoTimeBack(t *testing.T) {
	m := manage(t, place(t))
	made := time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC)
	schedule(t, m, "s", "* * * * *", "one", made)
	due := made.Add(30 * time.Second)
	changed := made.Add(time.Hour)
	ran := 0
	s := scheduling(m, &entered{}, "one", func(Scheduled) {
		ran++
		schedule(t, m, "s", "0 3 * * *", "one", changed)
	})
	if err := s.work(t.Context(), scheduleArgs{"s", due}, 1); err != nil {
		t.Fatal(err)
	}
	one, err := m.schedules().find(t.Context(), "s")
	if err != nil || !one.Due.Equal(changed) || one.Result != "finished" {
		t.Errorf("the schedule is %+v, %v", one, err)
	}
	if err := s.work(t.Context(), scheduleArgs{"s", due.Add(time.Minute)}, 1); err != nil || ran > 1 {
		t.Errorf("a time of the old expression is run, %v", err)
	}
}
