package ratelimit

import (
	"context"
	"fmt"
	"time"
)

// bookPoll bounds one wait for room in a Book, since other processes make room
// there without a word.
const bookPoll = time.Second

// Book keeps an account's use of tasks: it outlives the process, and all
// processes that share the account ask the same one. It is safe for concurrent
// use.
type Book interface {
	// Take asks for room for so many tasks under the limits, atomically over
	// all processes. Where wait is 0 the tasks count from now on, and id names
	// the grant. Otherwise nothing is taken: wait is when to look again, and
	// reason, ReasonMinute or ReasonDay, which limit is in the way. A wait for the
	// day lasts until its end, by the Book's own clock.
	Take(ctx context.Context, tasks int, limits Limits) (id int64, wait time.Duration, reason Reason, err error)
	// Settle ends a grant.
	Settle(ctx context.Context, id int64, use Use) error
	// Today returns the tasks of the running day, UTC, those under way included.
	Today(ctx context.Context) (int, error)
	// Sharers returns how many processes take from it, this one included, as of
	// half a second ago at the most while there are Takes. It does no I/O.
	Sharers() int
}

// Use is whether the tasks of a grant were used.
type Use bool

// The uses of a grant.
const (
	Used   Use = true  // its tasks stay in the day and count for another Minute
	Unused Use = false // they never left, or were refused, and count nowhere
)

// noBook stands where there is no Book: it has room for all.
type noBook struct{}

func (noBook) Take(context.Context, int, Limits) (int64, time.Duration, Reason, error) {
	return 0, 0, "", nil
}
func (noBook) Settle(context.Context, int64, Use) error { return nil }
func (noBook) Today(context.Context) (int, error)       { return 0, nil }
func (noBook) Sharers() int                             { return 1 }

// DayQuotaError is returned where so many tasks can't be sent today any more. It comes
// only with Config.Park.
type DayQuotaError struct {
	// Limit is our own limit of tasks a day; 0 where only the server knows one.
	Limit int
	// Until is when the next tasks can be sent, UTC, in whole seconds.
	Until time.Time
	// Room is how many tasks there is still room for today: a smaller request can pass.
	// Those under way count as used, and may turn out to be refused.
	Room int
}

func (e *DayQuotaError) Error() string {
	quota := "the day's quota of tasks"
	if e.Limit > 0 {
		quota = fmt.Sprintf("the day's quota of %d tasks", e.Limit)
	}
	if e.Room > 0 {
		return fmt.Sprintf("%s has room for %d more, and the next request has more: run the same command again after %s", quota, e.Room, e.Until.Format(time.RFC3339))
	}
	return fmt.Sprintf("%s is used up: run the same command again after %s", quota, e.Until.Format(time.RFC3339))
}
