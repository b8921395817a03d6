package toloka

import (
	"errors"
	"iter"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/ratelimit"
)

// A server that has no quota for anything, for ever, ends a call in its time.
func TestAServerThatAlwaysRefusesEndsTheCall(t *testing.T) {
	for _, tc := range []struct {
		name        string
		body        string
		headers     []string
		least, most time.Duration
	}{
		{"without a hint", `{"code":"TOO_MANY_REQUESTS"}`, nil, time.Second, 5 * time.Second},
		{"a page", page, nil, time.Second, 5 * time.Second},
		{"a pause", "", []string{"Retry-After", "2"}, 2 * time.Second, 5 * time.Second},
		{"a pause that is longer", "", []string{"Retry-After", "6"}, 0, 0},
		{"the minute's quota", `{"code":"TOO_MANY_REQUESTS","payload":{"interval":"MIN"}}`, nil, time.Minute, 64 * time.Second},
		{"the day's quota", `{"code":"TOO_MANY_REQUESTS","payload":{"interval":"DAY"}}`, nil, 24 * time.Hour, 24*time.Hour + 4*time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeServer{handle: func(received) (*http.Response, error) { return answer(429, tc.body, tc.headers...), nil }}
				c := newClient(t, f, Config{RetryFor: 5 * time.Second})
				start := time.Now()
				_, _, err := c.Submit(t.Context(), Tasks(), Batch{Body: []byte(`[{},{}]`), Len: 2, Name: "2 rows"}, "op", Hooks{})
				if took := time.Since(start); took < tc.least || took > tc.most {
					t.Errorf("it takes %v, want %v to %v", took, tc.least, tc.most)
				}
				var failed *Error
				var stalled *StalledError
				if !errors.As(err, &failed) || failed.Kind != KindQuota || failed.InDoubt || !errors.As(err, &stalled) || stalled.Tasks != 2 {
					t.Fatalf("the error is: %v", err)
				}
				if took := time.Since(start); stalled.After != took {
					t.Errorf("it says that nothing was taken for %v, of %v", stalled.After, took)
				}
				if text := err.Error(); !strings.Contains(text, "the quota was used up while sending 2 rows (429") || !strings.Contains(text, "2 tasks may be more than it ever lets pass at once: make the chunks smaller") {
					t.Errorf("the error is: %v", err)
				}
			})
		})
	}
}

// A chunk that a lowered quota never lets pass is said to be too large.
func TestAChunkLargerThanALoweredQuotaEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{handle: func(r received) (*http.Response, error) {
			if strings.Count(string(r.body), "{") > 100 {
				return answer(429, `{"code":"TOO_MANY_REQUESTS","payload":{"interval":"MIN"}}`), nil
			}
			return answer(202, `{"status":"RUNNING"}`), nil
		}}
		c := newClient(t, f, Config{})
		start := time.Now()
		_, _, err := c.Submit(t.Context(), Tasks(), Batch{Body: []byte("[" + strings.Repeat("{}", 101) + "]"), Len: 101}, "op", Hooks{})
		if took := time.Since(start); !strings.Contains(err.Error(), "101 tasks may be more") || took > 12*time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// As long as other tasks are taken, waiting for the quota is no standstill.
func TestProgressOfOthersKeepsARequestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(10 * time.Minute)
		f := &fakeServer{handle: func(r received) (*http.Response, error) {
			if r.URL.Query().Get("operation_id") == "late" && time.Now().Before(until) {
				return answer(429, ""), nil
			}
			return answer(202, `{"status":"RUNNING"}`), nil
		}}
		// A gate for each, as refusals would hold the other one too.
		c := newClient(t, f, Config{RetryFor: time.Minute})
		other := newClient(t, f, Config{RetryFor: time.Minute})
		other.retrying.accepted = c.retrying.accepted
		go func() {
			for time.Now().Before(until) {
				if _, _, err := other.Submit(t.Context(), Tasks(), Batch{Body: []byte(`[{}]`), Len: 1}, "other", Hooks{}); err != nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Second)
			}
		}()
		if _, _, err := c.Submit(t.Context(), Tasks(), Batch{Body: []byte(`[{}]`), Len: 1}, "late", Hooks{}); err != nil {
			t.Error(err)
		}
	})
}

// What the gate waits for, or parks for, is no standstill.
func TestWaitingForTheDaysQuotaIsNoStandstill(t *testing.T) {
	day := `{"code":"TOO_MANY_REQUESTS","payload":{"interval":"DAY"}}`
	batch := Batch{Body: []byte(`[{}]`), Len: 1}
	synctest.Test(t, func(t *testing.T) {
		f := script(t, on(post, 429, day), on(post, 202, success))
		if _, _, err := newClient(t, f, Config{RetryFor: 5 * time.Second}).Submit(t.Context(), Tasks(), batch, "op", Hooks{}); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		gate, err := ratelimit.New(ratelimit.Config{Park: true})
		if err != nil {
			t.Fatal(err)
		}
		f := script(t, on(post, 429, day))
		_, err = newClient(t, f, Config{RetryFor: 5 * time.Second, Gate: gate}).Create(t.Context(), Tasks(), batch, Hooks{}, func(iter.Seq[Item]) {}, nil)
		var parked *ratelimit.DayQuotaError
		if !errors.As(err, &parked) {
			t.Errorf("the error is: %v", err)
		}
	})
}
