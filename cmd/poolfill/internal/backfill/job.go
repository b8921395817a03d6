package backfill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
)

// format is the version of what is stored. A worker leaves backfills of another
// one alone.
const format = 1

const (
	// later is when a job looks again for what stands in its way just now.
	later = 15 * time.Second
	// soon is when it looks again for what takes a moment.
	soon = time.Second
	// firstRetry and lastRetry bound the pauses after failures.
	firstRetry = 2 * time.Second
	lastRetry  = 10 * time.Minute
)

// jobKey names a job of a segment. It is what River knows of it.
type jobKey struct {
	Backfill   int64 `json:"backfill"`
	Segment    int   `json:"segment"`
	Generation int64 `json:"generation"`
}

// Kind names the version of what is stored: a worker fetches no job of another.
func (jobKey) Kind() string { return fmt.Sprintf("poolfill_segment_%d", format) }

// errChanged says that a file is not what it was when the backfill began.
var errChanged = errors.New("the file changed since the backfill began: put the old one back and run 'poolfill backfill retry', or cancel this backfill and begin another one")

// errMixed says that a file is what it was again, but rows of another one were
// uploaded in its place.
var errMixed = errors.New("rows of another version of the file were uploaded, and stay in the pool: cancel this backfill and begin another one, for a new pool")

// final reports an error of which no further attempt helps.
func final(err error) bool { return errors.Is(err, errChanged) || errors.Is(err, errMixed) }

// snooze is a job that is tried again, though nothing failed.
type snooze struct{ wait time.Duration }

func (s *snooze) Error() string { return fmt.Sprintf("again in %s", s.wait) }

// forRiver translates how a job ended.
func forRiver(err error) error {
	var again *snooze
	switch {
	case errors.As(err, &again):
		return river.JobSnooze(max(again.wait, 0))
	case final(err):
		return river.JobCancel(err)
	}
	return err
}

// pause is how long a job waits after so many failures.
func pause(failures int) time.Duration {
	const doublings = 10 // which are more than lastRetry
	return min(lastRetry, firstRetry<<min(max(failures, 1)-1, doublings))
}

// jobs carries out River's jobs of one kind.
type jobs[T river.JobArgs] struct {
	river.WorkerDefaults[T]
	work    func(ctx context.Context, args T, triesLeft int) error
	alarm   *alarm
	timeout time.Duration // 0 is River's own setting
}

// Work is part of river.Worker.
func (j *jobs[T]) Work(ctx context.Context, job *river.Job[T]) error {
	err := j.work(ctx, job.Args, job.MaxAttempts-job.Attempt)
	j.alarm.see(err)
	return forRiver(err)
}

// NextRetry is part of river.Worker.
func (*jobs[T]) NextRetry(job *river.Job[T]) time.Time { return time.Now().Add(pause(job.Attempt)) }

// Timeout is part of river.Worker.
func (j *jobs[T]) Timeout(*river.Job[T]) time.Duration { return j.timeout }

// repeat does something until ctx ends, now and then and when it is woken.
func repeat(ctx context.Context, every time.Duration, wake <-chan struct{}, do func() error, failed func(error)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := do(); err != nil && ctx.Err() == nil {
			failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-ticker.C:
		}
	}
}
