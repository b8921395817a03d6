// Package ratelimit holds the one gate that every request to the server passes.
//
// What goes in: requests that want to be sent, each with the number of tasks
// that it creates. What comes out: grants, given so that the server never sees
// more than the limits, and no later than that takes:
//
//   - requests a second, by golang.org/x/time/rate;
//   - tasks a minute, by an exact sliding window;
//   - tasks a day, from midnight to midnight, UTC;
//   - none at all while the server has asked for a pause by answering 429.
//
// Requests with tasks are served in the order in which they come, so that a big
// one is not starved by small ones; requests without tasks don't wait behind
// them. All decisions are pure functions of the time and of what was granted;
// only the Gate waits.
//
// Memory: some 32 bytes for each grant with tasks of the last minute.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// clockCheck bounds one sleep while waiting for midnight, since the wall clock
// can be set and computers can sleep.
const clockCheck = time.Minute

// Config holds the limits. The zero value has none.
type Config struct {
	// RequestsPerSecond is the most requests in any second; 0 means no limit.
	// Toloka's is 300.
	RequestsPerSecond float64
	// TasksPerMinute is the most tasks in any 60 seconds; 0 means no limit.
	// Toloka's is 200,000.
	TasksPerMinute int
	// TasksPerDay is the most tasks from midnight to midnight, UTC; 0 means no
	// limit. Toloka's is 4,000,000.
	TasksPerDay int
	// TasksToday is how many tasks of today's quota were used before.
	TasksToday int
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.RequestsPerSecond < 0 || math.IsNaN(c.RequestsPerSecond) || math.IsInf(c.RequestsPerSecond, 0) {
		errs = append(errs, fmt.Errorf("the limit of requests a second must be a number from 0 (no limit): %v", c.RequestsPerSecond))
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"the limit of tasks a minute", c.TasksPerMinute},
		{"the limit of tasks a day", c.TasksPerDay},
		{"the number of tasks used today", c.TasksToday},
	} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("%s is negative: %d", n.name, n.value))
		}
	}
	return errors.Join(errs...)
}

// Gate lets requests pass. It is safe for concurrent use.
type Gate struct {
	cfg     Config
	limiter *rate.Limiter // nil without a limit
	turn    chan struct{} // held by the request that is next to get room

	mu          sync.Mutex
	window      window
	day         day
	changed     chan struct{} // closed when an answer may have made room, then replaced
	pausedUntil time.Time
	reason      Reason
	epoch       int // counts the pauses that refusals began
	refusals    int // in a row
	waiting     int
	waitingDay  bool
	roomAt      time.Time // when the window has room for the next request
}

// New returns a Gate, or an error that says what is wrong with cfg.
func New(cfg Config) (*Gate, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Gate{
		cfg:     cfg,
		turn:    make(chan struct{}, 1),
		window:  window{limit: cfg.TasksPerMinute},
		day:     day{limit: cfg.TasksPerDay, start: midnight(time.Now()), used: cfg.TasksToday},
		changed: make(chan struct{}),
	}
	if limit := cfg.RequestsPerSecond; limit > 0 {
		g.limiter = rate.NewLimiter(steady(limit), 1)
	}
	return g, nil
}

// steady gives the rate at which single requests follow each other so that no
// second holds more than the limit, wherever it begins: up to 1% or one request
// a second below it.
func steady(limit float64) rate.Limit { return rate.Limit(limit - min(1, limit/100)) }

// TooManyTasksError says that a request has more tasks than a limit ever lets
// pass at once.
type TooManyTasksError struct {
	Tasks, Limit int
	Per          string // "minute" or "day"
}

func (e *TooManyTasksError) Error() string {
	return fmt.Sprintf("a request with %d tasks can never be sent, as only %d tasks a %s are allowed: make the chunks smaller, or raise the limit",
		e.Tasks, e.Limit, e.Per)
}

// Acquire waits until a request that creates so many tasks may be sent. The
// request must be sent at once; then exactly one of the Grant's methods must be
// called.
//
// It fails where the tasks can never pass (*TooManyTasksError), and where ctx
// ends, with its cause; then nothing counts.
func (g *Gate) Acquire(ctx context.Context, tasks int) (*Grant, error) {
	if tasks < 0 {
		return nil, fmt.Errorf("the number of tasks is negative: %d", tasks)
	}
	if limit := g.cfg.TasksPerMinute; limit > 0 && tasks > limit {
		return nil, &TooManyTasksError{tasks, limit, "minute"}
	}
	if limit := g.cfg.TasksPerDay; limit > 0 && tasks > limit {
		return nil, &TooManyTasksError{tasks, limit, "day"}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	g.wait(1)
	defer g.wait(-1)

	grant := &Grant{gate: g, tasks: tasks}
	if err := g.room(ctx, tasks); err != nil {
		return nil, err
	}
	// The token comes last, and again after a pause: it is good for the second
	// in which it was given, and requests that have hoarded theirs would all go
	// at once.
	for {
		if err := g.resume(ctx); err != nil {
			grant.Refund()
			return nil, err
		}
		if err := g.token(ctx); err != nil {
			grant.Refund()
			return nil, err
		}
		if g.pass(grant) {
			return grant, nil
		}
	}
}

// room waits its turn, and then for room for the tasks.
func (g *Gate) room(ctx context.Context, tasks int) error {
	if tasks == 0 {
		return nil
	}
	select {
	case g.turn <- struct{}{}: // blocked senders are served in order
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-g.turn }()
	for {
		wait, changed := g.take(tasks)
		if changed == nil {
			return nil
		}
		if err := sleep(ctx, wait, changed); err != nil {
			return err
		}
	}
}

// take grants the tasks where there is room. Otherwise it gives the time after
// which to look again, and a channel that says to look earlier.
func (g *Gate) take(tasks int) (time.Duration, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	byDay := g.day.wait(now, tasks)
	g.waitingDay = byDay > 0
	if g.waitingDay {
		return min(byDay, clockCheck), g.changed
	}
	byMinute, known := g.window.wait(now, tasks)
	switch {
	case !known:
		return clockCheck, g.changed
	case byMinute > 0:
		g.roomAt = now.Add(byMinute)
		return byMinute, g.changed
	}
	g.window.grant(tasks)
	g.day.grant(now, tasks)
	return 0, nil
}

// resume waits for the end of a pause.
func (g *Gate) resume(ctx context.Context) error {
	for {
		g.mu.Lock()
		wait := time.Until(g.pausedUntil)
		g.mu.Unlock()
		if wait <= 0 {
			return nil
		}
		if err := sleep(ctx, wait, nil); err != nil {
			return err
		}
	}
}

// token waits for the request's place in the second.
func (g *Gate) token(ctx context.Context) error {
	if g.limiter == nil {
		return nil
	}
	r := g.limiter.Reserve()
	if err := sleep(ctx, r.Delay(), nil); err != nil {
		r.Cancel()
		return err
	}
	return nil
}

// pass reports whether the request may still go: a pause can have begun while
// it waited.
func (g *Gate) pass(grant *Grant) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	grant.epoch = g.epoch
	return time.Until(g.pausedUntil) <= 0
}

// Pause lets no request pass for a while. A pause that is under way is only
// ever made longer.
func (g *Gate) Pause(p Pause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pause(p)
}

func (g *Gate) pause(p Pause) {
	if until := time.Now().Add(p.For); until.After(g.pausedUntil) {
		g.pausedUntil, g.reason = until, p.Reason
	}
}

// State is what a progress line shows.
type State struct {
	// PausedUntil is the end of the pause, and Reason says why there is one.
	// Both are zero where requests may pass. Waiting for room in the minute's
	// window is a pause until there is some, waiting for the day's quota one
	// until midnight.
	PausedUntil time.Time
	Reason      Reason
	// Waiting is the number of requests that wait to pass, for any reason.
	Waiting int
	// TasksInWindow is how many tasks count in the last minute, TasksToday how
	// many since midnight, UTC.
	TasksInWindow int
	TasksToday    int
}

// State tells how things stand.
func (g *Gate) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.day.roll(now)
	s := State{Waiting: g.waiting, TasksInWindow: g.window.used(now), TasksToday: g.day.used}
	if g.pausedUntil.After(now) {
		s.PausedUntil, s.Reason = g.pausedUntil, g.reason
	}
	if g.roomAt.After(now) && g.roomAt.After(s.PausedUntil) {
		s.PausedUntil, s.Reason = g.roomAt, ReasonMinute
	}
	if until := now.Add(untilMidnight(now)); g.waitingDay && until.After(s.PausedUntil) {
		s.PausedUntil, s.Reason = until, ReasonDay
	}
	return s
}

func (g *Gate) wait(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting += n
	if g.waiting == 0 {
		g.waitingDay = false
	}
}

// Grant is the leave to send one request. The first call of one of its methods
// counts; later ones do nothing.
type Grant struct {
	gate  *Gate
	tasks int
	epoch int
	ended bool
}

// Done says that the answer is there, or will never be: the request's tasks
// count for another minute, and in the day.
func (gr *Grant) Done() {
	gr.end(func(g *Gate, now time.Time) {
		g.window.done(now, gr.tasks)
		g.day.done(now, gr.tasks)
		if gr.epoch == g.epoch {
			g.refusals = 0
		}
	})
}

// Refund says that the request can't have created anything: it never left, or
// the server refused it. Its tasks don't count.
func (gr *Grant) Refund() { gr.end(gr.refund) }

// Refused says that the answer was a 429: the tasks don't count, and no request
// passes for as long as PauseAfter says. Refusals of requests that were already
// under way when a pause began don't count as further ones in a row.
func (gr *Grant) Refused(r Refusal) {
	gr.end(func(g *Gate, now time.Time) {
		gr.refund(g, now)
		if gr.epoch == g.epoch {
			g.epoch++
			g.refusals++
		}
		g.pause(PauseAfter(r, g.refusals, now, rand.Float64()))
	})
}

func (gr *Grant) refund(g *Gate, now time.Time) {
	g.window.refund(gr.tasks)
	g.day.refund(now, gr.tasks)
}

func (gr *Grant) end(f func(*Gate, time.Time)) {
	g := gr.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if gr.ended {
		return
	}
	gr.ended = true
	f(g, time.Now())
	if gr.tasks > 0 {
		close(g.changed)
		g.changed = make(chan struct{})
	}
}

// sleep waits until the time is over, or wake is closed; it fails where ctx
// ends first.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
