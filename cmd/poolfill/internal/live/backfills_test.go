package live_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/live"
)

// oneBackfill is a backfill with one of its two pools filled.
func oneBackfill(context.Context) ([]backfill.Status, error) {
	return []backfill.Status{{
		Name: "dump", State: backfill.Running, Rows: 200, Created: 90, Rejected: 10,
		Segments: map[backfill.State]int64{backfill.Finished: 1, backfill.Waiting: 1},
		Pools:    []backfill.PoolStatus{{Pool: "6", Rows: 100, Created: 90, Rejected: 10, Finished: true}, {Template: "1", Rows: 100}},
		Trouble:  []backfill.SegmentTrouble{{Segment: "dump-00002", File: "<b>.tsv", Error: "no such file"}},
	}}, nil
}

func backfills(t *testing.T, statuses live.Statuses, o live.Options) http.Handler {
	t.Helper()
	h, err := live.Backfills(statuses, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestBackfillsAreShown(t *testing.T) {
	h := backfills(t, oneBackfill, live.Options{})
	status, page, _ := get(t, h, "GET", "x", "/")
	for _, want := range []string{"dump", "50.0%: 90 of 200 rows created, 10 rejected", "clone of 1", "dump-00002 (&lt;b&gt;.tsv): no such file"} {
		if status != 200 || !strings.Contains(page, want) {
			t.Errorf("%d, and there is no %q in\n%s", status, want, page)
		}
	}
	_, metrics, _ := get(t, h, "GET", "x", "/metrics")
	for _, want := range []string{
		`poolfill_backfill_rows{backfill="dump",outcome="created"} 90`, `poolfill_backfill_segments{backfill="dump",state="failed"} 0`,
		`poolfill_backfill_pools{backfill="dump",state="planned"} 2`, `poolfill_backfill_pools{backfill="dump",state="there"} 1`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("there is no %s in\n%s", want, metrics)
		}
	}
}

func TestADatabaseThatIsAwayIsSaid(t *testing.T) {
	h := backfills(t, func(context.Context) ([]backfill.Status, error) { return nil, errors.New("it is away") }, live.Options{})
	if status, body, _ := get(t, h, "GET", "x", "/"); status != http.StatusServiceUnavailable || !strings.Contains(body, "it is away") {
		t.Errorf("%d with\n%s", status, body)
	}
	if status, _, _ := get(t, h, "GET", "x", "/metrics"); status != http.StatusInternalServerError {
		t.Errorf("metrics: %d", status)
	}
}

// River's page is only for those who may see ours.
func TestRiversPageIsGuardedToo(t *testing.T) {
	river := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := backfills(t, oneBackfill, live.Options{LocalOnly: true, River: river})
	for host, want := range map[string]int{"localhost": http.StatusTeapot, "evil.example": http.StatusForbidden} {
		if status, _, _ := get(t, h, "GET", host, "/river/"); status != want {
			t.Errorf("%s: %d, not %d", host, status, want)
		}
	}
	if status, _, _ := get(t, backfills(t, oneBackfill, live.Options{}), "GET", "x", "/river/"); status != http.StatusNotFound {
		t.Errorf("without River's page: %d", status)
	}
}
