// Package backoff paces the repetitions of what fails for a passing reason. What
// goes in is how often it failed, what comes out is how long to wait.
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

// Jitter returns a jitter for Delay. It is made of the time: what failed at different
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
