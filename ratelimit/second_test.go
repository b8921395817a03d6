package ratelimit

import (
	"testing"
	"time"
)

func TestASecondCountsLateRequestsLonger(t *testing.T) {
	const usual = 100 * time.Millisecond
	for _, tc := range []struct {
		name     string
		answered float64 // after so many seconds; 0 is never
		now      float64
		want     time.Duration // after it left
	}{
		{"an answer in the usual time", 0.1, 0.5, time.Second},
		{"one before it", 0.05, 0.5, time.Second},
		{"a late one", 0.4, 0.5, 1300 * time.Millisecond},
		{"a late one, later on", 0.4, 1.2, 1300 * time.Millisecond},
		{"none yet", 0, 0.05, time.Second},
		{"none yet, and it is late", 0, 0.7, 1600 * time.Millisecond},
		{"none yet, and it is very late", 0, 30, 30*time.Second + 900*time.Millisecond},
	} {
		var s second
		first := s.add(at(-1), 1)
		s.end(at(-1).Add(usual), first, true)
		s.end(at(-0.95), s.add(at(-0.96), 0), true) // of another kind
		s.end(at(-0.9), s.add(at(-0.9), 1), false)  // none at all
		r := s.add(at(0), 1)
		if tc.answered > 0 {
			s.end(at(tc.answered), r, false)
		}
		if got := s.until(at(tc.now), r).Sub(at(0)) - margin; got != tc.want {
			t.Errorf("%s: it counts for %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestASecondHasRoomAgain(t *testing.T) {
	var s second
	s.end(at(0.1), s.add(at(0), 1), true)
	for i, tc := range []struct {
		now  float64
		want time.Duration
	}{{0.5, 0}, {0.6, 400*time.Millisecond + margin}, {1.002, 0}, {1.1, 600*time.Millisecond + margin}, {1.702, 0}} {
		if got := s.wait(at(tc.now), 2).Round(time.Millisecond); got != tc.want {
			t.Errorf("at %v: waits %v, want %v", tc.now, got, tc.want)
		} else if got == 0 {
			if r := s.add(at(tc.now), 1); i == 0 {
				s.end(at(0.8), r, true) // 0.2 seconds late
			}
		}
	}
	if got := s.wait(at(9), 2); got <= 0 || len(s.requests) != 2 {
		t.Errorf("%d requests without an answer are kept, and wait %v", len(s.requests), got)
	}
}

func TestASecondForgetsTheFastestAnswer(t *testing.T) {
	var s second
	s.end(at(0.001), s.add(at(0), 1), true)
	for range 10 * fastestMemory {
		s.end(at(0.1), s.add(at(0), 1), true)
	}
	if got := s.fastest[1].Round(time.Millisecond); got != 100*time.Millisecond {
		t.Errorf("when all take 100 ms for long, the fastest takes %v", got)
	}
}
