package toloka

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"poolfill/internal/backoff"
	"poolfill/ratelimit"
)

const (
	// firstContact bounds the repetitions while the server can't be reached and
	// never has answered: a wrong address is likelier then than a bad moment.
	firstContact = 15 * time.Second
	// maxMalformed bounds the repetitions after 2xx answers that make no sense, while
	// the API never has answered: then they come from a wrong address. It also bounds
	// those of a single task that something on the way finds too large: such a word
	// means what it says when it comes again.
	maxMalformed = 4
)

// Effort is what a call took.
type Effort struct {
	// Attempts counts the requests that were sent.
	Attempts int
	// QuotaWait is the time that they waited at the gate.
	QuotaWait time.Duration
}

// retrying repeats attempts, and gives failures what all of a call's have in common.
type retrying struct {
	next      doer
	time      time.Duration // that repeating one request takes at most
	host      string
	tokenFrom string
	accepted  *accepted
	log       *zap.Logger
}

// do repeats a request until it succeeds, fails for good, or its time is over: that of its
// attempts and the pauses between them, or, where there is no quota for it, that in which
// nothing was taken. It must do no harm when it comes twice, or be single, or settle what
// is in doubt.
func (t retrying) do(ctx context.Context, r *request) (effort Effort, failed *Error) {
	budget := backoff.Budget{Left: t.time}
	var dry drought
	inDoubt := false
	malformed := 0
	var last error
	for {
		res := t.next.do(ctx, attempt{r, effort.Attempts + 1, inDoubt})
		effort.QuotaWait += res.waited
		if !res.sent.IsZero() {
			effort.Attempts++
		}
		err := res.err
		if err == nil {
			if r.tasks > 0 {
				t.accepted.note()
			}
			return effort, nil
		}
		inDoubt = inDoubt || err.InDoubt
		err.What, err.Host, err.tokenFrom, err.Attempts, err.InDoubt = r.what, t.host, t.tokenFrom, effort.Attempts, inDoubt
		switch err.Kind {
		case KindCanceled, KindJournal:
			err.Before = last
			return effort, err
		case KindMalformed:
			if malformed++; malformed > maxMalformed && err.Status == http.StatusRequestEntityTooLarge && r.tasks == 1 {
				err.Kind = KindTooLarge
			}
		}
		if inDoubt && r.settle != nil {
			again, ok := r.settle(ctx, err)
			switch {
			case !ok:
				return effort, err
			case again == nil:
				return effort, nil
			}
			r, inDoubt, err.InDoubt = again, false, false
		}
		if !err.Retryable() || r.single && inDoubt || malformed > maxMalformed && !err.spoken {
			return effort, err
		}
		if r.look != nil {
			begun := time.Now()
			if r.look(ctx, err) {
				return effort, nil
			}
			budget.Left -= time.Since(begun)
		}
		last = err
		if err.Kind == KindQuota {
			now := time.Now()
			if dry.refused(now, t.accepted.last(), res.pause, t.time, hintOf(err)) {
				err.Cause = &StalledError{After: now.Sub(dry.begun), Next: res.pause, Tasks: r.tasks}
				return effort, err
			}
			t.warn(r, err, zap.Duration("delay", res.pause))
			continue // the gate holds it until then
		}
		budget.Left -= res.took
		if err.Kind == KindUnreachable && !err.spoken && budget.Paused >= firstContact {
			return effort, err
		}
		if err.stale && budget.Left > 0 {
			t.warn(r, err) // another connection is the remedy, and not patience
			continue
		}
		delay, ok := budget.Next(ratelimit.RetryAfter(err.RetryAfter, err.date, time.Now()), backoff.Jitter())
		if !ok {
			return effort, err
		}
		t.warn(r, err, zap.Duration("delay", delay))
		if backoff.Sleep(ctx, delay) != nil {
			stopped := Canceled(ctx, r.what, last)
			stopped.Host, stopped.Attempts, stopped.InDoubt = t.host, effort.Attempts, inDoubt
			return effort, stopped
		}
	}
}

// warn logs that a request will be repeated.
func (t retrying) warn(r *request, err *Error, fields ...zap.Field) {
	t.log.Warn("a request failed and is tried again", append(fields,
		zap.String("request", r.what),
		zap.Int("attempt", err.Attempts),
		zap.String("problem", statKey(err)),
		zap.String("code", err.Code),
		zap.String("request_id", err.RequestID))...)
}
