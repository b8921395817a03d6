package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"poolfill/batcher"
	"poolfill/internal/concurrency"
	"poolfill/ratelimit"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// Pipeline is one run. It is used once.
type Pipeline struct {
	set     settings
	ending  *ending
	books   *books
	account *accountBook
	gate    *ratelimit.Gate
	client  *toloka.Client // nil where nothing is asked of the server
	places  *concurrency.Limiter
	plot    plot

	started atomic.Int64         // Unix nanoseconds; 0 until the first row is read
	which   atomic.Pointer[past] // which run it is, once that is settled
	found   atomic.Pointer[Verification]
}

// New prepares a run without I/O. Its error joins everything that is wrong with
// the configuration.
func New(cfg Config) (*Pipeline, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := &Pipeline{set: cfg.settle(), ending: newEnding(), plot: plot{sampler: newSampler()}}
	p.books = newBooks(p.set.Log)
	var err error
	if p.places, err = concurrency.New(p.set.places()); err != nil {
		return nil, err
	}
	if p.set.usesAPI() {
		if err := p.reach(); err != nil {
			return nil, err
		}
	}
	if p.set.check == nil {
		// The key may turn out to be another one; what else can be wrong shows now.
		if err := p.set.uploading(p.set.firstKey(), 0, p.ending, nil).Validate(); err != nil {
			return nil, err
		}
	}
	return p, p.set.batching(0).Validate()
}

// reach makes what the server is reached by.
func (p *Pipeline) reach() (err error) {
	limits, api := p.set.Limits, p.set.API
	p.account = &accountBook{set: &p.set}
	if limits.Book == nil && p.set.hasLedger() {
		limits.Book = p.account
	}
	if p.gate, err = ratelimit.New(limits); err != nil {
		return err
	}
	api.Gate = p.gate
	api.Connections = cmp.Or(api.Connections, p.set.Workers, concurrency.DefaultMax)
	observe := api.Observe
	api.Observe = func(e toloka.Exchange) {
		if e.Overloaded() {
			p.places.Overload(e.Sent)
		}
		if observe != nil {
			observe(e)
		}
	}
	if p.client, err = toloka.NewClient(api); err != nil {
		return err
	}
	p.account.client = p.client
	return nil
}

// Stop ends the reading. Chunks in flight finish; the rows that were read and
// not yet sent end as Unsent. It may be called at any time and more than once.
func (p *Pipeline) Stop() { p.ending.stop(Interrupted, nil) }

// RunID is the name of the run. It is settled before the Recorder's first
// Input: a run that is continued keeps the name that it began with.
func (p *Pipeline) RunID() string {
	if which := p.which.Load(); which != nil {
		return which.name
	}
	return p.set.RunID
}

// Begun is when the run's first attempt began, settled like RunID.
func (p *Pipeline) Begun() time.Time {
	if which := p.which.Load(); which != nil {
		return which.begun
	}
	return time.Now()
}

// Run carries the run out. Cancelling ctx leaves at once: requests in flight
// are broken off, and the rows in them end as Unsent with a reason that says
// that the server may have them.
//
// The report is complete whatever the error. A *SetupError means that nothing
// was sent; the report is empty then. Rejected rows are no error.
func (p *Pipeline) Run(ctx context.Context) (Report, error) {
	release := context.AfterFunc(ctx, p.Stop)
	defer release()
	if p.client != nil {
		defer p.client.Close()
	}
	ready, err := p.prepare(ctx)
	if err != nil {
		return Report{}, err
	}
	started := time.Now()
	past, err := p.remember(ctx, ready)
	if err != nil {
		return Report{}, errors.Join(err, ready.close())
	}
	p.which.Store(past)
	switch {
	case past.finished != nil:
		return retell(ctx, ready.ledger, *past.finished, p.set.Recorder)
	case past.idle():
		if err := p.openPool(ctx); err != nil {
			p.ending.stop(Failed, err)
		}
		return p.report(started)
	}
	p.started.Store(started.UnixNano())
	stopPlot := regularly(firstInterval, func() time.Duration { return p.plot.look(p.Progress()) })
	stopTelling := func() {}
	if p.set.OnProgress != nil {
		stopTelling = regularly(p.set.ProgressEvery, func() time.Duration {
			p.set.OnProgress(p.Progress())
			return p.set.ProgressEvery
		})
	}
	p.carryOut(ctx, ready, past)
	stopPlot()
	stopTelling()

	report, err := p.report(started)
	var setup *SetupError
	if errors.As(err, &setup) {
		return report, errors.Join(err, past.keeper.abandon())
	}
	report, failed := p.conclude(ctx, past, report)
	if failed != nil {
		report.State = Failed
		if !errors.Is(err, failed) { // else it is what Record has said already
			err = errors.Join(err, failed)
		}
	}
	return report, errors.Join(err, past.keeper.end(report))
}

// prepare finds out what can be known before a task is sent. Nothing is in flight
// yet that would deserve to be finished.
func (p *Pipeline) prepare(ctx context.Context) (*prepared, error) {
	ctx, release := p.ending.bind(ctx)
	defer release()
	ready, err := (&preparation{set: &p.set, client: p.client, books: p.books}).run(ctx)
	if err != nil && p.ending.stopped() {
		return nil, ErrInterrupted
	}
	return ready, err
}

// remember finds out which run this is.
func (p *Pipeline) remember(ctx context.Context, ready *prepared) (*past, error) {
	if ready.ledger == nil {
		return withoutLedger(&p.set), nil
	}
	p.account.use(ready.ledger)
	server, err := uploader.New(p.client, p.set.uploading(p.set.firstKey(), ready.overlap(), p.ending, nil))
	if err != nil {
		return nil, err
	}
	return (&history{set: &p.set, ledger: ready.ledger, server: server, ending: p.ending}).enter(ctx, ready.reading)
}

// carryOut reads all rows and sends them. What ends it before that is in ending.
func (p *Pipeline) carryOut(ctx context.Context, ready *prepared, past *past) {
	batches, err := batcher.New(p.set.batching(ready.overlap()))
	if err != nil {
		p.ending.stop(Failed, err)
		return
	}
	rules := &rules{Rules: p.set.Rules, books: p.books, end: p.ending}
	seen := &sights{}
	in := &intake{
		sights: seen,
		set:    &p.set, ready: ready, past: past, books: p.books, rules: rules, ending: p.ending,
		aside: &sideline{handOn: past.keeper.aside}, key: batches.Key,
	}
	out := &sender{
		sights: seen,
		set:    &p.set, batcher: batches, places: p.places, past: past, books: p.books, rules: rules, ending: p.ending,
		sent: make(map[chunkName]int),
	}
	taking, release := p.ending.bind(ctx)
	defer release()
	if p.set.check != nil {
		in.outlet = newExaminer(p.set.check, batches, p.set.PoolID, in.pass)
	} else {
		in.outlet = &loader{
			batcher: batches, counted: in.count,
			send:    func(c *batcher.Chunk) error { return out.send(ctx, taking, c) },
			discard: func(c *batcher.Chunk) error { return out.discard(ctx, c) },
		}
		if out.uploader, err = uploader.New(p.client, p.set.uploading(past.key, ready.overlap(), p.ending, past.keeper.journal())); err != nil {
			p.ending.stop(Failed, err)
			return
		}
	}
	out.group.Go(func() error { return in.run(taking) })
	// Every failure goes through ending as well, which keeps the first one.
	if err := out.group.Wait(); err != nil {
		p.ending.stop(Failed, err)
	}
	if ctx.Err() != nil {
		p.Stop() // which ctx may not have brought about yet
	}
	if p.client == nil {
		return
	}
	// The uploads have ended, even where the run was left at once.
	closed := p.account.close(context.WithoutCancel(ctx))
	if err := cmp.Or(p.gate.Err(), closed); err != nil {
		p.ending.stop(Failed, err)
	}
	if err := p.finish(ctx, &auditor{set: &p.set, client: p.client, pool: ready.pool, ledger: ready.ledger, past: past, books: p.books}); err != nil {
		p.ending.stop(Failed, err)
	}
}

// finish does what comes after the last row of a run that was not stopped.
func (p *Pipeline) finish(ctx context.Context, audit *auditor) error {
	if p.ending.stopped() {
		return nil
	}
	taking, release := p.ending.bind(ctx)
	defer release()
	if at, due := audit.due(); due {
		found, err := audit.run(taking, at)
		if err != nil {
			return err
		}
		p.found.Store(&found)
		if found.Own() > 0 {
			return nil // performers would be paid for what is wrong
		}
	}
	return p.openPool(ctx)
}

// openPool opens the pool, where that is asked for.
func (p *Pipeline) openPool(ctx context.Context) error {
	if !p.set.open {
		return nil
	}
	if err := p.client.OpenPool(ctx, p.set.PoolID); err != nil {
		return fmt.Errorf("every row is accounted for, but the pool was not opened: %w", err)
	}
	return nil
}

// conclude has the Recorder told of all that it has not heard yet, and makes the
// report final.
func (p *Pipeline) conclude(ctx context.Context, past *past, r Report) (Report, error) {
	r, err := past.keeper.tell(context.WithoutCancel(ctx), r, p.books.inputs())
	if err != nil {
		return r, err
	}
	return p.set.Recorder.Finish(r)
}

// traffic is what went between the run and the server.
func (p *Pipeline) traffic() (toloka.Stats, ratelimit.State) {
	if p.client == nil {
		return toloka.Stats{}, ratelimit.State{}
	}
	return p.client.Stats(), p.gate.State()
}

// Progress may be called from any goroutine at any time.
func (p *Pipeline) Progress() Progress {
	now := Progress{Stopping: p.ending.stopped()}
	if started := p.started.Load(); started != 0 {
		now.Started = time.Unix(0, started)
	}
	now.Requests, now.Gate = p.traffic()
	p.books.progress(&now)
	return now
}

// Snapshot is the report of a run that goes on: its State is Running, and its
// counts don't close while rows are under way. It may be called from any
// goroutine at any time; before the first row is read it is nearly empty.
func (p *Pipeline) Snapshot() Report {
	began := p.started.Load()
	if began == 0 { // the rest is not settled yet
		return Report{Version: ReportVersion, State: Running, PoolID: p.set.PoolID, Mode: p.set.mode()}
	}
	r := p.books.reportSoFar(p.set.names)
	p.complete(&r, time.Unix(0, began))
	r.State = Running
	return r
}

// report closes the books.
func (p *Pipeline) report(started time.Time) (Report, error) {
	r := p.books.report()
	if !r.Totals.closes() {
		// Whatever has ended the run, this is worse.
		_, cause := p.ending.outcome()
		p.ending.override(Failed, errors.Join(cause, r.Totals.defect()))
	}
	p.complete(&r, started)
	var err error
	if r.State, err = p.ending.outcome(); err != nil {
		r.Error = err.Error()
	}
	var quotaUsed *ratelimit.DayQuotaError
	if r.State == Parked && errors.As(err, &quotaUsed) {
		until := quotaUsed.Until.UTC()
		r.Quota.Until = &until
	}
	return r, err
}

// complete adds to the books' part of a report what else belongs to it.
func (p *Pipeline) complete(r *Report, started time.Time) {
	finished := time.Now()
	r.RunID, r.PoolID, r.Mode = p.RunID(), p.set.PoolID, p.set.mode()
	r.Started, r.Finished, r.Seconds = stamp(started), stamp(finished), finished.Sub(started).Seconds()
	r.Quota.RequestsPerSecond, r.Quota.TasksPerMinute, r.Quota.TasksPerDay = p.set.Limits.RequestsPerSecond, p.set.Limits.TasksPerMinute, p.set.Limits.TasksPerDay
	r.Settings, r.Series, r.Verification = p.set.shown(), p.plot.series(), p.found.Load()
	if which := p.which.Load(); which != nil {
		for i, name := range p.set.names {
			if since := which.unchanged[i]; since != "" {
				r.Files = append(r.Files, File{Path: name, UnchangedSince: since})
			}
		}
	}
	if p.client == nil {
		return
	}
	stats, gate := p.traffic()
	r.Requests.Sent, r.Requests.Retried, r.Requests.ByStatus = stats.Sent, stats.Retried, stats.ByStatus
	r.Quota.Refused, r.Quota.TasksToday = stats.ByStatus["429"], gate.TasksToday
}
