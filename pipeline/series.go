package pipeline

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Series is how a run went over time, in intervals of the same length: each
// slice has one value an interval. It has at most 240 intervals: a run that
// outgrows them gets intervals twice as long.
type Series struct {
	// Every is the length of an interval in seconds. The last one ends where the
	// run did, at Seconds, which makes it up to half an interval shorter or longer.
	Every   float64 `json:"every"`
	Seconds float64 `json:"seconds"`
	// Accepted counts rows that were created, or that a check found valid.
	Accepted []int64 `json:"accepted"`
	Rejected []int64 `json:"rejected"`
	// Requests counts those that ended, Retried those of them that repeat
	// another, Refused the answers 429.
	Requests []int64 `json:"requests"`
	Retried  []int64 `json:"retried"`
	Refused  []int64 `json:"refused"`
	// LatencyMS is how long a request of the interval took, in milliseconds, on
	// average and without its wait for the quota; 0 where none ended.
	LatencyMS []float64 `json:"latency_ms"`
	// Waited is the time, in seconds, in which the quota held requests back.
	Waited []float64 `json:"waited"`
	// TasksInMinute is the most tasks that counted against the quota of a minute.
	TasksInMinute []int64 `json:"tasks_in_minute"`
}

const (
	// maxIntervals bounds a Series.
	maxIntervals = 240
	// firstInterval is the length of an interval at first.
	firstInterval = 100 * time.Millisecond
)

// amounts is what a run had done by some moment, or did in some interval.
type amounts struct {
	accepted, rejected         int64
	requests, retried, refused int64
	took                       time.Duration // by all requests
}

func (a amounts) plus(b amounts, sign int64) amounts {
	return amounts{
		accepted: a.accepted + sign*b.accepted, rejected: a.rejected + sign*b.rejected,
		requests: a.requests + sign*b.requests, retried: a.retried + sign*b.retried, refused: a.refused + sign*b.refused,
		took: a.took + time.Duration(sign)*b.took,
	}
}

// interval is what happened in one of them.
type interval struct {
	amounts
	waited time.Duration
	window int64
}

func (i interval) plus(j interval) interval {
	return interval{i.amounts.plus(j.amounts, 1), i.waited + j.waited, max(i.window, j.window)}
}

// sampler makes intervals of looks at a run. It is pure: it knows only the times
// that it is given.
type sampler struct {
	every     time.Duration
	intervals []interval
	last      time.Duration // since the run began, of the last look
	seen      amounts       // by then
	window    int64         // then
}

func newSampler() *sampler { return &sampler{every: firstInterval} }

// look takes what the run has done by the time at since it began. What happened
// since the last look counts in the interval of the middle between the two, so
// that a look that comes a little late changes nothing.
func (s *sampler) look(at time.Duration, now amounts, waiting bool, window int64) {
	if at <= s.last {
		return
	}
	part := interval{amounts: now.plus(s.seen, -1), window: window}
	if waiting {
		part.waited = at - s.last
	}
	for at/s.every >= maxIntervals {
		s.halve()
	}
	i := int((s.last + (at-s.last)/2) / s.every)
	s.intervals = padded(s.intervals, i+1, window)
	s.intervals[i] = s.intervals[i].plus(part)
	s.last, s.seen, s.window = at, now, window
}

// padded makes intervals at least n, with some in which nothing happened.
func padded(intervals []interval, n int, window int64) []interval {
	for len(intervals) < n {
		intervals = append(intervals, interval{window: window})
	}
	return intervals
}

// halve makes the intervals twice as long.
func (s *sampler) halve() {
	for i := range s.intervals {
		if i%2 == 0 {
			s.intervals[i/2] = s.intervals[i]
		} else {
			s.intervals[i/2] = s.intervals[i/2].plus(s.intervals[i])
		}
	}
	s.intervals = s.intervals[:(len(s.intervals)+1)/2]
	s.every *= 2
}

// series returns what there is so far; nil where there is nothing.
func (s *sampler) series() *Series {
	if len(s.intervals) == 0 {
		return nil
	}
	// The rates of a short rest would mean nothing: it goes with its predecessor.
	n := max(1, int(s.last.Round(s.every)/s.every))
	all := padded(slices.Clone(s.intervals), n, s.window)
	for _, rest := range all[n:] {
		all[n-1] = all[n-1].plus(rest)
	}
	all = all[:n]
	out := &Series{Every: s.every.Seconds(), Seconds: rounded(s.last.Seconds())}
	for _, i := range all {
		latency := 0.0
		if i.requests > 0 {
			latency = rounded(float64(i.took) / float64(time.Millisecond) / float64(i.requests))
		}
		out.Accepted = append(out.Accepted, i.accepted)
		out.Rejected = append(out.Rejected, i.rejected)
		out.Requests = append(out.Requests, i.requests)
		out.Retried = append(out.Retried, i.retried)
		out.Refused = append(out.Refused, i.refused)
		out.LatencyMS = append(out.LatencyMS, latency)
		out.Waited = append(out.Waited, rounded(i.waited.Seconds()))
		out.TasksInMinute = append(out.TasksInMinute, i.window)
	}
	return out
}

// rounded keeps three decimals, which is all that a plot can show.
func rounded(x float64) float64 { return math.Round(x*1000) / 1000 }

// plot is the sampler of a run that goes on. It is safe for concurrent use.
type plot struct {
	mu      sync.Mutex
	sampler *sampler
}

func (h *plot) series() *Series {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sampler.series()
}

// look looks at the run once, and returns the time until the next look, which is
// due at the end of an interval.
func (h *plot) look(now Progress) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := time.Since(now.Started)
	h.sampler.look(at, amounts{
		accepted: now.Totals.Created + now.Totals.Valid, rejected: now.Totals.Rejected,
		requests: now.Requests.Sent, retried: now.Requests.Retried, refused: now.Requests.ByStatus["429"],
		took: now.Requests.Took,
	}, now.Gate.Waiting > 0 && now.Gate.Reason != "", int64(now.Gate.TasksInWindow))
	return h.sampler.every - at%h.sampler.every
}
