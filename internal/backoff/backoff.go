// Package backoff paces what is repeated: attempts that failed for a passing reason,
// and polls of something that takes its time. What goes in is how often it was tried,
// what comes out is how long to wait.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// The bounds of the pause between two attempts.
const (
	First = 500 * time.Millisecond
	Max   = 30 * time.Second
)

// Delay is the pause before repetition n, from 1: exponential, with full jitter,
// which must lie in [0, 1).
func Delay(n int, jitter float64) time.Duration {
	ceiling := First
	for i := 1; i < n && ceiling < Max; i++ {
		ceiling *= 2
	}
	return time.Duration(jitter * float64(min(ceiling, Max)))
}

// Jitter returns a jitter for Delay and Poll. It is made of the time: what failed at different
// moments waits for different times, and a test whose clock is its own can be repeated.
func Jitter() float64 { return rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)).Float64() }

// Sleep waits so long, or until ctx ends, which is an error: its cause.
func Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Budget bounds the time that is spent on repeating one thing.
type Budget struct {
	// Left is the time that is left for attempts and pauses, and Paused the sum of
	// the pauses.
	Left, Paused time.Duration

	repeats int
}

// Next returns the pause before another attempt, at least as long as the server
// asked for, and reports whether there is still time for it.
func (b *Budget) Next(asked time.Duration, jitter float64) (time.Duration, bool) {
	b.repeats++
	delay := max(Delay(b.repeats, jitter), asked)
	if b.Left <= 0 || delay > b.Left {
		return 0, false
	}
	b.Left -= delay
	b.Paused += delay
	return delay, true
}

// The bounds of the pause between two polls.
const (
	firstPoll  = 25 * time.Millisecond
	maxPoll    = 10 * time.Second
	pollGrowth = 1.6
	// Most things take about as long as those before. The first poll comes a little
	// before that time, so that a typical time that is too long shows itself; the
	// second at about that time.
	pollEarly = 0.7
	pollLate  = 1 - pollEarly
)

// Poll is the pause before poll n, counted from 0, of something that typically took
// the given time (0 = not known). A jitter in [0, 1) puts up to 10% on top, so that
// workers don't poll in step.
func Poll(n int, typical time.Duration, jitter float64) time.Duration {
	d := float64(firstPoll)
	if typical > 0 {
		early := min(pollEarly*float64(typical), float64(maxPoll))
		if n == 0 {
			return time.Duration(max(early, d) * (1 + jitter/10))
		}
		n--
		d = max(d, pollLate*float64(typical))
	}
	for ; n > 0 && d < float64(maxPoll); n-- {
		d *= pollGrowth
	}
	return time.Duration(min(d, float64(maxPoll)) * (1 + jitter/10))
}

// Typical is the new typical time of something after it once took so long.
func Typical(typical, took time.Duration) time.Duration {
	if typical == 0 {
		return took
	}
	return typical + (took-typical)/4
}
