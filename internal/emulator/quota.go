package emulator

import (
	"strconv"
	"time"
)

// window counts what happened within the last span of time. It is exact, except
// that events less than grain apart count as one at the time of the first.
type window struct {
	span  time.Duration
	grain time.Duration
	// calendar has it begin anew at each multiple of span instead.
	calendar bool

	events []event
	sum    int
	peak   int // the greatest sum so far
}

type event struct {
	at time.Time
	n  int
}

// count returns the sum of all that happened after now - span, or since the last
// multiple of it.
func (w *window) count(now time.Time) int {
	start := now.Add(-w.span)
	if w.calendar {
		start = now.Truncate(w.span).Add(-1)
	}
	for len(w.events) > 0 && !w.events[0].at.After(start) {
		w.sum -= w.events[0].n
		w.events = w.events[1:]
	}
	return w.sum
}

// add counts n more at now.
func (w *window) add(now time.Time, n int) {
	w.count(now)
	if last := len(w.events) - 1; last >= 0 && now.Sub(w.events[last].at) <= w.grain {
		w.events[last].n += n
	} else {
		w.events = append(w.events, event{now, n})
	}
	w.sum += n
	w.peak = max(w.peak, w.sum)
}

// quota is what an account may do within a second, a minute and a day.
type quota struct {
	limits Limits

	requests window
	minute   window
	day      window
}

// The day's window would keep an event for each request of a day; with this
// many parts it stays small and is late by ten seconds at most.
const dayParts = 24 * 60 * 6

func newQuota(limits Limits) *quota {
	return &quota{
		limits:   limits,
		requests: window{span: time.Second},
		minute:   window{span: limits.Minute},
		day:      window{span: limits.Day, grain: limits.Day / dayParts, calendar: limits.Calendar},
	}
}

// request takes one request, or reports that the second's quota is used up. A
// refused request is not counted.
func (q *quota) request(now time.Time) bool {
	if exceeds(q.requests.count(now)+1, q.limits.RequestsPerSecond) {
		return false
	}
	q.requests.add(now, 1)
	return true
}

// refusal returns why n more tasks would exceed a quota, or nil.
func (q *quota) refusal(now time.Time, n int) error {
	switch {
	case n == 0:
		return nil
	case exceeds(q.day.count(now)+n, q.limits.TasksPerDay):
		e := tooManyTasks("DAY")
		if q.limits.Day < 24*time.Hour {
			// Nobody can know it, as they can of the calendar's day.
			e.retryAfter = strconv.Itoa(q.dayIn(now, n))
		}
		return e
	case exceeds(q.minute.count(now)+n, q.limits.TasksPerMinute):
		return tooManyTasks("MIN")
	}
	return nil
}

// dayIn returns in how many whole seconds the day has room for n more tasks.
func (q *quota) dayIn(now time.Time, n int) int {
	room := q.limits.TasksPerDay - q.day.count(now)
	for _, e := range q.day.events {
		if room += e.n; room >= n {
			return int(e.at.Add(q.limits.Day).Sub(now)/time.Second) + 1
		}
	}
	return int(q.limits.Day/time.Second) + 1
}

// tasks counts n created tasks.
func (q *quota) tasks(now time.Time, n int) {
	if n > 0 {
		q.minute.add(now, n)
		q.day.add(now, n)
	}
}
