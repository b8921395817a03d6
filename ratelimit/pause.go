package ratelimit

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The intervals that a 429 of Toloka can name in payload.interval.
const (
	IntervalMinute = "MIN"
	IntervalHour   = "HOUR"
	IntervalDay    = "DAY"
)

const (
	// maxPause bounds what a server can ask for: no quota lasts longer.
	maxPause = 24 * time.Hour
	// maxBackOff bounds the pause where the server names none.
	maxBackOff = time.Minute
	// jitterShare and jitterBase are the most that is put on top of a pause, and
	// maxJitter bounds the share: some seconds are enough to keep processes apart.
	jitterShare = 0.05
	jitterBase  = 100 * time.Millisecond
	maxJitter   = 3 * time.Second
)

// Pause is a time in which no request may be sent.
type Pause struct {
	For    time.Duration
	Reason Reason
}

// Refusal is what an answer 429 has about the time to wait. All of it may be
// empty.
type Refusal struct {
	// RetryAfter is the header of that name: seconds, or an HTTP date.
	RetryAfter string
	// Date is the header of that name, by whose clock the date is meant.
	Date string
	// Interval is payload.interval: MIN, HOUR or DAY.
	Interval string
	// Day is how long the quota's day is, as in Limits.
	Day time.Duration
}

// PauseAfter returns how long to wait after a 429. Retry-After wins; then the
// interval: MIN 60 seconds, HOUR an hour, DAY until midnight, UTC; and where
// nothing is said, 1, 2, 4 … up to 60 seconds, by the number of refusals in a
// row (1 is the first). A Retry-After that lies in the past or can't be read
// counts as none; nothing lasts longer than a day.
//
// The jitter, from 0 up to 1, is that share of what may be put on top: 5%, at most 3
// seconds, and a tenth of a second. A pause is never shorter than asked for.
func PauseAfter(r Refusal, inARow int, now time.Time, jitter float64) Pause {
	p := base(r, inARow, now)
	p.For += time.Duration(jitter * (min(jitterShare*float64(p.For), float64(maxJitter)) + float64(jitterBase)))
	return p
}

func base(r Refusal, inARow int, now time.Time) Pause {
	if wait := RetryAfter(r.RetryAfter, r.Date, now); wait > 0 {
		return Pause{wait, ReasonRetryAfter}
	}
	switch strings.ToUpper(r.Interval) {
	case IntervalMinute:
		return Pause{time.Minute, ReasonMinute}
	case IntervalHour:
		return Pause{time.Hour, ReasonHour}
	case IntervalDay:
		return Pause{untilNextDay(now, r.Day), ReasonDay}
	}
	const doublings = 6 // which are more than maxBackOff
	return Pause{min(time.Second<<min(max(inARow, 1)-1, doublings), maxBackOff), ReasonBackOff}
}

// RetryAfter reads a Retry-After header, which holds seconds or an HTTP date, and
// returns at most a day. It returns 0 where the header is empty, can't be read, or lies
// in the past. A date is compared with the Date header of the same answer, since clocks
// can be days apart, and with now only where there is none.
func RetryAfter(header, date string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0
	}
	if at, err := http.ParseTime(header); err == nil {
		if sent, err := http.ParseTime(date); err == nil {
			now = sent
		}
		return min(max(at.Sub(now.Round(0)), 0), maxPause)
	}
	// A float, since some servers send a fraction, and since it has no
	// overflow: it becomes infinite. What isn't a number compares as neither.
	seconds, err := strconv.ParseFloat(header, 64)
	switch {
	case seconds >= maxPause.Seconds():
		return maxPause
	case err == nil && seconds > 0:
		return time.Duration(seconds * float64(time.Second))
	}
	return 0
}
