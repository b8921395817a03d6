package ratelimit

import (
	"fmt"
	"time"
)

// Minute is how long a task counts in the minute's window after its answer. The
// millisecond on top settles the question to which of two windows a task at the
// very border belongs, also for clocks that know only milliseconds.
const Minute = time.Minute + time.Millisecond

// Reason is why nothing may be sent, in words for people.
type Reason string

// The reasons of a pause.
const (
	ReasonMinute     Reason = "the quota of a minute is used up"
	ReasonHour       Reason = "the quota of an hour is used up"
	ReasonDay        Reason = "the quota of the day is used up"
	ReasonRetryAfter Reason = "the server asked to wait"
	ReasonBackOff    Reason = "the server had too many requests"
	ReasonShared     Reason = "other uploads make room for this one"
)

// Limits are the most tasks that may be created; 0 means no limit.
type Limits struct {
	TasksPerMinute int // in any 60 seconds
	TasksPerDay    int // within one Day
	// Day is how long the quota's day is; 0 is 24 hours, from midnight to midnight,
	// UTC. It is shorter only in tests, whose server counts so too.
	Day time.Duration
}

// any reports whether tasks are limited at all.
func (l Limits) any() bool { return l.TasksPerMinute > 0 || l.TasksPerDay > 0 }

// Check returns a *TooManyTasksError where a request with so many tasks can never
// pass, however long it waits.
func (l Limits) Check(tasks int) error {
	if l.TasksPerMinute > 0 && tasks > l.TasksPerMinute {
		return &TooManyTasksError{tasks, l.TasksPerMinute, "minute"}
	}
	if l.TasksPerDay > 0 && tasks > l.TasksPerDay {
		return &TooManyTasksError{tasks, l.TasksPerDay, "day"}
	}
	return nil
}

// TooManyTasksError is returned for a request with more tasks than a limit ever lets
// pass at once.
type TooManyTasksError struct {
	Tasks, Limit int
	Per          string // "minute" or "day"
}

func (e *TooManyTasksError) Error() string {
	return fmt.Sprintf("a request with %d tasks can never be sent, as only %d tasks a %s are allowed: make the chunks smaller, or raise the limit",
		e.Tasks, e.Limit, e.Per)
}

// Counted are tasks that count in the minute's window, and until when.
type Counted struct {
	Tasks int
	Until time.Time
}

// Wait returns how long a grant of so many tasks, which pass the limits' Check,
// has to wait, and for which of the limits: 0 and no reason where there is room.
// What counts is in the order of its end, today's tasks include those
// under way. It is how a Book decides.
func Wait(limits Limits, counted []Counted, today, tasks int, now time.Time) (time.Duration, Reason) {
	if limits.TasksPerDay > 0 && today+tasks > limits.TasksPerDay {
		return untilNextDay(now, limits.Day), ReasonDay
	}
	if limits.TasksPerMinute == 0 {
		return 0, ""
	}
	w := window{limit: limits.TasksPerMinute, answered: counted}
	for _, c := range counted {
		w.counted += c.Tasks
	}
	wait, known := w.wait(now, tasks)
	switch {
	case !known: // more tasks than the limit: never
		return Minute, ReasonMinute
	case wait > 0:
		return wait, ReasonMinute
	}
	return 0, ""
}

// window counts the tasks that the server may see in its last minute. A task
// counts from its grant, since the server may count it from then on, until a
// minute after its answer, since the server may have counted it as late as
// that. So, whatever the latency, the server never sees more than the limit.
//
// It has no clock and no lock; the times that it gets must not go backwards.
type window struct {
	limit int // 0 = none

	open     int       // granted and not answered
	answered []Counted // oldest first
	counted  int       // the tasks in answered
}

func (w *window) grant(tasks int)  { w.open += tasks }
func (w *window) refund(tasks int) { w.open -= tasks }

func (w *window) done(now time.Time, tasks int) {
	w.open -= tasks
	if w.limit == 0 {
		return
	}
	w.answered = append(w.answered, Counted{tasks, now.Add(Minute)})
	w.counted += tasks
}

// used expires what is too old and returns how many tasks count.
func (w *window) used(now time.Time) int {
	old := 0
	for old < len(w.answered) && !w.answered[old].Until.After(now) {
		w.counted -= w.answered[old].Tasks
		old++
	}
	w.answered = w.answered[old:]
	return w.open + w.counted
}

// wait returns how long a grant of so many tasks has to wait. It is not known
// where the room depends on answers that are still to come.
func (w *window) wait(now time.Time, tasks int) (wait time.Duration, known bool) {
	if w.limit == 0 {
		return 0, true
	}
	missing := w.used(now) + tasks - w.limit
	if missing <= 0 {
		return 0, true
	}
	for _, c := range w.answered {
		if missing -= c.Tasks; missing <= 0 {
			return c.Until.Sub(now), true
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
	length time.Duration // as Limits.Day
	limit  int           // 0 = none
	start  time.Time
	used   int // open included
	open   int
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
	if start := DayOf(now, d.length); start.After(d.start) {
		d.start, d.used = start, d.open
	}
}

// wait returns how long a grant of so many tasks has to wait.
func (d *day) wait(now time.Time, tasks int) time.Duration {
	d.roll(now)
	if d.limit == 0 || d.used+tasks <= d.limit {
		return 0
	}
	return untilNextDay(now, d.length)
}

// room returns how many tasks the day has room for. It needs a limit.
func (d *day) room() int { return max(0, d.limit-d.used) }

// DayOf is the beginning of the quota's day in which t lies, UTC, by the wall
// clock. length is as in Limits.Day.
func DayOf(t time.Time, length time.Duration) time.Time {
	return t.UTC().Truncate(dayLength(length))
}

// dayLength is Limits.Day, or what its zero value stands for.
func dayLength(length time.Duration) time.Duration {
	if length <= 0 {
		return 24 * time.Hour
	}
	return length
}

// NextDay is the end of the day in which t lies, see DayOf.
func NextDay(t time.Time, length time.Duration) time.Time {
	return DayOf(t, length).Add(dayLength(length))
}

func untilNextDay(t time.Time, length time.Duration) time.Duration {
	return NextDay(t, length).Sub(t.Round(0))
}
