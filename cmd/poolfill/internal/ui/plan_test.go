package ui

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"poolfill/cmd/poolfill/internal/plan"
	"poolfill/pipeline"
	"poolfill/ratelimit"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

func TestThePlanOfTenMillionRows(t *testing.T) {
	var pool toloka.Pool
	if err := json.Unmarshal([]byte(`{"id":"7","private_name":"Cats","status":"CLOSED","mixer_config":{"real_tasks_count":9,"golden_tasks_count":1},
		"reward_per_assignment":0.02,"defaults":{"default_overlap_for_new_tasks":3}}`), &pool); err != nil {
		t.Fatal(err)
	}
	tasks, used := int64(250_000), int64(120_000)
	p := plan.Make(plan.Facts{
		Report: pipeline.Report{
			Totals:     pipeline.Totals{Rows: 10_000_009, Valid: 10_000_000, Rejected: 9},
			Rejections: []pipeline.Rejection{{Stage: "parse", Code: "COLUMN_COUNT", Message: "too few", Count: 9, Samples: []string{"a.tsv:9"}}},
		},
		Counts: plan.Counts{General: 9_900_000, DefaultOverlap: 9_900_000, Control: 100_000, Chunks: 5000, Largest: 2000, BodyBytes: 2_345_678_901},
		Mode:   uploader.Async, Limits: ratelimit.Config{RequestsPerSecond: 300, TasksPerMinute: 200_000, TasksPerDay: 4_000_000},
		Now: time.Date(2026, 11, 24, 14, 0, 0, 0, time.UTC), UsedToday: &used, Pool: &pool, PoolTasks: &tasks, Balance: "100000",
	})
	const want = `Plan: 10,000,000 of 10,000,009 rows to pool 7, "Cats", which is closed.

Tasks    9,900,000 general, 100,000 control, 0 training
Upload   5,000 chunks with at most 2,000 tasks, 2.35 GB of JSON; at least 15,003 requests in all
Time     3 days of quota, done 2026-11-26 00:10 UTC at the earliest (the quota is 200,000 tasks a minute and 4,000,000 tasks a day, and this machine has used 120,000 of today's)
           2026-11-24  3,880,000 tasks, 14:00 to 14:19
           2026-11-25  4,000,000 tasks, 00:00 to 00:19
           2026-11-26  2,120,000 tasks, 00:00 to 00:10
Pool     has 250,000 tasks and room for 750,000; at least 11 pools for all of them
Control  1% of the tasks are control tasks; Toloka advises at least 1%
Cost     3,300,000 assignments × 0.02 = 66000.00, without Toloka's fee; the balance is 100000.00

Why rows were rejected:
        9  COLUMN_COUNT  (parse)
           too few
           at a.tsv:9, …
More on a code: poolfill explain COLUMN_COUNT

What would stop the upload:
  POOL_TASKS_COUNT_EXCEEDED
           pool 7 has room for 750,000 of the 10,000,000 tasks, since a pool holds 1,000,000: make more pools like it, and upload a part to each (--skip-rows, --limit-rows)
`
	var out strings.Builder
	if err := (Plan{p}).Text(&out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != want {
		t.Errorf("the plan is\n%s\nwant\n%s", got, want)
	}
}

func TestTheTimeOfAPlan(t *testing.T) {
	limits := ratelimit.Config{TasksPerMinute: 10, TasksPerDay: 30}
	used := int64(30)
	for name, c := range map[string]struct {
		tasks  int64
		used   *int64
		limits ratelimit.Config
		want   string
	}{
		"no quota":             {100, nil, ratelimit.Config{}, "Time     no quota of tasks holds the upload up\n"},
		"less than a minute":   {10, nil, limits, "Time     the quotas don't hold the upload up (the quota is 10 tasks a minute and 30 tasks a day)\n"},
		"minutes":              {30, nil, limits, "Time     2m at least, done 2026-11-24 14:02 UTC if it begins now (the quota"},
		"not today":            {1, &used, limits, "Time     1 day of quota, done 2026-11-25 00:00 UTC at the earliest (the quota"},
		"more days than shown": {30 * 14, nil, limits, "           2026-12-03  30 tasks, 00:00 to 00:02\n           and 4 days more\n"},
		"more than are planned": {
			1 << 40, nil, limits, "done after the year 9999 at the earliest",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			p := plan.Make(plan.Facts{
				Counts: plan.Counts{General: c.tasks, Chunks: c.tasks, Largest: 1}, Limits: c.limits, UsedToday: c.used,
				Now: time.Date(2026, 11, 24, 14, 0, 0, 0, time.UTC),
			})
			if err := (Plan{p}).Text(&out); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), c.want) {
				t.Errorf("%s\ndoesn't say\n%s", out.String(), c.want)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1000: "1 kB", 1_234_567: "1.23 MB", 5e9: "5 GB", 7e15: "7e+03 TB",
	} {
		if got := size(bytes); got != want {
			t.Errorf("%d: %q, want %q", bytes, got, want)
		}
	}
}
