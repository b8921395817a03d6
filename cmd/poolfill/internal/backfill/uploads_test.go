package backfill

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"poolfill/uploader/tolokatest"
)

// A worker without Upload does not even look at the jobs of others.
func TestScheduledUploadsWaitForAWorkerThatCarriesThemOut(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	at := place(t)
	m := manage(t, at)
	if err := m.Schedule(t.Context(), Scheduled{Name: "hourly", Cron: "0 * * * *", Args: []string{"a.tsv", "--pool", "1"}, Server: server.API().BaseURL}); err != nil {
		t.Fatal(err)
	}
	o := Options{API: server.API(), Jobs: 1, Log: zap.NewNop()}
	e, err := Start(t.Context(), at, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.engine.insertScheduled(t.Context(), scheduleArgs{"hourly", time.Now().Add(time.Hour).UTC()}); err != nil {
		t.Fatal(err)
	}
	begin(t, m, server.API(), 3) // whose job comes later
	for b := (Backfill{State: Running}); b.State == Running; time.Sleep(10 * time.Millisecond) {
		if b, err = m.Find(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(at.Dir, queueFile))
	if err != nil {
		t.Fatal(err)
	}
	var state string
	if err := db.QueryRowContext(t.Context(), `SELECT state FROM river_job WHERE kind = $1`, scheduleArgs{}.Kind()).Scan(&state); err != nil || state != "available" {
		t.Errorf("the job is %q: %v", state, err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}

	began := make(chan struct{})
	o.Upload = func(context.Context, Scheduled) (Outcome, error) {
		close(began)
		return Outcome{}, nil
	}
	if e, err = Start(t.Context(), at, o); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := e.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
