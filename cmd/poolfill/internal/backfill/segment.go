package backfill

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"

	"poolfill/batcher"
	"poolfill/pipeline"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

const (
	// beatEvery is how often a worker shows that it is alive, and looks whether
	// its backfill is to stop.
	beatEvery = time.Second
	// beatFor is how long a beat may take: a connection to the database may stand
	// though nothing comes through it, and the worker is to let go in time.
	beatFor = 3 * time.Second
	// unsure is how long a beat may fail before the worker lets go: before others
	// take the segment for abandoned. Were it late, both would name the same
	// operations, and the ledger would take the word of the later one only.
	unsure = 10 * time.Second
	// shift is how long a job works at most before it makes room for others; it
	// goes on where it was.
	shift = 10 * time.Minute
)

// worker carries out jobs. It is safe for concurrent use.
type worker struct {
	store store
	api   toloka.Config
	log   *zap.Logger
	alarm *alarm
	stop  <-chan struct{} // closed when no work is to be begun any more
	ended func()          // is called when the work at a segment has ended, whatever came of it

	buffers batcher.Buffers // of all segments
}

// work carries out a job. A *snooze asks for it again; any other error is a failure,
// after which so many tries are left.
func (w *worker) work(ctx context.Context, job jobKey, triesLeft int) error {
	g, err := w.store.segment(ctx, job.Backfill, job.Segment)
	if err != nil {
		return err
	}
	switch {
	case g.generation != job.Generation || g.state == Finished || g.backfill.State != Running:
		return nil // there is another job for it, or none is wanted
	case !g.backfill.Settings.isFor(w.api):
		w.log.Warn("a backfill is for another server or account than this worker's", zap.String("backfill", g.backfill.Name), zap.String("server", g.backfill.Settings.Server))
		return &snooze{time.Minute}
	case g.owner != "":
		return &snooze{later}
	}
	// A segment that can send nothing today would still have its pool cloned.
	until, err := w.store.parked(ctx, job.Backfill)
	if err != nil {
		return err
	}
	if wait := time.Until(until); wait > 0 {
		return &snooze{wait}
	}
	owner := newToken()
	ours, err := w.store.claim(ctx, g, owner)
	if err != nil {
		return err
	}
	if !ours {
		return &snooze{later}
	}
	r, err := w.attempt(ctx, g, owner)
	if err != nil {
		r.state, r.err = Waiting, err.Error()
		var again *snooze
		switch {
		case errors.As(err, &again):
			r.err = ""
		case triesLeft <= 0 || final(err):
			r.state = Failed
		}
	}
	defer w.ended()
	// What became of the segment is kept whether or not the worker is stopped.
	return errors.Join(err, w.store.release(context.WithoutCancel(ctx), g, owner, r))
}

// attempt works at a claimed segment. From the beginning others see that the owner
// is alive: to look at a file, or to clone a pool, takes as long as servers do.
func (w *worker) attempt(ctx context.Context, g segment, owner string) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	going, stop := context.WithCancel(ctx) // ends at a soft stop
	ended := w.watch(ctx, g, owner, stop, cancel)
	defer func() {
		cancel()
		stop()
		ended()
	}()
	r := result{state: Waiting}
	p, err := w.prepare(going, g, owner)
	if err != nil {
		return r, unlessStopped(going, err)
	}
	release := context.AfterFunc(going, p.Stop)
	defer release()
	report, err := p.Run(ctx)
	r.created, r.rejected = report.Totals.Created+report.Totals.Duplicate, report.Totals.Rejected
	var parked *ratelimit.DayQuotaError
	switch {
	case report.State == pipeline.Parked && errors.As(err, &parked):
		r.until = parked.Until
		return r, &snooze{time.Until(r.until)}
	case errors.Is(err, pipeline.ErrInterrupted), err == nil && report.State == pipeline.Interrupted:
		return r, &snooze{soon}
	case err != nil && !errors.Is(err, pipeline.ErrPartChanged):
		return r, err
	case report.Totals.Unsent > 0 && err == nil:
		return r, fmt.Errorf("%d rows are unsent", report.Totals.Unsent)
	}
	// What was read may be another file than the one that was looked at.
	if changed := unchanged(going, g.file); changed != nil {
		return r, unlessStopped(going, changed)
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", g.file.path, errMixed)
	}
	r.state = Finished
	return r, nil
}

// prepare makes the pipeline of a segment. It can be broken off at any time.
func (w *worker) prepare(ctx context.Context, g segment, owner string) (*pipeline.Pipeline, error) {
	if err := unchanged(ctx, g.file); err != nil {
		return nil, err
	}
	client, err := toloka.NewClient(w.api)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	pool, err := cloner{w.store, w.log}.pool(ctx, client, g, owner)
	if err != nil {
		return nil, err
	}
	return pipeline.New(w.config(g, pool))
}

// unlessStopped returns an error of what goes on until ctx ends. That it was broken
// off is no failure.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && !final(err) {
		return &snooze{soon}
	}
	return err
}

// config is the run of a segment.
func (w *worker) config(g segment, pool string) pipeline.Config {
	s := g.backfill.Settings
	reading := g.rows.Config(withMap(s.Reader, g.file.rules.Map))
	limits := s.Limits
	limits.Park = true
	return pipeline.Config{
		Input:   pipeline.Input{Files: []string{g.file.path}, Reader: reading, NoSpec: s.NoSpec},
		Target:  pipeline.Target{PoolID: pool, API: w.api, Limits: limits},
		Sending: pipeline.Sending{Mode: uploader.Async, ChunkSize: s.ChunkSize, Buffers: &w.buffers},
		Keeping: pipeline.Keeping{Ledger: w.store.ledger, Command: "poolfill backfill resume " + g.backfill.Name},
		Job:     pipeline.Part{Name: g.run},
		Log:     w.log.With(zap.String("segment", g.run)),
	}
}

// withMap adds what a file's columns are.
func withMap(c reader.Config, columns map[string]string) reader.Config {
	if len(columns) > 0 {
		all := make(map[string]string, len(c.Map)+len(columns))
		maps.Copy(all, c.Map)
		maps.Copy(all, columns)
		c.Map = all
	}
	return c
}

// watch shows that the owner is alive until ctx ends; the function that it returns
// waits for that. It calls stop when the work is to end softly, and cancel when
// the segment is not the owner's any more.
func (w *worker) watch(ctx context.Context, g segment, owner string, stop, cancel func()) (ended func()) {
	var group sync.WaitGroup
	group.Go(func() {
		over := time.NewTimer(shift)
		defer over.Stop()
		select {
		case <-ctx.Done():
			return
		case <-w.stop:
		case <-over.C:
		}
		stop()
	})
	group.Go(func() { w.show(ctx, g, owner, stop, cancel) })
	return group.Wait
}

// show beats until ctx ends.
func (w *worker) show(ctx context.Context, g segment, owner string, stop, cancel func()) {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	alive := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		sent := time.Now()
		state, lost, err := w.beat(ctx, g, owner)
		w.alarm.see(err)
		switch {
		case lost:
			w.log.Warn("a segment was taken away", zap.String("segment", g.run))
			cancel()
		case err != nil && time.Since(alive) > unsure:
			w.log.Warn("the database can't be told that this worker is alive", zap.String("segment", g.run), zap.Error(err))
			cancel()
		case err == nil && state != Running:
			stop()
		}
		if err == nil {
			alive = sent
		}
	}
}

// beat is that of the store, and takes no longer than it may.
func (w *worker) beat(ctx context.Context, g segment, owner string) (state State, lost bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, beatFor)
	defer cancel()
	return w.store.beat(ctx, g, owner)
}

// unchanged reports a file that is not what it was when the backfill began.
func unchanged(ctx context.Context, f file) error {
	now, err := reader.Identify(ctx, f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !reader.IsURL(f.path):
		return fmt.Errorf("%s: this worker has no such file: each worker must reach each file under the same path", f.path)
	case err != nil:
		return err
	case !now.Equal(f.identity):
		return fmt.Errorf("%s: %w", f.path, errChanged)
	}
	return nil
}

// newToken returns a name that nobody else has.
func newToken() string {
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails, by its contract
	return hex.EncodeToString(id[:])
}
