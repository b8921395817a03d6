package referee

import (
	"fmt"
	"net/http"
	"time"
)

// Quota are the limits of an account; 0 in each of them means none. Tasks are counted
// when the server gets to them.
type Quota struct {
	RequestsPerSecond int
	TasksPerMinute    int
	TasksPerDay       int
	// Clones are those of a minute and of a day.
	ClonesPerMinute, ClonesPerDay int
	// Says is how a 429 says how long it holds.
	Says Hint
}

// Hint is how a 429 says how long it holds.
type Hint int

// The hints: none, payload.interval, Retry-After in seconds, and as a date.
const (
	Silent Hint = iota
	Interval
	Seconds
	Date
)

// use is what was used of a quota.
type use struct {
	asked, made, cloned window
	refused             int
}

// window is what happened in the last time, and on the day.
type window struct {
	at    []time.Time
	n     []int
	day   string
	today int
}

// room reports whether n more fit among most in a time.
func (w *window) room(n, most int, span time.Duration, now time.Time) bool {
	sum := n
	for i := len(w.at) - 1; i >= 0 && now.Sub(w.at[i]) < span; i-- {
		sum += w.n[i]
	}
	return most == 0 || sum <= most
}

func (w *window) add(n int, now time.Time, day string) {
	if w.day != day {
		w.day, w.today = day, 0
	}
	w.today += n
	w.at, w.n = append(w.at, now), append(w.n, n)
}

func (w *window) roomToday(n, most int, day string) bool {
	used := w.today
	if w.day != day {
		used = 0
	}
	return most == 0 || used+n <= most
}

func (u *use) request(q Quota, now time.Time) (answer, bool) {
	if !u.asked.room(1, q.RequestsPerSecond, time.Second, now) {
		return u.refuse(q, "", time.Second, now), true
	}
	u.asked.add(1, now, "")
	return answer{}, false
}

func (u *use) tasks(q Quota, n int, now time.Time, day string) (answer, bool) {
	switch {
	case !u.made.room(n, q.TasksPerMinute, time.Minute, now):
		return u.refuse(q, "MIN", time.Minute, now), true
	case !u.made.roomToday(n, q.TasksPerDay, day):
		return u.refuse(q, "DAY", 24*time.Hour, now), true
	}
	u.made.add(n, now, day)
	return answer{}, false
}

func (u *use) clone(q Quota, now time.Time, day string) (answer, bool) {
	switch {
	case !u.cloned.room(1, q.ClonesPerMinute, time.Minute, now):
		return u.refuse(q, "MIN", time.Minute, now), true
	case !u.cloned.roomToday(1, q.ClonesPerDay, day):
		return u.refuse(q, "DAY", 24*time.Hour, now), true
	}
	u.cloned.add(1, now, day)
	return answer{}, false
}

func (u *use) refuse(q Quota, interval string, wait time.Duration, now time.Time) answer {
	u.refused++
	a := failure(http.StatusTooManyRequests, "TOO_MANY_REQUESTS", "Too many requests", nil)
	switch q.Says {
	case Silent:
	case Interval:
		if interval != "" {
			a = failure(http.StatusTooManyRequests, "TOO_MANY_REQUESTS", "Too many requests", map[string]any{"interval": interval})
		}
	case Seconds:
		a.header = http.Header{"Retry-After": {fmt.Sprint(int(wait.Seconds()))}}
	case Date:
		a.header = http.Header{"Retry-After": {now.Add(wait).UTC().Format(http.TimeFormat)}}
	}
	return a
}

// Refused returns how many requests were over a quota.
func (s *Server) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.quota.refused
}

// Requests returns how many requests the server got.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}
