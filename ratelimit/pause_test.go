package ratelimit

import (
	"net/http"
	"testing"
	"time"
)

func TestPauseAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name    string
		refusal Refusal
		inARow  int
		want    Pause
	}{
		{"seconds", Refusal{RetryAfter: "7"}, 1, Pause{7 * time.Second, ReasonRetryAfter}},
		{"a fraction of seconds", Refusal{RetryAfter: " 0.5 "}, 1, Pause{500 * time.Millisecond, ReasonRetryAfter}},
		{"a date", Refusal{RetryAfter: now.Add(90 * time.Second).Format(http.TimeFormat)}, 1, Pause{90 * time.Second, ReasonRetryAfter}},
		{"a date by the server's clock, a day ahead", Refusal{RetryAfter: now.AddDate(0, 0, 1).Add(3 * time.Second).Format(http.TimeFormat), Date: now.AddDate(0, 0, 1).Format(http.TimeFormat)}, 1, Pause{3 * time.Second, ReasonRetryAfter}},
		{"a date by the server's clock, a day behind", Refusal{RetryAfter: now.AddDate(0, 0, -1).Add(3 * time.Second).Format(http.TimeFormat), Date: now.AddDate(0, 0, -1).Format(http.TimeFormat)}, 1, Pause{3 * time.Second, ReasonRetryAfter}},
		{"a date beside one that can't be read", Refusal{RetryAfter: now.Add(90 * time.Second).Format(http.TimeFormat), Date: "today"}, 1, Pause{90 * time.Second, ReasonRetryAfter}},
		{"Retry-After wins over the interval", Refusal{RetryAfter: "7", Interval: IntervalHour}, 1, Pause{7 * time.Second, ReasonRetryAfter}},
		{"a huge number", Refusal{RetryAfter: "99999999999999999999"}, 1, Pause{24 * time.Hour, ReasonRetryAfter}},
		{"a number beyond floats", Refusal{RetryAfter: "1e999"}, 1, Pause{24 * time.Hour, ReasonRetryAfter}},
		{"a far date", Refusal{RetryAfter: now.AddDate(9, 0, 0).Format(http.TimeFormat)}, 1, Pause{24 * time.Hour, ReasonRetryAfter}},
		{"a negative number is none", Refusal{RetryAfter: "-5", Interval: IntervalMinute}, 1, Pause{time.Minute, ReasonMinute}},
		{"zero is none", Refusal{RetryAfter: "0"}, 1, Pause{time.Second, ReasonBackOff}},
		{"a past date is none", Refusal{RetryAfter: now.Add(-time.Hour).Format(http.TimeFormat)}, 1, Pause{time.Second, ReasonBackOff}},
		{"words are none", Refusal{RetryAfter: "soon"}, 1, Pause{time.Second, ReasonBackOff}},
		{"not a number is none", Refusal{RetryAfter: "NaN"}, 1, Pause{time.Second, ReasonBackOff}},
		{"minute", Refusal{Interval: "MIN"}, 1, Pause{time.Minute, ReasonMinute}},
		{"hour in small letters", Refusal{Interval: "hour"}, 1, Pause{time.Hour, ReasonHour}},
		{"day", Refusal{Interval: "DAY"}, 1, Pause{time.Hour, ReasonDay}},
		{"unknown interval, second in a row", Refusal{Interval: "WEEK"}, 2, Pause{2 * time.Second, ReasonBackOff}},
		{"sixth in a row", Refusal{}, 6, Pause{32 * time.Second, ReasonBackOff}},
		{"seventh in a row", Refusal{}, 7, Pause{time.Minute, ReasonBackOff}},
		{"thousandth in a row", Refusal{}, 1000, Pause{time.Minute, ReasonBackOff}},
		{"no row at all", Refusal{}, 0, Pause{time.Second, ReasonBackOff}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := PauseAfter(tc.refusal, tc.inARow, now, 0); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			most := tc.want.For + min(tc.want.For/20, 3*time.Second) + 100*time.Millisecond
			if got := PauseAfter(tc.refusal, tc.inARow, now, 0.999).For; got <= tc.want.For || got > most {
				t.Errorf("with jitter it is %v, want more than %v and at most %v", got, tc.want.For, most)
			}
		})
	}
}
