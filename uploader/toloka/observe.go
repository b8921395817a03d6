package toloka

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Exchange is one attempt at a request: what was sent, and what came of it.
type Exchange struct {
	// Sent is when the request left; Took how long it took until the answer was
	// read, or the attempt was given up. Waiting at the gate is before that.
	Sent time.Time
	Took time.Duration
	// Tasks is how many tasks the request was to create.
	Tasks int
	// Status is the HTTP status; 0 where there was no answer.
	Status int
	// Kind is what went wrong; empty where nothing did.
	Kind Kind
}

// Overloaded reports whether the server could not cope: it gave no answer in
// time, or said that it had too much to do (429, 503, 504).
func (e Exchange) Overloaded() bool {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return e.Kind == KindTimeout && e.Status != http.StatusBadGateway
}

// Stats counts the requests of a Client.
type Stats struct {
	// Sent counts all attempts, Retried those that repeat an earlier one.
	Sent    int64
	Retried int64
	// ByStatus counts the attempts by their answer: the HTTP status, such as
	// "200"; or "timeout", "reset", "truncated", "broken", "malformed",
	// "unreachable", "insecure" or "canceled" where there was none to use.
	ByStatus map[string]int64
	// QuotaWait is the time that requests waited at the gate, summed over all.
	QuotaWait time.Duration
	// Took is the time from sending to the end of the answer, summed over all
	// attempts.
	Took time.Duration
}

// observed counts attempts, logs them, and shows them to the caller.
type observed struct {
	next doer
	show func(Exchange)
	log  *zap.Logger

	mu    sync.Mutex
	stats Stats
}

func (o *observed) do(ctx context.Context, a attempt) result {
	res := o.next.do(ctx, a)
	if o.waited(res.waited); res.sent.IsZero() {
		return res
	}
	answer := strconv.Itoa(res.status)
	e := Exchange{Sent: res.sent, Took: res.took, Tasks: a.tasks, Status: res.status}
	if res.err != nil {
		answer, e.Kind = statKey(res.err), res.err.Kind
	}
	o.ended(a, answer, res.took)
	o.show(e)
	o.log.Debug("request", zap.String("method", a.method), zap.String("path", a.path), zap.Int("attempt", a.number),
		zap.Int("bytes", len(a.body)), zap.String("answer", answer), zap.Duration("took", res.took))
	return res
}

// waited counts the time that an attempt waited at the gate.
func (o *observed) waited(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stats.QuotaWait += d
}

// ended counts an attempt by its answer.
func (o *observed) ended(a attempt, answer string, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stats.Sent++
	if a.number > 1 {
		o.stats.Retried++
	}
	o.stats.ByStatus[answer]++
	o.stats.Took += took
}

func (o *observed) counted() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.stats
	s.ByStatus = maps.Clone(s.ByStatus)
	return s
}
