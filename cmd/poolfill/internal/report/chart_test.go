package report

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"poolfill/pipeline"
)

func TestValuesForPeople(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 0.1234: "0.12", 1.5: "1.5", 9.996: "10", 12.34: "12.3", 99.96: "100", 999: "999", 999.6: "1k", 1000: "1k", 1250: "1.25k",
		200_000: "200k", 999_600: "1M", 4e6: "4M", 2.5e9: "2.5G",
	} {
		if got := short(x); got != want {
			t.Errorf("short(%v) is %q, want %q", x, got, want)
		}
	}
	for x, want := range map[float64]string{
		0: "0 s", 0.14: "0.1 s", 59.9: "59.9 s", 59.99: "60 s", 60: "1 min", 83.2: "1 min 23 s", 3600: "1 h", 3661: "1 h 1 min", 90_000: "1 d 1 h",
	} {
		if got := duration(x); got != want {
			t.Errorf("duration(%v) is %q, want %q", x, got, want)
		}
	}
	for n, want := range map[int64]string{12: "12 bytes", 1536: "1.5 KiB", 3 << 20: "3 MiB", 10 << 30: "10 GiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) is %q, want %q", n, got, want)
		}
	}
	for of, want := range map[[2]int64]string{{0, 5}: "", {5, 5}: "100%", {1, 3}: "33.3%", {1, 1_000_000}: "under 0.1%", {999_999, 1_000_000}: "over 99.9%", {0, 0}: ""} {
		if got := percentOf(of[0], of[1]); got != want {
			t.Errorf("percentOf(%v) is %q, want %q", of, got, want)
		}
	}
}

func TestPlotsAreCoarserThanTheirSeries(t *testing.T) {
	s := &pipeline.Series{Every: 1}
	for i := range 201 { // three to a group, and the last three are one
		s.Accepted = append(s.Accepted, 1)
		s.Rejected = append(s.Rejected, 0)
		s.Requests = append(s.Requests, int64(i%3))
		s.Retried, s.Refused = append(s.Retried, 0), append(s.Refused, 1)
		s.LatencyMS = append(s.LatencyMS, float64(i%3*30)) // 1 × 30 and 2 × 60 are 50 on average
		s.Waited = append(s.Waited, 0.5)
		s.TasksInMinute = append(s.TasksInMinute, int64(i))
		s.Seconds++
	}
	got := coarse(s)
	if n := len(got.Accepted); n != 67 || got.Every != 3 || got.Accepted[66] != 3 || got.LatencyMS[66] != 50 || got.Waited[0] != 1.5 ||
		got.TasksInMinute[1] != 5 || got.Refused[5] != 3 || !whole(got) {
		t.Errorf("%d intervals: %+v", n, got)
	}
	s.Accepted, s.Rejected = s.Accepted[:83], s.Rejected[:83]
	s.Requests, s.Retried, s.Refused = s.Requests[:83], s.Retried[:83], s.Refused[:83]
	s.LatencyMS, s.Waited, s.TasksInMinute, s.Seconds = s.LatencyMS[:83], s.Waited[:83], s.TasksInMinute[:83], 83
	if got := coarse(s); len(got.Accepted) != 42 || got.Accepted[41] != 1 || !whole(got) {
		t.Errorf("%d intervals: %+v", len(got.Accepted), got)
	}
}

// Axes have a few round marks, whatever the values.
func TestAxesHaveAFewMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		top := math.Exp(rapid.Float64Range(-9, 25).Draw(t, "log top"))
		step := niceStep(top)
		if n := math.Ceil(top / step); n < 2 || n > 5 {
			t.Fatalf("%v marks of %v up to %v", n, step, top)
		}
		seconds := math.Exp(rapid.Float64Range(-1, 15).Draw(t, "log seconds"))
		every := niceTime(seconds)
		if n := seconds / every; n > 6 || n < 1 && seconds > 1 {
			t.Fatalf("%v marks of %v s up to %v s", n, every, seconds)
		}
	})
	if got := fmt.Sprint(niceStep(0), niceStep(30_000), niceStep(7), niceStep(1000)); got != "1 10000 2 500" {
		t.Errorf("steps are %s", got)
	}
}
