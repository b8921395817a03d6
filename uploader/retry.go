package uploader

import (
	"context"
	"time"

	"poolfill/internal/backoff"
)

// budget bounds the time that is spent on repeating one thing. Time waited for
// the quota is not spent.
type budget struct {
	left    time.Duration
	spent   time.Duration // on pauses
	repeats int
}

// next gives the pause before another attempt, at least as long as the server
// asked for, and reports whether there is still time for it.
func (b *budget) next(asked time.Duration, jitter float64) (time.Duration, bool) {
	b.repeats++
	delay := max(backoff.Delay(b.repeats, jitter), asked)
	if b.left <= 0 || delay > b.left {
		return 0, false
	}
	b.left -= delay
	b.spent += delay
	return delay, true
}

// pause waits before another attempt, and reports whether there is one; there
// is none either where the context has ended.
func (b *budget) pause(ctx context.Context, asked time.Duration) bool {
	delay, ok := b.next(asked, backoff.Jitter())
	return ok && backoff.Sleep(ctx, delay) == nil
}

// The bounds of the pause between two polls of an operation.
const (
	firstPoll  = 25 * time.Millisecond
	maxPoll    = 10 * time.Second
	pollGrowth = 1.6
	// Most operations take about as long as those before. The first poll comes
	// a little before that time, so that a typical time that is too long shows
	// itself; the second at about that time.
	pollEarly = 0.7
	pollLate  = 1 - pollEarly
)

// pollDelay is the pause before poll n of an operation, counted from 0, where
// such operations typically took the given time (0 = not known). A jitter in
// [0, 1) puts up to 10% on top, so that workers don't poll in step.
func pollDelay(n int, typical time.Duration, jitter float64) time.Duration {
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

// typicalAfter is the new typical time of an operation after one took so long.
func typicalAfter(typical, took time.Duration) time.Duration {
	if typical == 0 {
		return took
	}
	return typical + (took-typical)/4
}
