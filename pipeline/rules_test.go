package pipeline

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"poolfill/ratelimit"
	"poolfill/reader/verdict"
)

func TestMaxRejectedBounds(t *testing.T) {
	tests := []struct {
		bound          MaxRejected
		rejected, rows int64
		atEnd, want    bool
	}{
		{MaxRejected{}, 1_000_000, 1_000_000, true, false},
		{MaxRejected{None: true}, 0, 10, true, false},
		{MaxRejected{None: true}, 1, 10, false, true},
		{MaxRejected{Rows: 3}, 3, 3, true, false},
		{MaxRejected{Rows: 3}, 4, 1_000_000, false, true},
		{MaxRejected{Percent: 10}, 999, 999, false, false}, // too few rows to say
		{MaxRejected{Percent: 10}, 101, 1000, false, true},
		{MaxRejected{Percent: 10}, 100, 1000, false, false},
		{MaxRejected{Percent: 10}, 2, 10, true, true},
		{MaxRejected{Percent: 0.1}, 1, 1000, true, false},
	}
	for _, tt := range tests {
		if got := tt.bound.exceeded(tt.rejected, tt.rows, tt.atEnd); got != tt.want {
			t.Errorf("%+v with %d of %d rows, at the end %v: exceeded is %v", tt.bound, tt.rejected, tt.rows, tt.atEnd, got)
		}
	}
}

func TestNoQuotaSaysHowLargeChunksAre(t *testing.T) {
	for _, limits := range []ratelimit.Config{{}, {TasksPerMinute: 50_000}, {TasksPerMinute: 150_000, TasksPerDay: 4_000_000}, {TasksPerDay: 3000}} {
		for asked, want := range map[int]int{0: 2000, 7: 7, 2001: 2001} {
			cfg := Config{Target: Target{PoolID: "1", Limits: limits}, Sending: Sending{ChunkSize: asked}}
			if got := cfg.settle().ChunkSize; got != want {
				t.Errorf("asked for %d with %+v: %d, want %d", asked, limits, got, want)
			}
		}
	}
	cfg := Config{Target: Target{PoolID: "1", Limits: ratelimit.Config{TasksPerMinute: 100}}, Input: Input{Files: []string{"a"}}}
	var tooMany *ratelimit.TooManyTasksError
	if err := cfg.Validate(); !errors.As(err, &tooMany) || tooMany.Tasks != 2000 {
		t.Errorf("a chunk that no minute has room for: %v", err)
	}
}

// Files that share chunks are read by their names, so that neither the order of the
// arguments nor the folder one stands in makes other chunks of them.
func TestSmallFilesComeFirstByTheirNames(t *testing.T) {
	names := []string{"/x/c.tsv", "big.tsv", "../b.tsv", "-", "a.tsv"}
	if got := readingOrder(names, []bool{true, false, true, false, true}); !slices.Equal(got, []int{4, 2, 0, 1, 3}) {
		t.Errorf("they are read in the order %v", got)
	}
}

func TestRejectionsMergeIntoABoundedNumberOfGroups(t *testing.T) {
	tally := newTally()
	for i := range 3 * maxGroups {
		for range i%2 + 1 {
			tally.read("f", 1)
			tally.add(&verdict.Verdict{
				Position: verdict.Position{File: "f"}, Status: verdict.Rejected,
				Findings: []verdict.Finding{{Stage: verdict.StageCheck, Line: int64(i), Field: fmt.Sprint("INPUT:", i), Code: "C", Message: "m"}},
			})
		}
	}
	groups := tally.rejections()
	if len(groups) != maxGroups+1 {
		t.Fatalf("%d groups", len(groups))
	}
	var sum int64
	for _, g := range groups {
		sum += g.Count
		if len(g.Samples) > maxSamples {
			t.Errorf("group %s has %d samples", g.Field, len(g.Samples))
		}
	}
	if sum != tally.totals.Rejected || groups[0].Code != CodeOther {
		t.Errorf("the groups hold %d of %d rejections; the largest is %s", sum, tally.totals.Rejected, groups[0].Code)
	}
	if groups[1].Count != 2 || groups[len(groups)-1].Count != 1 {
		t.Error("the groups are not sorted by size")
	}
}

func TestCountsThatDoNotCloseAreALoudFailure(t *testing.T) {
	p, err := New(Config{Input: Input{Files: []string{"-"}, NoSpec: true}, Job: Check{}})
	if err != nil {
		t.Fatal(err)
	}
	p.books.read("f", 1, 0, 0)
	r, err := p.report(time.Now())
	if err == nil || r.State != Failed || r.Error == "" {
		t.Errorf("%v: %s", err, r.State)
	}
}

func TestAddedReportsKeepABoundedNumberOfRejections(t *testing.T) {
	var all Report
	var sum int64
	for i := range 3 {
		var other Report
		for j := range maxGroups {
			kind := i*maxGroups/2 + j // half of them are known from the report before
			other.Rejections = append(other.Rejections, Rejection{Stage: "check", Field: fmt.Sprint("INPUT:", kind), Code: "C", Count: 2, Samples: []string{"f:1", "f:2", "f:3"}})
			sum += 2
		}
		all.Add(other)
		all.Add(Report{Rejections: []Rejection{{Stage: "check", Field: "INPUT:0", Code: "C", Count: 1, Samples: slices.Repeat([]string{"g:1"}, 2*maxSamples)}}})
		sum++
		if other.Rejections[0].Count != 2 || len(other.Rejections[0].Samples) != 3 {
			t.Fatal("the report that is added is changed")
		}
	}
	if len(all.Rejections) != maxGroups+1 || all.Rejections[maxGroups].Code != CodeOther {
		t.Fatalf("%d kinds of rejections", len(all.Rejections))
	}
	for _, r := range all.Rejections {
		sum -= r.Count
		if len(r.Samples) > maxSamples {
			t.Errorf("%s has %d samples", r.Field, len(r.Samples))
		}
	}
	if sum != 0 {
		t.Errorf("%d rejections are not counted", sum)
	}
}

func TestAddedReportsKeepTheirWarnings(t *testing.T) {
	part := func(rows ...int64) Report {
		return Report{Warnings: []Warning{
			{File: "f", Code: "HEADER_SPACES", Column: 2, Count: 1, Lines: []int64{1}},
			{File: "f", Code: "EMPTY_ROW", Message: "empty", Count: int64(len(rows)) + 1, Lines: rows},
		}}
	}
	var all Report
	for _, other := range []Report{part(3, 5), part(7, 8, 9, 10, 11), {Warnings: []Warning{{File: "g", Code: "EMPTY_ROW", Count: 1, Lines: []int64{3}}}}} {
		all.Add(other)
	}
	want := []Warning{
		{File: "f", Code: "HEADER_SPACES", Column: 2, Count: 1, Lines: []int64{1}},
		{File: "f", Code: "EMPTY_ROW", Message: "empty", Count: 9, Lines: []int64{3, 5, 7, 8, 9}},
		{File: "g", Code: "EMPTY_ROW", Count: 1, Lines: []int64{3}},
	}
	if !reflect.DeepEqual(all.Warnings, want) {
		t.Fatalf("the warnings are %+v, want %+v", all.Warnings, want)
	}
	for i := range maxGroups + 1 {
		all.Add(Report{Warnings: []Warning{{File: fmt.Sprint(i), Code: "EMPTY_ROW", Count: 2}}})
	}
	if last := all.Warnings[len(all.Warnings)-1]; len(all.Warnings) != maxGroups+1 || last.Code != CodeOther || last.Count != 8 {
		t.Errorf("%d warnings, the last is %+v", len(all.Warnings), last)
	}
}
