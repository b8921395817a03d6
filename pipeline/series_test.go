package pipeline

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/reader/verdict"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"pgregory.net/rapid"
)

func TestLooksBecomeIntervals(t *testing.T) {
	const ms = time.Millisecond
	type look struct {
		at       time.Duration
		accepted int64
		waiting  bool
	}
	tests := map[string]struct {
		looks    []look
		accepted []int64
		waited   []float64
		seconds  float64
	}{
		"one an interval": {
			[]look{{100 * ms, 3, false}, {200 * ms, 5, true}, {300 * ms, 9, false}},
			[]int64{3, 2, 4},
			[]float64{0, 0.1, 0},
			0.3,
		},
		"a little late": {
			[]look{{104 * ms, 3, false}, {209 * ms, 5, false}, {301 * ms, 9, false}},
			[]int64{3, 2, 4},
			[]float64{0, 0, 0},
			0.301,
		},
		"with a gap": {
			[]look{{100 * ms, 3, false}, {600 * ms, 13, false}},
			[]int64{3, 0, 0, 10, 0, 0},
			[]float64{0, 0, 0, 0, 0, 0},
			0.6,
		},
		"a short rest goes with its predecessor": {
			[]look{{100 * ms, 3, false}, {130 * ms, 5, false}},
			[]int64{5},
			[]float64{0},
			0.13,
		},
		"a long rest stands alone": {
			[]look{{100 * ms, 3, false}, {160 * ms, 5, false}},
			[]int64{3, 2},
			[]float64{0, 0},
			0.16,
		},
		"a run that is over at once":   {[]look{{7 * ms, 3, false}}, []int64{3}, []float64{0}, 0.007},
		"a clock that stands still":    {[]look{{100 * ms, 3, false}, {100 * ms, 5, false}, {200 * ms, 6, false}}, []int64{3, 3}, []float64{0, 0}, 0.2},
		"a look at the very beginning": {[]look{{0, 0, false}}, nil, nil, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSampler()
			for _, l := range tt.looks {
				s.look(l.at, amounts{accepted: l.accepted}, l.waiting, 0)
			}
			got := s.series()
			if tt.accepted == nil {
				if got != nil {
					t.Errorf("got %+v, want none", got)
				}
				return
			}
			if diff := cmp.Diff(tt.accepted, got.Accepted); diff != "" {
				t.Errorf("accepted (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.waited, got.Waited); diff != "" {
				t.Errorf("waited (-want +got):\n%s", diff)
			}
			if got.Seconds != tt.seconds || got.Every != 0.1 {
				t.Errorf("%v s in intervals of %v s, want %v and 0.1", got.Seconds, got.Every, tt.seconds)
			}
		})
	}
}

func TestALatencyIsTheMeanOfItsInterval(t *testing.T) {
	s := newSampler()
	s.look(100*time.Millisecond, amounts{requests: 2, took: 30 * time.Millisecond}, false, 7)
	s.look(200*time.Millisecond, amounts{requests: 2, took: 30 * time.Millisecond}, false, 9)
	s.look(300*time.Millisecond, amounts{requests: 3, took: 90 * time.Millisecond}, false, 2)
	if diff := cmp.Diff([]float64{15, 0, 60}, s.series().LatencyMS); diff != "" {
		t.Error(diff)
	}
	s.halve()
	got := s.series()
	if diff := cmp.Diff([]float64{15, 60}, got.LatencyMS); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int64{9, 2}, got.TasksInMinute); diff != "" {
		t.Error(diff)
	}
}

// However long a run is and however seldom it is looked at, its series is
// bounded and loses nothing.
func TestASeriesIsBoundedAndLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSampler()
		var at time.Duration
		var done int64
		steps := rapid.SliceOfN(rapid.Int64Range(1, int64(3*time.Hour)), 1, 600).Draw(t, "steps")
		for _, step := range steps {
			at += time.Duration(step)
			done += step % 1000
			s.look(at, amounts{accepted: done}, false, 0)
		}
		got := s.series()
		if n := len(got.Accepted); n > maxIntervals {
			t.Fatalf("%d intervals", n)
		}
		var sum int64
		for _, n := range got.Accepted {
			sum += n
		}
		if sum != done {
			t.Fatalf("the intervals sum up to %d, want %d", sum, done)
		}
		if n := float64(len(got.Accepted)); n > 1 && (got.Seconds > (n+0.5)*got.Every+0.001 || got.Seconds < (n-0.5)*got.Every-0.001) {
			t.Fatalf("%v s are not %v intervals of %v s", got.Seconds, n, got.Every)
		}
	})
}

func TestAGaugeHoldsWhereNobodyLooked(t *testing.T) {
	s := newSampler()
	s.look(100*time.Millisecond, amounts{}, false, 7)
	s.look(700*time.Millisecond, amounts{}, false, 9)
	if diff := cmp.Diff([]int64{7, 9, 9, 9, 9, 9, 9}, s.series().TasksInMinute); diff != "" {
		t.Error(diff)
	}
}

func TestAHistoryIsKeptUntilItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plot{sampler: newSampler()}
		began, books := time.Now(), newBooks(zap.NewNop())
		stop := regularly(firstInterval, func() time.Duration { return p.look(Progress{Started: began, Totals: books.totals()}) })
		for range 10 {
			time.Sleep(firstInterval)
			books.settle(slices.Repeat([]verdict.Verdict{{Status: verdict.Created}}, 5))
		}
		time.Sleep(firstInterval / 4)
		stop()
		s := p.series()
		var sum int64
		for _, n := range s.Accepted {
			sum += n
		}
		if sum != 50 || len(s.Accepted) != 10 {
			t.Errorf("%d rows in %d intervals, want 50 in 10", sum, len(s.Accepted))
		}
	})
}
