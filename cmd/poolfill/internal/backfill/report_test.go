package backfill

import (
	"testing"

	"poolfill/pipeline"
	"poolfill/uploader/toloka"
	"poolfill/uploader/tolokatest"
)

func TestAWorkerIsIdleWhereAllIsOthers(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	m := manage(t, place(t))
	begin(t, m, server.API(), 3)
	own, others := server.API(), server.API()
	others.ActUnder = "another"
	for _, c := range []struct {
		api  toloka.Config
		want bool
	}{{own, false}, {others, true}} {
		if idle, err := m.Idle(t.Context(), c.api); err != nil || idle != c.want {
			t.Errorf("%q: %t, %v", c.api.ActUnder, idle, err)
		}
	}
}

func TestTheReportCountsRowsWhoseRunsAreForgotten(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	m := manage(t, place(t))
	b := begin(t, m, server.API(), 5) // two segments, of which the second never begins
	g, err := m.store.segment(t.Context(), b.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if ours, err := m.store.claim(t.Context(), g, "one"); err != nil || !ours {
		t.Fatalf("%t %v", ours, err)
	}
	if err := m.store.release(t.Context(), g, "one", result{state: Finished, created: 2, rejected: 1}); err != nil {
		t.Fatal(err)
	}
	r, err := m.Report(t.Context(), b, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := pipeline.Totals{Rows: 5, Created: 2, Rejected: 1, Unsent: 2}
	if r.Totals != want || len(r.Warnings) != 1 || r.Warnings[0].Code != CodeForgotten || r.Warnings[0].Count != 3 {
		t.Errorf("%+v, %+v", r.Totals, r.Warnings)
	}
}
