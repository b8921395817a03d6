package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"poolfill/cmd/poolfill/internal/report"
	"poolfill/pipeline"
	"poolfill/ratelimit"
	"poolfill/reader/verdict"
)

// aRun is a report in which everything is there.
func aRun() pipeline.Report {
	until := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	return pipeline.Report{
		Version: 1, RunID: "5c0f", State: pipeline.Parked, Error: "the day's quota is used up", PoolID: "1238218", Mode: "async",
		Started: time.Date(2026, 11, 24, 7, 30, 0, 0, time.UTC), Seconds: 0.4,
		Totals: pipeline.Totals{Rows: 1_234_567, Created: 1_234_000, Rejected: 560, Unsent: 7}, Earlier: 1000,
		Files: []pipeline.File{
			{Path: "a.tsv", Bytes: 3 << 20, Encoding: "utf-8", Delimiter: "\t", Totals: pipeline.Totals{Rows: 1_234_567, Created: 1_234_000, Rejected: 560, Unsent: 7}},
			{Path: "b.tsv", UnchangedSince: "77aa"},
		},
		Rejections: []pipeline.Rejection{{
			Stage: "check", Field: "INPUT:image", Code: "INVALID_URL_SYNTAX", Message: "is not a URL", Count: 560,
			Samples: []string{"a.tsv:3", "a.tsv:9"}, Value: "example.com/1.jpg", Hint: "The URL has no scheme.",
		}},
		Warnings: []pipeline.Warning{{File: "a.tsv", Code: "NUL", Message: "has a NUL", Count: 3, Lines: []int64{4, 5}}},
		Requests: pipeline.Requests{Sent: 250, Retried: 12, Chunks: 247, ByStatus: map[string]int64{"202": 240, "429": 2, "timeout": 8}},
		Quota:    pipeline.Quota{RequestsPerSecond: 300, TasksPerMinute: 200_000, TasksPerDay: 4_000_000, Refused: 2, Until: &until, TasksToday: 1_233_000},
		Outputs:  map[string]string{"results": "out/results.tsv", "rejected": "out/rejected.tsv", "rejected_2": "out/rejected-2.tsv"},
		Settings: pipeline.Settings{
			Server: "https://toloka.dev", Command: "poolfill upload a.tsv b.tsv --pool 1238218", ChunkSize: 2000,
			OnInvalid: pipeline.SkipInvalid, MaxRejected: "1%", Guard: pipeline.GuardFile,
		},
		Series: &pipeline.Series{
			Every: 0.1, Seconds: 0.4,
			Accepted: []int64{0, 1000, 3000, 2000}, Rejected: []int64{0, 10, 0, 0}, Requests: []int64{1, 2, 0, 4}, Retried: []int64{0, 0, 0, 1},
			Refused: []int64{0, 0, 0, 1}, LatencyMS: []float64{10, 20, 0, 40}, Waited: []float64{0, 0, 0.1, 0.1}, TasksInMinute: []int64{0, 1000, 4000, 100_000},
		},
	}
}

func page(t *testing.T, r pipeline.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Page(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var spaces = regexp.MustCompile(`\s+`)

// words gives what a reader sees of a page, and the elements that it is made of.
func words(t *testing.T, text string) (seen string, elements []*html.Node) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range root.Descendants() {
		switch {
		case n.Type == html.ElementNode:
			elements = append(elements, n)
			b.WriteByte(' ')
		case n.Type == html.TextNode && n.Parent.Data != "style" && n.Parent.Data != "script":
			b.WriteString(n.Data)
		}
	}
	return spaces.ReplaceAllString(b.String(), " "), elements
}

func TestAPageTellsEverythingOfARun(t *testing.T) {
	seen, elements := words(t, page(t, aRun()))
	for _, want := range []string{
		"parked", "1,234,000 of 1,234,567 rows uploaded", "Run 5c0f", "Pool 1238218", "Started 2026-11-24 07:30:00 UTC",
		"the day's quota is used up", "1,234,000 created over 99.9%, 1,000 of them earlier", "560 rejected under 0.1%",
		"INVALID_URL_SYNTAX INPUT:image check is not a URL", "for example example.com/1.jpg", "The URL has no scheme.", "at a.tsv:3, a.tsv:9, …",
		"has a NUL a.tsv, line 4, 5, …", "1,234,567 rows", "3 MiB, utf-8, separated by tabs", "unchanged since run 77aa",
		"Sent 250", "Repeated 12", "Answered timeout 8", "Tasks a minute 200,000", "1,233,000 of 4,000,000 used by this run", "Refused with 429 2",
		"Goes on after 2026-11-25 00:00:00 UTC", "Server https://toloka.dev", "Invalid rows are left out", "Chunk 2,000 tasks",
		"poolfill upload a.tsv b.tsv --pool 1238218", "out/results.tsv", "out/rejected-2.tsv",
		"Rows a second", "15k a second on average, 30k at most", "Requests a second", "7 sent, 1 of them repeated, 1 refused by the quota",
		"Milliseconds a request took", "30 ms on average, 40 ms in the slowest interval",
		"Tasks in the last minute", "at most 50% of the quota; requests were held back for 0.2 s", "held back by the quota",
	} {
		if !strings.Contains(seen, want) {
			t.Errorf("the page does not say %q. It says:\n%s", want, seen)
		}
	}
	drawn := 0
	for _, e := range elements {
		switch e.Data {
		case "svg":
			drawn++
		case "script", "link", "img", "iframe", "object", "base", "form":
			t.Errorf("the page has an element %s", e.Data)
		}
		for _, a := range e.Attr {
			if (a.Key == "src" || a.Key == "href") && !strings.HasPrefix(a.Val, "./") {
				t.Errorf("%s refers to %q", e.Data, a.Val)
			}
		}
	}
	if drawn != 4 {
		t.Errorf("%d plots, want 4", drawn)
	}
}

// The plots of a series are the paths that follow from it by hand.
func TestPlotsAreDrawnToScale(t *testing.T) {
	text := page(t, aRun())
	for what, want := range map[string]string{
		"rows, of 30,000 a second": `<path class="created" d="M0 100H250L250 66.7H500L500 0H750L750 33.3H1000"/>`,
		"their area":               `<path class="area created" d="M250 100V66.7H500V100ZM500 100V0H750V100ZM750 100V33.3H1000V100Z"/>`,
		"latency, with a gap":      `<path class="latency" d="M0 75H250L250 50H500M750 0H1000"/>`,
		"the time held back":       `<rect class="held" x="500" y="0" width="500" height="100"/>`,
		"the quota":                `<path class="limit" d="M0 0H250L250 0H500L500 0H750L750 0H1000"/>`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s: the page lacks %s", what, want)
		}
	}
}

// Whatever a file or a server says is text on the page.
func TestAPageTellsWhatWasVerified(t *testing.T) {
	r := aRun()
	r.Verification = &pipeline.Verification{
		PoolID: "1238218", Accounts: pipeline.Accounts{Tasks: 1_234_100, Rows: 1_234_000, Doubled: 100},
		Differences: slices.Repeat([]pipeline.Difference{{Kind: pipeline.Doubled, File: "a.tsv", Line: 7, Record: 6, TaskID: "0001--ab"}}, 100),
	}
	seen, _ := words(t, page(t, r))
	for _, want := range []string{"Verified Pool 1238218 Tasks 1234100 Rows 1234000 missing 0 doubled 100", "doubled a.tsv:7 0001--ab", "50 more: see report.json"} {
		if !strings.Contains(seen, want) {
			t.Errorf("the page does not say %q. It says:\n%s", want, seen)
		}
	}
}

func TestNothingFromOutsideIsMarkup(t *testing.T) {
	const evil = `</style></script><script>alert(1)</script><img src=x onerror=alert(1)>" onload="alert(1)' {{.}} javascript:alert(1)`
	r := aRun()
	r.Error, r.RunID, r.PoolID, r.Mode, r.State = evil, evil, evil, evil, pipeline.State(evil)
	r.Files[0].Path, r.Files[0].Encoding, r.Files[0].Delimiter, r.Files[0].Compression = evil, evil, evil, evil
	r.Files[1].UnchangedSince = evil
	r.Rejections = []pipeline.Rejection{{Stage: evil, Field: evil, Code: evil, Message: evil, Value: evil, Samples: []string{evil}, Count: 1}}
	r.Warnings = []pipeline.Warning{{File: evil, Code: evil, Message: evil, Count: 1}}
	r.Verification = &pipeline.Verification{
		PoolID: evil, Accounts: pipeline.Accounts{Doubled: 1},
		Differences: []pipeline.Difference{{Kind: evil, File: evil, TaskID: evil}},
	}
	r.Requests.ByStatus = map[string]int64{evil: 1}
	r.Outputs = map[string]string{"results": evil, evil: "out/javascript:alert(1)"}
	r.Settings.Server, r.Settings.Command, r.Settings.MaxRejected = evil, evil, evil
	live := func() string {
		var b bytes.Buffer
		p := pipeline.Progress{Started: r.Started, Gate: ratelimit.State{Reason: evil, PausedUntil: r.Started.Add(time.Hour)}}
		if err := report.LivePage(&b, r, p, r.Started.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}()
	for name, text := range map[string]string{"the page": page(t, r), "the live page": live} {
		seen, elements := words(t, text)
		if strings.Count(seen, "alert(1)") < 20 {
			t.Errorf("%s does not show what it was given:\n%s", name, seen)
		}
		for _, e := range elements {
			if e.Data == "img" || e.Data == "script" && (name == "the page" || e.FirstChild != nil) {
				t.Errorf("%s has a %s of its own", name, e.Data)
			}
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "src" && a.Val != "live.js" || a.Key == "href" && strings.HasPrefix(a.Val, "javascript:") {
					t.Errorf("%s has an attribute %s=%q", name, a.Key, a.Val)
				}
			}
		}
	}
}

func TestAPageIsBounded(t *testing.T) {
	r := aRun()
	r.Rejections = nil
	for i := range 1000 {
		r.Rejections = append(r.Rejections, pipeline.Rejection{Code: fmt.Sprintf("CODE_%04d", i), Count: 1})
	}
	r.Files = slices.Repeat(r.Files[:1], 100_000)
	r.Warnings = slices.Repeat(r.Warnings, 5000)
	text := page(t, r)
	if len(text) > 512<<10 {
		t.Errorf("the page has %d bytes", len(text))
	}
	seen, _ := words(t, text)
	for _, want := range []string{"188 more kinds CODE", "800 more kinds are in report.json", "99,800 more are in report.json", "4,950 more are in report.json"} {
		if want = strings.Replace(want, " CODE", "", 1); !strings.Contains(seen, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestRunsWithLittleToTellHaveAPage(t *testing.T) {
	ragged := aRun()
	ragged.Series.Rejected = nil
	short := aRun()
	short.Series = &pipeline.Series{
		Every: 0.1, Seconds: 0.05, Accepted: []int64{3}, Rejected: []int64{0}, Requests: []int64{1}, Retried: []int64{0},
		Refused: []int64{0}, LatencyMS: []float64{1}, Waited: []float64{0}, TasksInMinute: []int64{3},
	}
	check := aRun()
	check.Mode, check.Requests, check.Totals = "check", pipeline.Requests{}, pipeline.Totals{Rows: 3, Valid: 3}
	tests := map[string]struct {
		r           pipeline.Report
		want        string
		plots       int
		notSeenThen string
	}{
		"nothing at all":           {pipeline.Report{}, "0 of 0 rows uploaded", 0, "Started"},
		"a series that is damaged": {ragged, "1,234,000 of", 0, "Over time"},
		"a run of an instant":      {short, "1,234,000 of", 0, "Over time"},
		"a check":                  {check, "3 of 3 rows valid", 1, "Latency"},
		"a single row":             {pipeline.Report{Totals: pipeline.Totals{Rows: 1, Created: 1}}, "1 of 1 row uploaded", 0, "Started"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			text := page(t, tt.r)
			seen, _ := words(t, text)
			if !strings.Contains(seen, tt.want) || strings.Contains(seen, tt.notSeenThen) || strings.Count(text, "<svg") != tt.plots {
				t.Errorf("the page says\n%s", seen)
			}
		})
	}
}

func TestALivePageSaysHowFarTheRunIs(t *testing.T) {
	start := time.Date(2026, 11, 24, 7, 30, 0, 0, time.UTC)
	half := pipeline.Progress{
		Started: start, BytesRead: 500, BytesTotal: 1000, InFlight: 7,
		Totals: pipeline.Totals{Rows: 12_000, Created: 9_990, Rejected: 10},
	}
	waiting, stopping := half, half
	waiting.Gate = ratelimit.State{PausedUntil: start.Add(42 * time.Second), Reason: ratelimit.ReasonMinute}
	stopping.Stopping = true
	for want, p := range map[string]pipeline.Progress{
		"Not a row is read yet.":                              {},
		"41% About 14 s left, 7 rows in flight.":              half,
		"41% Waiting 32 s: the quota of a minute is used up.": waiting,
		"41% Stopping: 7 rows in flight are finished.":        stopping,
		"7 rows in flight.":                                   {Started: start, InFlight: 7},
	} {
		var b bytes.Buffer
		if err := report.LivePage(&b, pipeline.Report{State: pipeline.Running, Totals: p.Totals}, p, start.Add(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		seen, _ := words(t, b.String())
		if !strings.Contains(seen, want) || !strings.Contains(seen, "rows uploaded so far") {
			t.Errorf("the page does not say %q:\n%s", want, seen)
		}
	}
}

func TestTheFilesOfARunNameEachOther(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, tsv("a.tsv"))
	record(t, w, row("a.tsv", 1, verdict.Created))
	r, err := w.Finish(aRun())
	if err != nil {
		t.Fatal(err)
	}
	if r.Outputs["html"] != filepath.Join(dir, report.PageFile) {
		t.Errorf("the outputs are %v", r.Outputs)
	}
	text := content(t, filepath.Join(dir, report.PageFile))
	for _, name := range []string{report.ReportFile, report.ResultsFile} {
		if !strings.Contains(text, `href="./`+name+`"`) {
			t.Errorf("the page has no link to %s", name)
		}
	}
	// report.json is whole, and its lists of numbers take a line each.
	document := content(t, filepath.Join(dir, report.ReportFile))
	var back pipeline.Report
	if err := json.Unmarshal([]byte(document), &back); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(document, `"accepted": [0,1000,3000,2000],`) || back.Series.LatencyMS[3] != 40 {
		t.Errorf("report.json is\n%s", document)
	}
}
