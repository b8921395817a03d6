package ratelimit

import "time"

// minute is how long a task counts after its answer. The millisecond on top
// settles the question to which of two windows a task at the very border
// belongs.
const minute = time.Minute + time.Millisecond

// window counts the tasks that the server may see in its last minute. A task
// counts from its grant, since the server may count it from then on, until a
// minute after its answer, since the server may have counted it as late as
// that. So, whatever the latency, the server never sees more than the limit.
//
// It has no clock and no lock; the times given to it must not go backwards.
type window struct {
	limit int // 0 = none

	open     int        // granted and not answered
	answered []answered // oldest first
	counted  int        // the tasks in answered
}

type answered struct {
	at    time.Time
	tasks int
}

func (w *window) grant(tasks int)  { w.open += tasks }
func (w *window) refund(tasks int) { w.open -= tasks }

func (w *window) done(now time.Time, tasks int) {
	w.open -= tasks
	if w.limit == 0 {
		return
	}
	w.answered = append(w.answered, answered{now, tasks})
	w.counted += tasks
}

// used expires what is too old and says how many tasks count.
func (w *window) used(now time.Time) int {
	old := 0
	for old < len(w.answered) && now.Sub(w.answered[old].at) >= minute {
		w.counted -= w.answered[old].tasks
		old++
	}
	w.answered = w.answered[old:]
	return w.open + w.counted
}

// wait says how long a grant of so many tasks has to wait. It is not known
// where the room depends on answers that are still to come.
func (w *window) wait(now time.Time, tasks int) (wait time.Duration, known bool) {
	if w.limit == 0 {
		return 0, true
	}
	missing := w.used(now) + tasks - w.limit
	if missing <= 0 {
		return 0, true
	}
	for _, a := range w.answered {
		missing -= a.tasks
		if missing <= 0 {
			return a.at.Add(minute).Sub(now), true
		}
	}
	return 0, false
}

// day counts the tasks since midnight, UTC, which is when Toloka's day begins.
// What is under way at midnight counts in the new day too, since the server
// may count it there.
//
// It has no clock and no lock.
type day struct {
	limit int // 0 = none
	start time.Time
	used  int // open included
	open  int
}

func (d *day) grant(now time.Time, tasks int) {
	d.roll(now)
	d.used += tasks
	d.open += tasks
}

func (d *day) done(now time.Time, tasks int) {
	d.roll(now)
	d.open -= tasks
}

func (d *day) refund(now time.Time, tasks int) {
	d.roll(now)
	d.open -= tasks
	d.used -= tasks
}

// roll begins a new day. A clock that is set back to yesterday begins none.
func (d *day) roll(now time.Time) {
	if start := midnight(now); start.After(d.start) {
		d.start, d.used = start, d.open
	}
}

// wait says how long a grant of so many tasks has to wait.
func (d *day) wait(now time.Time, tasks int) time.Duration {
	d.roll(now)
	if d.limit == 0 || d.used+tasks <= d.limit {
		return 0
	}
	return untilMidnight(now)
}

// midnight is the beginning of the day in which t lies, UTC, by the wall clock.
func midnight(t time.Time) time.Time {
	year, month, date := t.UTC().Date()
	return time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
}

func untilMidnight(t time.Time) time.Duration {
	return midnight(t).AddDate(0, 0, 1).Sub(t.Round(0))
}
