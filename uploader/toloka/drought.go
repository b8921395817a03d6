package toloka

import (
	"fmt"
	"sync/atomic"
	"time"

	"poolfill/ratelimit"
)

// accepted knows when the server last took tasks, of whatever request of the Client.
type accepted struct{ at atomic.Pointer[time.Time] }

// note notes that tasks were taken just now.
func (a *accepted) note() {
	now := time.Now()
	a.at.Store(&now)
}

// last returns when that was; zero for never.
func (a *accepted) last() time.Time {
	if at := a.at.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// drought is the time in which a request is refused for want of quota, while the server
// takes no tasks at all. The first pause for a quota that the server names is no part of
// it: it was said when there will be room.
type drought struct {
	begun time.Time // its first refusal; zero for none
	since time.Time // it counts from then on
	last  time.Time // refusal
}

// refused takes a refusal of now, when tasks were last taken, and the pause that the gate
// makes. It reports whether the drought would last longer than most until another
// attempt. Where the pause is not one that the server asked for, there is at least one.
func (d *drought) refused(now, accepted time.Time, pause, most time.Duration, hint hint) (over bool) {
	next := now.Add(pause)
	begins := d.begun.IsZero() || accepted.After(d.last)
	if begins {
		if d.begun, d.since = now, now; hint == quotaNamed {
			d.since = next
		}
	}
	d.last = now
	return next.Sub(d.since) > most && (!begins || hint != noHint)
}

// hint is what a refusal says of the time to wait.
type hint int

const (
	noHint hint = iota
	pauseAsked
	quotaNamed
)

func hintOf(e *Error) hint {
	switch {
	case e.Interval != "":
		return quotaNamed
	case ratelimit.RetryAfter(e.RetryAfter, e.date, time.Time{}) > 0:
		return pauseAsked
	}
	return noHint
}

// StalledError is the Cause of an Error of KindQuota with a Status: for as long as a
// request is repeated, the server had no quota for it, and took no other tasks either.
type StalledError struct {
	// After is the time that passed without tasks, and Next the pause that would
	// come before another attempt.
	After, Next time.Duration
	// Tasks is how many tasks the request has; 0 where it creates none.
	Tasks int
}

func (e *StalledError) Error() string {
	text := fmt.Sprintf("no tasks were taken for %v, and the next attempt would be in %v", rounded(e.After), rounded(e.Next))
	if e.Tasks > 1 {
		text += fmt.Sprintf("; if the account's quota was lowered, %d tasks may be more than it ever lets pass at once: make the chunks smaller", e.Tasks)
	}
	return text
}

// rounded leaves out what nobody wants to know.
func rounded(d time.Duration) time.Duration { return max(d, 0).Round(time.Second) }
