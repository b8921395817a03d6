package ui

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"poolfill/pipeline"
	"poolfill/ratelimit"
	"poolfill/uploader/toloka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestALookSaysHowFarTheRunIs(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	half := pipeline.Progress{
		Started: start, BytesRead: 500, BytesTotal: 1000, InFlight: 7, Requests: toloka.Stats{Retried: 2},
		Totals: pipeline.Totals{Rows: 12_000, Created: 9_990, Rejected: 10},
	}
	waiting, stopping := half, half
	waiting.Gate = ratelimit.State{PausedUntil: start.Add(42 * time.Second), Reason: ratelimit.ReasonMinute}
	stopping.Stopping = true
	unknown := half
	unknown.BytesTotal = 0
	tests := map[string]struct {
		p    pipeline.Progress
		want string
	}{
		"half-way":                   {half, "12,000 rows read, 10,000 done, 10 rejected, 1,000 rows/s, 2 requests repeated, 41%, 14s left"},
		"waiting for quota":          {waiting, "12,000 rows read, 10,000 done, 10 rejected, 1,000 rows/s, 2 requests repeated, 41%, waiting 32s: the quota of a minute is used up"},
		"stopping":                   {stopping, "12,000 rows read, 10,000 done, 10 rejected, 1,000 rows/s, 2 requests repeated, 41%, stopping: 7 rows in flight"},
		"of an input without a size": {unknown, "12,000 rows read, 10,000 done, 10 rejected, 1,000 rows/s, 2 requests repeated"},
		"the first row":              {pipeline.Progress{Totals: pipeline.Totals{Rows: 1}, Requests: toloka.Stats{Retried: 1}}, "1 row read, 0 done, 0 rejected, 0 rows/s, 1 request repeated"},
		"before the first row":       {pipeline.Progress{}, "0 rows read, 0 done, 0 rejected, 0 rows/s"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := look(tt.p, start.Add(10*time.Second)).line(); got != tt.want {
				t.Errorf("the line is\n%q, want\n%q", got, tt.want)
			}
		})
	}
	v := look(half, start.Add(10*time.Second))
	if got := v.counts() + "|" + v.outlook(); got != "10,000 rows, 1,000/s, 10 rejected |41%, 14s left" {
		t.Errorf("the bar says %q", got)
	}
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestProgressAsLinesAndAsObjects(t *testing.T) {
	for kind, every := range map[Kind]time.Duration{Plain: plainEvery, JSON: jsonEvery} {
		synctest.Test(t, func(t *testing.T) {
			var out buffer
			d := NewDisplay(kind, &out)
			stop := d.Watch(func() pipeline.Progress {
				return pipeline.Progress{Started: time.Now().Add(-time.Second), Totals: pipeline.Totals{Rows: 3, Created: 2}}
			})
			time.Sleep(3*every + every/2)
			stop()
			stop()
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if len(lines) != 3 {
				t.Fatalf("%s: %d lines: %q", kind, len(lines), lines)
			}
			if kind == JSON {
				var object struct {
					Totals struct{ Created int64 } `json:"totals"`
				}
				if err := json.Unmarshal([]byte(lines[2]), &object); err != nil || object.Totals.Created != 2 {
					t.Errorf("%v: %s", err, lines[2])
				}
			}
		})
	}
}

func TestOtherLinesPassBesideTheBar(t *testing.T) {
	var out buffer
	d := NewDisplay(Bar, &out)
	// At first nothing is known, as before the inputs were opened; at the end
	// all is read and done, and the bar is still there.
	const whole, most = 5, 200
	var looks atomic.Int64
	stop := d.Watch(func() pipeline.Progress {
		n := looks.Add(1)
		if n == 1 {
			return pipeline.Progress{}
		}
		rows := 50 * min(n, whole)
		return pipeline.Progress{
			Started: time.Now().Add(-time.Second), BytesTotal: 100, BytesRead: 100,
			Totals: pipeline.Totals{Rows: rows, Created: rows},
		}
	})
	for !strings.Contains(out.String(), "250 rows") {
		if looks.Load() > most {
			t.Fatalf("after %d looks the bar shows %q", most, out.String())
		}
		runtime.Gosched() // the bar draws at its own pace
	}
	if _, err := d.Write([]byte("a line of the log\n")); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := d.Write([]byte("after it\n")); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "a line of the log\n") || !strings.HasSuffix(got, "after it\n") {
		t.Errorf("written: %q", got)
	}
}

func TestTheSummaryOfARun(t *testing.T) {
	r := pipeline.Report{
		State: pipeline.Finished, PoolID: "7", Mode: "async", Seconds: 75.4,
		Totals: pipeline.Totals{Rows: 12_000, Created: 11_990, Rejected: 10},
		Rejections: []pipeline.Rejection{
			{Stage: "check", Field: "INPUT:image", Code: "INVALID_URL_SYNTAX", Message: "no URL", Count: 9, Samples: []string{"a.tsv:3", "a.tsv:5"}, Value: "a.b/1", Hint: "Write https:// before it."},
			{Stage: "parse", Code: "COLUMN_COUNT", Message: "too few after \"x\"", Count: 1, Samples: []string{"a.tsv:9"}, Value: "x"},
		},
		Warnings: []pipeline.Warning{{File: "a.tsv", Code: "ODD", Message: "odd", Count: 3, Lines: []int64{4, 8}}},
		Requests: pipeline.Requests{Sent: 40, Retried: 2},
		Quota:    pipeline.Quota{Refused: 1},
		Outputs:  map[string]string{"html": "run/report.html", "report": "run/report.json", "results": "run/results.tsv", "rejected": "run/rejected.tsv"},
	}
	var out strings.Builder
	if err := Summary(&out, r); err != nil {
		t.Fatal(err)
	}
	want := `Uploaded 11,990 of 12,000 rows to pool 7 in 1m15s (159 rows/s).

  11,990     created
      10    rejected
  12,000        rows

Why rows were rejected:
        9  INVALID_URL_SYNTAX  INPUT:image  (check)
           no URL
           such as "a.b/1" at a.tsv:3, a.tsv:5, …
           Write https:// before it.
        1  COLUMN_COUNT  (parse)
           too few after "x"
           at a.tsv:9
More on a code: poolfill explain INVALID_URL_SYNTAX

Warnings:
        3  ODD  a.tsv: odd (line 4 8 …)

40 requests, 2 of them repeated, 1 refused by the quota.

Report:         run/report.html
Every row:      run/results.tsv
Rejected rows:  run/rejected.tsv
                Fix them there and upload that file: its ERROR: columns are ignored.
`
	if out.String() != want {
		t.Errorf("the summary is\n%s\nwant\n%s", out.String(), want)
	}
	one := pipeline.Report{State: pipeline.Finished, PoolID: "7", Mode: "async", Totals: pipeline.Totals{Rows: 1, Created: 1}, Requests: pipeline.Requests{Sent: 1}}
	out.Reset()
	if err := Summary(&out, one); err != nil || !strings.HasPrefix(out.String(), "Uploaded 1 of 1 row to pool 7 in") || !strings.Contains(out.String(), "\n1 request, 0 of them") {
		t.Errorf("the summary of one row is\n%s\n%v", out.String(), err)
	}
	one.Mode = "check"
	if got := headline(one); got != "Checked: 0 of 1 row is valid (0s)." {
		t.Errorf("the headline of one row is %q", got)
	}
	r.Earlier = 2_000
	if got := headline(r); !strings.HasSuffix(got, "(159 rows/s); 2,000 of them were there from an earlier run.") {
		t.Errorf("the headline is %q", got)
	}
	for state, begin := range map[pipeline.State]string{
		pipeline.Stopped:     "Stopped: uploaded 11,990 of 12,000 rows to pool 7",
		pipeline.Interrupted: "Interrupted: uploaded",
		pipeline.Failed:      "Failed: uploaded",
	} {
		r.State = state
		if got := headline(r); !strings.HasPrefix(got, begin) {
			t.Errorf("the headline is %q, want %q first", got, begin)
		}
	}
}
