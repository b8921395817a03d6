// Package ratelimit holds the one gate that every request to the server passes.
//
// What goes in: requests that want to be sent, each with the number of tasks
// that it creates. What comes out: grants, at such times that the server never sees
// more than the limits, and no later than that takes:
//
//   - requests a second, at an even pace by golang.org/x/time/rate, and fewer
//     where some may have been held up;
//   - tasks a minute, by an exact sliding window;
//   - tasks a day, from midnight to midnight, UTC;
//   - none at all while the server has asked for a pause by answering 429.
//
// Requests with tasks are served in the order in which they come, so that a big
// one is not starved by small ones; requests without tasks don't wait behind
// them. All decisions are pure functions of the time and of what was granted;
// only the Gate waits.
//
// Without a Book the counts are those of this process alone. With one they are
// the account's: a request passes where both the Gate's own counts and the Book
// have room, and the Book hears how each grant ended.
//
// Waiting for the next day can take long. With Config.Park the Gate doesn't: a
// request that would have to fails with a *DayQuotaError.
//
// Memory: some 32 bytes for each grant with tasks of the last minute, and some 100
// for each request of the last second.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// clockCheck bounds one sleep while waiting for midnight, since the wall clock
// can be set and computers can sleep.
const clockCheck = time.Minute

// catchUp is the part of a second's requests that may be sent together after
// nothing could for a moment, as the process or its disk stood still. The count
// of the second keeps them within the limit.
const catchUp = 0.25

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
	// Day is how long that day is, as in Limits.
	Day time.Duration
	// TasksToday is how many tasks of today's quota were used before. A Book's
	// count is not added to it: each of the two must have room.
	TasksToday int
	// Park makes Acquire fail with a *DayQuotaError instead of waiting for the
	// next day.
	Park bool
	// Book keeps the counts of tasks beyond this process; nil means that there
	// are none. It is not asked where no tasks are limited.
	Book Book
}

func (c Config) limits() Limits { return Limits{c.TasksPerMinute, c.TasksPerDay, c.Day} }

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
	book    Book
	limiter *rate.Limiter // nil without a limit
	turn    chan struct{} // held by the request that is next to get room

	mu          sync.Mutex
	window      window
	day         day
	changed     chan struct{} // closed when a grant has ended, then replaced
	pausedUntil time.Time
	reason      Reason
	epoch       int // counts the pauses that refusals began
	refusals    int // in a row
	waiting     int
	dayUntil    time.Time // the end of the day's quota as the server said it
	bookErr     error     // the first error of settling a grant
	blocked     Reason    // what the next request with tasks waits for; empty for nothing
	roomAt      time.Time // when it need not any more; zero where that isn't known

	second     second
	sharers    int  // of the requests a second
	introduced bool // there was a grant of the Book
}

// New returns a Gate, or an error that names what is wrong with cfg.
func New(cfg Config) (*Gate, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Gate{
		cfg:     cfg,
		book:    noBook{},
		turn:    make(chan struct{}, 1),
		window:  window{limit: cfg.TasksPerMinute},
		day:     day{length: cfg.Day, limit: cfg.TasksPerDay, start: DayOf(time.Now(), cfg.Day), used: cfg.TasksToday},
		changed: make(chan struct{}),
		sharers: 1,
	}
	if cfg.Book != nil && cfg.limits().any() {
		g.book = cfg.Book
	}
	if limit := cfg.RequestsPerSecond; limit > 0 {
		g.limiter = rate.NewLimiter(steady(limit), max(1, int(limit*catchUp)))
	}
	return g, nil
}

// steady returns the rate at which single requests follow each other so that no
// second holds more than the limit, wherever it begins: up to 1% or one request
// a second below it.
func steady(limit float64) rate.Limit { return rate.Limit(limit - min(1, limit/100)) }

// Acquire waits until a request that creates so many tasks may be sent. The
// request must be sent at once; then exactly one of the Grant's methods must be
// called.
//
// It fails where the tasks can never pass (*TooManyTasksError), where they would
// have to wait for the next day though Park is set (*DayQuotaError), where the
// Book fails, now or when an earlier grant ended, and where ctx ends, with its
// cause; then nothing counts.
//
// Requests without tasks pass even where our own counts or the Book are in the
// way, so that the answers to what was sent can be had; but like all others they
// wait for the end of a pause, or fail where Park is set and the server named
// the day.
func (g *Gate) Acquire(ctx context.Context, tasks int) (*Grant, error) {
	return g.AcquireReady(ctx, tasks, func() error { return nil })
}

// AcquireReady is Acquire for a request that takes time to get ready: once there
// is room and no pause, it calls ready, and only then waits for the request's
// place in the second. Where ready fails, its error is returned and nothing counts.
func (g *Gate) AcquireReady(ctx context.Context, tasks int, ready func() error) (*Grant, error) {
	if tasks < 0 {
		return nil, fmt.Errorf("the number of tasks is negative: %d", tasks)
	}
	if err := g.cfg.limits().Check(tasks); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	g.wait(1)
	defer g.wait(-1)

	grant := &Grant{gate: g, tasks: tasks, book: noBook{}}
	if err := g.room(ctx, grant); err != nil {
		return nil, err
	}
	if err := g.admit(ctx, grant, ready); err != nil {
		grant.Refund()
		return nil, err
	}
	return grant, nil
}

// admit waits until a request that has room may be sent. The token comes last,
// and again after a pause: it is good for its moment only, and requests that have
// hoarded theirs would all go at once.
func (g *Gate) admit(ctx context.Context, grant *Grant, ready func() error) error {
	if err := g.resume(ctx); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	for {
		if err := g.resume(ctx); err != nil {
			return err
		}
		if err := g.token(ctx); err != nil {
			return err
		}
		for {
			wait, passed := g.pass(grant)
			if passed {
				return nil
			}
			if wait == 0 {
				break
			}
			if err := sleep(ctx, wait, nil); err != nil {
				return err
			}
		}
	}
}

// room waits its turn, and then for room for the grant's tasks.
func (g *Gate) room(ctx context.Context, grant *Grant) error {
	if grant.tasks == 0 {
		return nil
	}
	select {
	case g.turn <- struct{}{}: // blocked senders are served in order
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-g.turn }()
	for {
		wait, changed, err := g.look(grant.tasks)
		if err != nil {
			return err
		}
		if wait == 0 {
			if wait, err = g.take(ctx, grant); err != nil || wait == 0 {
				return err
			}
		}
		if err := sleep(ctx, wait, changed); err != nil {
			return err
		}
	}
}

// look returns 0 where our own counts have room for the tasks, and otherwise the time
// after which to look again, or when the channel is closed. As the turn is held,
// nobody else takes the room.
func (g *Gate) look(tasks int) (wait time.Duration, changed <-chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bookErr != nil {
		return 0, nil, g.bookErr
	}
	now := time.Now()
	if err := g.parked(now); err != nil {
		return 0, nil, err
	}
	if byDay := g.day.wait(now, tasks); byDay > 0 {
		if g.cfg.Park {
			return 0, nil, &DayQuotaError{g.cfg.TasksPerDay, NextDay(now, g.cfg.Day), g.day.room()}
		}
		g.block(ReasonDay, time.Time{})
		return min(byDay, clockCheck), g.changed, nil
	}
	byMinute, known := g.window.wait(now, tasks)
	switch {
	case !known:
		g.block(ReasonMinute, time.Time{})
		return clockCheck, g.changed, nil
	case byMinute > 0:
		g.block(ReasonMinute, now.Add(byMinute))
	}
	return byMinute, g.changed, nil
}

// take grants the tasks where the Book has room too: then the wait is 0.
func (g *Gate) take(ctx context.Context, grant *Grant) (time.Duration, error) {
	now := time.Now()
	id, wait, reason, err := g.book.Take(ctx, grant.tasks, g.cfg.limits())
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case err != nil:
		return 0, fmt.Errorf("the quota's book can't be asked for room for %d tasks: %w", grant.tasks, err)
	case wait > 0 && reason == ReasonDay && g.cfg.Park:
		// The book knows the day's end, by a clock that may be another one.
		return 0, g.bookFull(ctx, wholeSeconds(now.Add(wait)))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case wait > 0 && wait <= Minute:
		g.block(reason, now.Add(wait))
	case wait > 0: // it depends on answers that are still to come
		g.block(reason, time.Time{})
	default:
		// The end of a grant is noted even when the run was stopped meanwhile.
		grant.book, grant.id, grant.settling = g.book, id, context.WithoutCancel(ctx)
		g.share(g.book.Sharers())
		g.window.grant(grant.tasks)
		g.day.grant(time.Now(), grant.tasks)
		g.block("", time.Time{})
	}
	return min(wait, bookPoll), nil
}

// bookFull returns the error of a request for which the Book has no room today.
func (g *Gate) bookFull(ctx context.Context, until time.Time) error {
	used, err := g.book.Today(ctx)
	if err != nil {
		return fmt.Errorf("the quota's book can't be asked for what is left of the day: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return &DayQuotaError{g.cfg.TasksPerDay, until, max(0, min(g.cfg.TasksPerDay-used, g.day.room()))}
}

// share leaves the other processes of the account their share of the requests a
// second. It needs g.mu. They see this one within half a second, and have used up the second
// that has passed: so the first request to find them there waits for a second,
// and those behind it too.
func (g *Gate) share(sharers int) {
	if g.limiter == nil {
		return
	}
	g.sharers = max(1, sharers)
	if !g.introduced && g.sharers > 1 {
		g.pause(Pause{For: time.Second, Reason: ReasonShared})
	}
	g.introduced = true
	if limit := steady(g.cfg.RequestsPerSecond) / rate.Limit(g.sharers); limit != g.limiter.Limit() {
		g.limiter.SetLimit(limit)
	}
}

// block keeps for State what the next request with tasks waits for, and until when,
// which is zero if not known.
func (g *Gate) block(reason Reason, roomAt time.Time) { g.blocked, g.roomAt = reason, roomAt }

// parked returns the error of a request while the server says that the day's
// quota is used up, and Park is set.
func (g *Gate) parked(now time.Time) error {
	if !g.cfg.Park || !g.dayUntil.After(now) {
		return nil
	}
	return &DayQuotaError{g.cfg.TasksPerDay, wholeSeconds(g.dayUntil), 0}
}

// wholeSeconds rounds up, so that nobody comes back too early.
func wholeSeconds(t time.Time) time.Time {
	t = t.UTC().Round(0)
	if whole := t.Truncate(time.Second); whole.Before(t) {
		return whole.Add(time.Second)
	}
	return t
}

// Err returns the first error of settling a grant in the Book, which is also that
// of every later Acquire with tasks. Ask for it after the last grant has ended.
func (g *Gate) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bookErr
}

// resume waits for the end of a pause.
func (g *Gate) resume(ctx context.Context) error {
	for {
		g.mu.Lock()
		now, changed := time.Now(), g.changed
		wait, err := g.pausedUntil.Sub(now), g.parked(now)
		g.mu.Unlock()
		if err != nil || wait <= 0 {
			return err
		}
		// A refusal may park the run, so look again at each.
		if err := sleep(ctx, wait, changed); err != nil {
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

// pass lets the request go, unless too many of the last second may have come
// late: then it returns how long to wait. A pause can have begun while it waited:
// then there is no time.
func (g *Gate) pass(grant *Grant) (wait time.Duration, passed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if g.pausedUntil.After(now) {
		return 0, false
	}
	if g.limiter != nil {
		limit := max(1, int(g.cfg.RequestsPerSecond)/g.sharers)
		if wait := g.second.wait(now, limit); wait > 0 {
			return wait, false
		}
		grant.request = g.second.add(now, grant.tasks)
	}
	grant.epoch = g.epoch
	return 0, true
}

// Pause lets no request pass for a while. A pause that is under way is only
// ever made longer. One with ReasonDay parks the run where Park is set.
func (g *Gate) Pause(p Pause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pause(p)
	if p.Reason == ReasonDay {
		g.endDay(p.For)
	}
	g.wake()
}

// endDay notes that the server's quota of the day is used up for so long.
func (g *Gate) endDay(d time.Duration) {
	if until := time.Now().Add(d); until.After(g.dayUntil) {
		g.dayUntil = until
	}
}

// wake lets all that wait look again.
func (g *Gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *Gate) pause(p Pause) {
	if until := time.Now().Add(p.For); until.After(g.pausedUntil) {
		g.pausedUntil, g.reason = until, p.Reason
	}
}

// State is what a progress line shows.
type State struct {
	// PausedUntil is the end of the pause, and Reason why there is one.
	// Both are zero where requests may pass. Waiting for room in the minute's
	// window is a pause until there is some, waiting for the day's quota one
	// until midnight.
	PausedUntil time.Time
	Reason      Reason
	// Waiting is the number of requests that wait to pass, for any reason.
	Waiting int
	// TasksInWindow is how many tasks count in the last minute, TasksToday how
	// many since midnight, UTC: by our own count, without what only the Book
	// knows of.
	TasksInWindow int
	TasksToday    int
}

// State returns how things stand.
func (g *Gate) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.day.roll(now)
	s := State{Waiting: g.waiting, TasksInWindow: g.window.used(now), TasksToday: g.day.used}
	if g.pausedUntil.After(now) {
		s.PausedUntil, s.Reason = g.pausedUntil, g.reason
	}
	until := g.roomAt
	if g.blocked == ReasonDay {
		until = NextDay(now, g.cfg.Day)
	}
	if until.After(now) && until.After(s.PausedUntil) {
		s.PausedUntil, s.Reason = until, g.blocked
	}
	return s
}

func (g *Gate) wait(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting += n
	if g.waiting == 0 {
		g.block("", time.Time{})
	}
}

// Grant is the right to send one request. The first call of one of its methods
// counts; later ones do nothing.
type Grant struct {
	gate     *Gate
	tasks    int
	epoch    int
	ended    bool
	request  *request // nil where requests are not limited
	book     Book     // that has the grant
	id       int64    // in the book
	settling context.Context
}

// Done ends the grant of a request whose answer is there, or will never be. Its
// tasks count for another minute, and in the day.
func (gr *Grant) Done() {
	gr.end(Used, func(g *Gate, now time.Time) {
		g.window.done(now, gr.tasks)
		g.day.done(now, gr.tasks)
		if gr.epoch == g.epoch {
			g.refusals = 0
		}
	})
}

// Refund ends the grant of a request that can't have created anything: it was never
// sent, or the server refused it. Its tasks don't count.
func (gr *Grant) Refund() { gr.end(Unused, gr.refund) }

// Refused ends the grant of a request that was answered with 429: its tasks don't
// count, and no request passes for as long as PauseAfter returns. Refusals of requests
// that were already under way when a pause began don't count as further ones in a row.
// Where the interval is the day, Park makes requests fail until the pause's end,
// without its jitter. It returns the time until the pause is over.
func (gr *Grant) Refused(r Refusal) (pause time.Duration) {
	gr.end(Unused, func(g *Gate, now time.Time) {
		r.Day = g.cfg.Day
		gr.refund(g, now)
		if gr.epoch == g.epoch {
			g.epoch++
			g.refusals++
		}
		g.pause(PauseAfter(r, g.refusals, now, jitter(now)))
		if strings.EqualFold(r.Interval, IntervalDay) {
			g.endDay(base(r, g.refusals, now).For)
		}
		pause = g.pausedUntil.Sub(now)
	})
	return pause
}

// jitter is made of the time: processes that were refused at different moments wait for
// different times, and a test whose clock is its own can be repeated.
func jitter(now time.Time) float64 { return rand.New(rand.NewPCG(uint64(now.UnixNano()), 0)).Float64() }

func (gr *Grant) refund(g *Gate, now time.Time) {
	g.window.refund(gr.tasks)
	g.day.refund(now, gr.tasks)
}

// end ends the grant, unless it has ended: first in our own counts by f, since a pause
// must begin at once, then in the Book, and then for those that wait for either.
func (gr *Grant) end(use Use, f func(*Gate, time.Time)) {
	if !gr.endHere(use, f) {
		return
	}
	err := gr.book.Settle(gr.settling, gr.id, use)
	g := gr.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil && g.bookErr == nil {
		g.bookErr = fmt.Errorf("the end of a grant of %d tasks can't be noted in the quota's book: %w", gr.tasks, err)
	}
	g.wake()
}

// endHere reports whether the grant had not ended.
func (gr *Grant) endHere(use Use, f func(*Gate, time.Time)) bool {
	g := gr.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if gr.ended {
		return false
	}
	gr.ended = true
	now := time.Now()
	if gr.request != nil {
		g.second.end(now, gr.request, use)
	}
	f(g, now)
	return true
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
