package backfill

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	_ "modernc.org/sqlite" // the driver of the queue's file
	"riverqueue.com/riverui"

	"poolfill/pipeline/ledger"
	"poolfill/uploader/toloka"
)

// queueFile is where River keeps its jobs on one machine, beside the ledger.
const queueFile = "queue.db"

const (
	// queueName is River's queue of segments.
	queueName = "poolfill"
	// uploadsName is that of scheduled uploads. They have one of their own, as it is
	// by queues that a worker leaves jobs to others.
	uploadsName = "poolfill_uploads"
	// attempts is how often a job may fail, with growing pauses: an hour and a quarter.
	attempts = 16
	// pollEvery is how often it is looked for jobs. On PostgreSQL new ones are known
	// at once; this is for those whose time has come.
	pollEvery = 500 * time.Millisecond
	// pollUploadsEvery is the same for scheduled uploads, which come by the minute.
	pollUploadsEvery = 2 * time.Second
	// overtime is what a job may take beyond its shift, for what is under way. A
	// job that takes longer is one of a dead worker, for River too.
	overtime = 5 * time.Minute
)

// noStack is above all levels: a stack of River's helps nobody.
const noStack = slog.LevelError + 1

// engine is a River client of one of its drivers.
type engine interface {
	queue
	scheduleQueue
	Start(context.Context) error
	Stop(context.Context) error
	StopAndCancel(context.Context) error
	ui(prefix string, log *slog.Logger) (*riverui.Handler, error)
}

// Place is where the state of backfills is.
type Place struct {
	// Ledger is the ledger, whose database has the tables of this package too.
	Ledger *ledger.Ledger
	// Postgres is the URL of the database; empty is SQLite, in files in Dir.
	Postgres string
	Dir      string
}

// Options are how a worker works.
type Options struct {
	// API is the server and the account that it uploads to; backfills of others
	// are left to other workers.
	API toloka.Config
	// Jobs is how many segments it works at at once, and how many scheduled uploads.
	Jobs int
	Log  *zap.Logger
	// Upload carries out a scheduled upload, see Scheduled; nil leaves them to others.
	Upload func(context.Context, Scheduled) (Outcome, error)
}

// Engine works at backfills until it is stopped.
type Engine struct {
	engine engine
	keeper *keeper
	log    *slog.Logger
	close  func() error
	alarm  *alarm

	stopping chan struct{}
	stopOnce sync.Once
	keeping  sync.WaitGroup
	cancel   context.CancelFunc
}

// Start begins to work. The caller ends it with Stop.
func Start(ctx context.Context, at Place, o Options) (_ *Engine, err error) {
	s, err := openStore(ctx, at.Ledger)
	if err != nil {
		return nil, err
	}
	e := &Engine{log: slog.New(zapslog.NewHandler(o.Log.Core(), zapslog.AddStacktraceAt(noStack))), alarm: newAlarm(at.Ledger), stopping: make(chan struct{})}
	e.keeper = &keeper{store: s, api: o.API, log: o.Log, alarm: e.alarm, wake: make(chan struct{}, 1)}
	segments := &worker{store: s, api: o.API, log: o.Log, alarm: e.alarm, stop: e.stopping, ended: e.keeper.nudge}
	uploads := &scheduler{schedules: schedules(s), upload: o.Upload, server: o.API.BaseURL, log: o.Log, alarm: e.alarm}
	workers := river.NewWorkers()
	// River knows scheduled uploads everywhere: one that goes on for long it would
	// otherwise take for lost, and discard. An upload takes as long as it takes, and
	// the lock of its pool keeps a second one away.
	if err := errors.Join(
		river.AddWorkerSafely(workers, &jobs[jobKey]{work: segments.work, alarm: e.alarm}),
		river.AddWorkerSafely(workers, &jobs[scheduleArgs]{work: uploads.work, alarm: e.alarm, timeout: -1}),
	); err != nil {
		return nil, err
	}
	config := &river.Config{
		Logger: e.log, Queues: map[string]river.QueueConfig{queueName: {MaxWorkers: o.Jobs}}, Workers: workers,
		JobTimeout: shift + overtime, RescueStuckJobsAfter: 2 * (shift + overtime), FetchOnlyKnownKinds: true,
		MaxAttempts: attempts,
	}
	if o.Upload != nil {
		config.Queues[uploadsName] = river.QueueConfig{MaxWorkers: o.Jobs, FetchPollInterval: pollUploadsEvery}
	}
	if e.engine, e.close, err = connect(ctx, s.database, at, config); err != nil {
		return nil, err
	}
	// What is under way is finished after the end of ctx, by Stop.
	ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := e.engine.Start(ctx); err != nil {
		e.cancel()
		return nil, errors.Join(fmt.Errorf("the engine can't start: %w", err), e.close())
	}
	uploads.queue = e.engine
	e.keeper.queue = e.engine
	e.keeping.Go(func() { e.keeper.run(ctx) })
	e.keeping.Go(func() { uploads.run(ctx) })
	return e, nil
}

// Stop begins no further work and lets what is under way come to a good place to
// stop; ctx bounds how long that may take. What is left is done by another worker,
// or the next time.
func (e *Engine) Stop(ctx context.Context) error {
	stopped := make(chan error, 1)
	go func() { stopped <- e.engine.Stop(ctx) }()
	e.stopOnce.Do(func() { close(e.stopping) })
	err := <-stopped
	if ctx.Err() != nil {
		// The requests under way are broken off; their rows are in doubt and asked
		// for by whoever goes on.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), overtime)
		defer cancel()
		err = e.engine.StopAndCancel(last)
	}
	e.cancel()
	e.keeping.Wait()
	return errors.Join(err, e.close())
}

// Failed returns the error, in words for people, of which no waiting helps the
// engine: its disk is full, say. It goes on trying until Stop. Errors of a
// database that is away for a while don't come here.
func (e *Engine) Failed() <-chan error { return e.alarm.raised }

// UI is River's own page over the jobs, for requests below prefix.
func (e *Engine) UI(ctx context.Context, prefix string) (http.Handler, error) {
	h, err := e.engine.ui(prefix, e.log)
	if err != nil {
		return nil, err
	}
	err = h.Start(ctx)
	return h, err
}

// connect opens River's tables, makes them where they are missing, and returns a
// client.
func connect(ctx context.Context, d database, at Place, config *river.Config) (engine, func() error, error) {
	config.FetchPollInterval = pollEvery
	if at.Postgres != "" {
		pool, err := pgxpool.New(ctx, at.Postgres)
		if err != nil {
			return nil, nil, errors.New("the URL of the database can't be understood") // it may hold a password
		}
		e, err := alone(ctx, d, func() (engine, error) { return newClient(ctx, riverpgxv5.New(pool), config) })
		if err != nil {
			pool.Close()
			return nil, nil, err
		}
		return e, func() error { pool.Close(); return nil }, nil
	}
	// Notifications through SQLite are found by asking it ten times a second; looking
	// for jobs is enough.
	config.PollOnly = true
	path := filepath.Join(at.Dir, queueFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // SQLite would make it readable for everybody
	if err != nil {
		return nil, nil, err
	}
	if err := f.Close(); err != nil {
		return nil, nil, err
	}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(30000)", "journal_mode(WAL)", "synchronous(NORMAL)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1) // as River's driver wants
	e, err := alone(ctx, d, func() (engine, error) { return newClient(ctx, riversqlite.New(db), config) })
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return e, db.Close, nil
}

// alone calls connect while no other worker does: two that begin at the same moment
// would make the same tables, of which one can't.
func alone(ctx context.Context, d database, connect func() (engine, error)) (e engine, err error) {
	var failed error // which is not the ledger's
	err = d.exclusively(ctx, "queue", func(context.Context, *sql.Tx) error {
		e, failed = connect()
		return nil
	})
	return e, errors.Join(failed, err)
}

// client is a River client with one type of transactions.
type client[T any] struct{ *river.Client[T] }

func newClient[T any](ctx context.Context, driver riverdriver.Driver[T], config *river.Config) (engine, error) {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: config.Logger})
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("the tables of the queue can't be made: %w", err)
	}
	c, err := river.NewClient(driver, config)
	if err != nil {
		return nil, err
	}
	return client[T]{c}, nil
}

func (c client[T]) insert(ctx context.Context, all []wanted) error {
	params := make([]river.InsertManyParams, len(all))
	for i, w := range all {
		params[i] = river.InsertManyParams{
			Args: w.jobKey,
			InsertOpts: &river.InsertOpts{
				Queue: queueName, Priority: w.rules.Priority, ScheduledAt: w.rules.NotBefore, MaxAttempts: attempts,
				UniqueOpts: river.UniqueOpts{ByArgs: true}, // a job that was made and not noted is not made again
			},
		}
	}
	_, err := c.InsertMany(ctx, params)
	return err
}

// mostRunning bounds the jobs that are looked at at once: more than a fleet has,
// with those of its dead.
const mostRunning = 10_000

func (c client[T]) running(ctx context.Context) ([]jobKey, error) {
	list, err := c.JobList(ctx, river.NewJobListParams().Kinds(jobKey{}.Kind()).States(rivertype.JobStateRunning).First(mostRunning))
	if err != nil {
		return nil, err
	}
	jobs := make([]jobKey, len(list.Jobs))
	for i, job := range list.Jobs {
		if err := json.Unmarshal(job.EncodedArgs, &jobs[i]); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

func (c client[T]) insertScheduled(ctx context.Context, a scheduleArgs) error {
	_, err := c.Insert(ctx, a, &river.InsertOpts{Queue: uploadsName, MaxAttempts: attempts, UniqueOpts: river.UniqueOpts{ByArgs: true}})
	return err
}

func (c client[T]) ui(prefix string, log *slog.Logger) (*riverui.Handler, error) {
	return riverui.NewHandler(&riverui.HandlerOpts{Endpoints: riverui.NewEndpoints(c.Client, nil), Logger: log, Prefix: prefix})
}
