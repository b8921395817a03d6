package emulator

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestTheQuotaOfAMinuteSlides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{Limits: Limits{TasksPerMinute: 10}})
		create := func(n, want int) answer {
			t.Helper()
			return send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 0, n)).want(t, want)
		}
		create(4, http.StatusCreated) // at 0 s
		time.Sleep(30 * time.Second)
		create(6, http.StatusCreated) // at 30 s
		a := create(1, http.StatusTooManyRequests).wantError(t, http.StatusTooManyRequests, "TOO_MANY_REQUESTS")
		if got := a.get(t, "payload", "interval"); got != "MIN" {
			t.Errorf("interval %v", got)
		}
		time.Sleep(30*time.Second - time.Millisecond)
		create(1, http.StatusTooManyRequests)
		time.Sleep(time.Millisecond)
		create(5, http.StatusTooManyRequests)
		create(4, http.StatusCreated) // at 60 s the first four are forgotten
		create(1, http.StatusTooManyRequests)
		if got := s.Stats(); got.PeakTasksPerMinute != 10 || got.Tasks != 14 || got.TooManyRequests != 4 {
			t.Errorf("statistics %+v", got)
		}
	})
}

func TestTheQuotaOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{Limits: Limits{TasksPerDay: 10, Day: time.Hour}})
		post := func(n, want int) answer {
			t.Helper()
			return send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true&async_mode=true", goodTasks("1", 0, n)).want(t, want)
		}
		post(10, http.StatusAccepted)
		time.Sleep(time.Hour - time.Second)
		if got := post(1, http.StatusTooManyRequests).get(t, "payload", "interval"); got != "DAY" {
			t.Errorf("interval %v", got)
		}
		time.Sleep(time.Second)
		post(10, http.StatusAccepted)
	})
}

func TestTheQuotaOfACalendarsDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which begins at midnight, UTC
		s := start(t, Config{Limits: Limits{TasksPerDay: 10, Day: time.Hour, Calendar: true}})
		post := func(n, want int) {
			t.Helper()
			send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true&async_mode=true", goodTasks("1", 0, n)).want(t, want)
		}
		for range 2 {
			time.Sleep(time.Hour - time.Second)
			post(10, http.StatusAccepted)
			post(1, http.StatusTooManyRequests)
			time.Sleep(time.Second)
			post(9, http.StatusAccepted)
			time.Sleep(time.Hour - time.Nanosecond)
			post(2, http.StatusTooManyRequests)
			post(1, http.StatusAccepted)
			time.Sleep(time.Nanosecond)
		}
	})
}

func TestTheQuotaOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{Limits: Limits{RequestsPerSecond: 3}})
		get := func(want int) answer {
			t.Helper()
			return send(s, http.MethodGet, "/api/v1/requester", "").want(t, want)
		}
		for range 3 {
			get(http.StatusOK)
		}
		a := get(http.StatusTooManyRequests).wantError(t, http.StatusTooManyRequests, "TOO_MANY_REQUESTS")
		if a.get(t, "payload") != nil || a.header.Get("Retry-After") != "" {
			t.Errorf("the quota of requests gives a hint: %s", a.raw)
		}
		time.Sleep(time.Second)
		get(http.StatusOK)
	})
}

func TestRefusedTasksUseNoQuota(t *testing.T) {
	s := start(t, Config{Limits: Limits{TasksPerMinute: 2}})
	for range 3 {
		send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", mixed).want(t, http.StatusBadRequest)
		post(t, s, "", mixed)
	}
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true&skip_invalid_items=true", mixed).want(t, http.StatusCreated)
}

// A window holds exactly what happened within its span, however events fall.
func TestAWindowIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := window{span: 100 * time.Nanosecond}
		var all []event
		now := time.Unix(0, 0)
		peak := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 70).Draw(t, "wait")))
			n := rapid.IntRange(0, 9).Draw(t, "n")
			w.add(now, n)
			all = append(all, event{now, n})
			sum := 0
			for _, e := range all {
				if now.Sub(e.at) < w.span {
					sum += e.n
				}
			}
			peak = max(peak, sum)
			if got := w.count(now); got != sum {
				t.Fatalf("the window holds %d, want %d", got, sum)
			}
		}
		if w.peak != peak {
			t.Fatalf("peak %d, want %d", w.peak, peak)
		}
	})
}

func TestAWindowWithAGrainStaysSmall(t *testing.T) {
	w := window{span: time.Hour, grain: time.Minute}
	now := time.Unix(0, 0)
	for range 3600 * 3 {
		now = now.Add(time.Second)
		w.add(now, 1)
	}
	if len(w.events) > 150 {
		t.Errorf("the window has %d events", len(w.events))
	}
	if got := w.count(now); got < 3600-60 || got > 3600 {
		t.Errorf("the window holds %d", got)
	}
}
