package toloka

import (
	"context"
	"errors"
	"time"

	"poolfill/ratelimit"
)

// Hooks are what the caller of a request has to do with its attempts. The zero value
// does nothing.
type Hooks struct {
	// Stop, once closed, ends the wait for the quota, as long as no attempt may have
	// been carried out: the call is canceled then. Nil never stops.
	Stop <-chan struct{}
	// Ready, where not nil, is called before each attempt, when there is quota for it.
	// Its error ends the call: it is the Cause of one of KindJournal. What it returns is
	// called when the attempt has ended or did not leave, and told whether the server
	// may have carried out this attempt or an earlier one.
	Ready func(context.Context) (release func(maybeDone bool), err error)
}

// ready calls Ready.
func (h Hooks) ready(ctx context.Context) (release func(maybeDone bool), err error) {
	if h.Ready == nil {
		return func(bool) {}, nil
	}
	return h.Ready(ctx)
}

// gated lets attempts pass a gate, and tells it how each ended.
type gated struct {
	next doer
	gate *ratelimit.Gate
}

func (g gated) do(ctx context.Context, a attempt) (res result) {
	grant, waited, release, failed := g.admit(ctx, a)
	defer func() {
		res.waited = waited
		release(a.inDoubt || res.sent != (time.Time{}) && (res.err == nil || res.err.InDoubt))
	}()
	if failed != nil {
		return result{err: failed}
	}
	res = g.next.do(ctx, a)
	switch {
	case res.err == nil || res.err.InDoubt:
		grant.Done()
	case res.err.Kind == KindQuota:
		res.pause = grant.Refused(ratelimit.Refusal{RetryAfter: res.err.RetryAfter, Date: res.err.date, Interval: res.err.Interval})
	default:
		grant.Refund()
	}
	return res
}

// admit waits at the gate and gets the request ready. release must be called in any
// case.
func (g gated) admit(ctx context.Context, a attempt) (grant *ratelimit.Grant, waited time.Duration, release func(bool), failed *Error) {
	waiting := ctx
	if a.hooks.Stop != nil && !a.inDoubt {
		var done func()
		waiting, done = stoppable(ctx, a.hooks.Stop)
		defer done()
	}
	release = func(bool) {}
	var preparing time.Duration
	var unready error
	start := time.Now()
	grant, err := g.gate.AcquireReady(waiting, a.tasks, func() error {
		begun := time.Now()
		defer func() { preparing = time.Since(begun) }()
		var done func(bool)
		if done, unready = a.hooks.ready(ctx); unready == nil {
			release = done
		}
		return unready
	})
	waited = time.Since(start) - preparing
	switch {
	case err == nil:
	case unready != nil && ctx.Err() == nil:
		failed = &Error{Kind: KindJournal, Cause: err}
	case waiting.Err() != nil:
		failed = Canceled(waiting, a.what, nil)
	default:
		failed = &Error{Kind: KindQuota, Cause: err}
	}
	return grant, waited, release, failed
}

// errStopped is the cause of a context that a closed channel has ended.
var errStopped = errors.New("the upload was stopped")

// stoppable returns a context that also ends when stop is closed. release must be
// called; it waits for nothing.
func stoppable(ctx context.Context, stop <-chan struct{}) (stopped context.Context, release func()) {
	stopped, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-stop:
			cancel(errStopped)
		case <-stopped.Done():
		}
	}()
	return stopped, func() { cancel(context.Canceled) }
}
