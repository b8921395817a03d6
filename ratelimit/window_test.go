package ratelimit

import (
	"testing"
	"time"
)

func at(seconds float64) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func TestWindowWaitsForTheAnswersThatMustExpire(t *testing.T) {
	w := window{limit: 100}
	for _, a := range []struct {
		second float64
		tasks  int
	}{{0, 30}, {10, 30}, {20, 30}} {
		w.grant(a.tasks)
		w.done(at(a.second), a.tasks)
	}
	for _, tc := range []struct {
		name  string
		now   float64
		tasks int
		want  time.Duration
	}{
		{"what fits goes at once", 20, 10, 0},
		{"one too many waits for the oldest", 20, 11, 40*time.Second + time.Millisecond},
		{"more waits for the next", 20, 41, 50*time.Second + time.Millisecond},
		{"all waits for the last", 20, 100, 60*time.Second + time.Millisecond},
		{"at sixty seconds the oldest still counts", 60, 40, time.Millisecond},
		{"just after, it doesn't", 60.001, 40, 0},
	} {
		got, known := w.wait(at(tc.now), tc.tasks)
		if !known || got != tc.want {
			t.Errorf("%s: waits %v (known: %v), want %v", tc.name, got, known, tc.want)
		}
	}
	if got := w.used(at(60.001)); got != 60 {
		t.Errorf("%d tasks are used after the first expired, want 60", got)
	}
}

func TestWindowDoesNotKnowWhenAnOpenRequestEnds(t *testing.T) {
	w := window{limit: 100}
	w.grant(80)
	if _, known := w.wait(at(0), 21); known {
		t.Error("the wait is said to be known, but it depends on an answer")
	}
	w.refund(80)
	if wait, known := w.wait(at(0), 100); wait != 0 || !known {
		t.Errorf("after the refund there is a wait of %v (known: %v)", wait, known)
	}
}

func TestWindowWithoutLimitKeepsNothing(t *testing.T) {
	w := window{}
	w.grant(5)
	w.done(at(0), 5)
	if wait, known := w.wait(at(0), 1<<30); wait != 0 || !known {
		t.Errorf("a wait of %v without a limit", wait)
	}
	if len(w.answered) != 0 {
		t.Error("answers are kept without a limit")
	}
}

func TestDayBeginsAtMidnightUTC(t *testing.T) {
	east := time.FixedZone("east", 5*3600)
	evening := time.Date(2026, 3, 2, 4, 59, 0, 0, east) // 23:59 on March 1, UTC
	d := day{limit: 100, start: DayOf(evening, 0), used: 60}

	if got := d.wait(evening, 40); got != 0 {
		t.Errorf("what fits waits %v", got)
	}
	if got := d.wait(evening, 41); got != time.Minute {
		t.Errorf("one too many waits %v, want a minute", got)
	}
	d.grant(evening, 30)
	d.grant(evening, 10)
	d.done(evening, 10)
	if d.used != 100 {
		t.Errorf("%d are used, want 100", d.used)
	}
	morning := evening.Add(2 * time.Minute)
	if got := d.wait(morning, 70); got != 0 {
		t.Errorf("a new day waits %v", got)
	}
	if d.used != 30 {
		t.Errorf("the new day begins with %d used, want the 30 under way", d.used)
	}
	d.refund(morning, 30)
	if d.used != 0 || d.open != 0 {
		t.Errorf("after the refund %d are used and %d open", d.used, d.open)
	}
	d.used = 5
	if d.roll(evening); d.used != 5 {
		t.Error("a clock that is set back begins a day")
	}
}

func TestAShortDayBeginsAtItsMultiples(t *testing.T) {
	const length = 90 * time.Second
	now := time.Date(2026, 3, 1, 12, 0, 40, 0, time.UTC)
	d := day{length: length, limit: 10, start: DayOf(now, length)}
	d.grant(now, 10)
	d.done(now, 10)
	if got := d.wait(now, 1); got != 50*time.Second {
		t.Errorf("it waits %v, want the 50s that are left of the day", got)
	}
	limits := Limits{TasksPerDay: 10, Day: length}
	if got, reason := Wait(limits, nil, 10, 1, now); got != 50*time.Second || reason != ReasonDay {
		t.Errorf("Wait says %v (%s)", got, reason)
	}
	if got := d.wait(now.Add(50*time.Second), 10); got != 0 {
		t.Errorf("in the next day it waits %v", got)
	}
	if p := base(Refusal{Interval: IntervalDay, Day: length}, 1, now); p.For != 50*time.Second {
		t.Errorf("after a refusal it waits %v", p.For)
	}
}
