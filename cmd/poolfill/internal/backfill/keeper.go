package backfill

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"poolfill/uploader/toloka"

	"go.uber.org/zap"
)

const (
	// keepEvery is how often each worker does what no job does.
	keepEvery = 2 * time.Second
	// abandoned is how long a segment's beat may stand still: well above the time
	// after which its worker lets go by itself.
	abandoned = 15 * time.Second
	// enqueued is how many jobs are made at once.
	enqueued = 500
	// openFor bounds how long a pool is waited for that is being opened, before it
	// is the turn of others; it is asked for again then.
	openFor = time.Minute
)

// queue takes jobs.
type queue interface {
	insert(context.Context, []wanted) error
	// running returns the jobs that River takes for running.
	running(context.Context) ([]jobKey, error)
}

// keeper does what no job does. Each worker has one; all that it does may be done
// by several at the same time.
type keeper struct {
	store   store
	queue   queue
	api     toloka.Config
	log     *zap.Logger
	alarm   *alarm
	wake    chan struct{}        // holds one where there is something to conclude before the next time
	seen    map[held]time.Time   // when it was first seen like this
	orphans map[jobKey]time.Time // jobs that nobody seems to be at, and since when
}

// nudge has it conclude at once. It waits for nothing.
func (k *keeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run keeps and concludes until ctx ends. Each has its own time: what dead workers
// left doesn't wait for a server that opens pools.
func (k *keeper) run(ctx context.Context) {
	// The database comes back, or the jobs fail for the same reason and say so.
	failed := func(err error) {
		k.alarm.see(err)
		k.log.Warn("looking after the backfills failed and is tried again", zap.Error(err))
	}
	var both sync.WaitGroup
	both.Go(func() { repeat(ctx, keepEvery, nil, func() error { return k.keep(ctx, time.Now()) }, failed) })
	both.Go(func() { repeat(ctx, keepEvery, k.wake, func() error { return k.conclude(ctx) }, failed) })
	both.Wait()
}

// keep sees to it once that each segment has a job, and a worker that is alive.
func (k *keeper) keep(ctx context.Context, now time.Time) error {
	if err := k.rescue(ctx, now); err != nil {
		return err
	}
	return k.enqueue(ctx)
}

// rescue takes segments away from workers that show no life.
func (k *keeper) rescue(ctx context.Context, now time.Time) error {
	all, err := k.store.held(ctx)
	if err != nil {
		return err
	}
	seen := make(map[held]time.Time, len(all))
	for _, h := range all {
		seen[h] = cmp.Or(k.seen[h], now)
		if now.Sub(seen[h]) < abandoned {
			continue
		}
		freed, err := k.store.free(ctx, h)
		if err != nil {
			return err
		}
		if freed {
			k.log.Warn("a worker is gone: its segment is done by another one", zap.Int("segment", h.number))
		}
	}
	k.seen = seen
	return k.replace(ctx, now)
}

// replace makes another job for segments whose job River takes for running though
// nobody is at them: its worker died before it had the segment, or just after it
// had left it. River itself notices that by the job's age only.
func (k *keeper) replace(ctx context.Context, now time.Time) error {
	running, err := k.queue.running(ctx)
	if err != nil {
		return err
	}
	orphans := make(map[jobKey]time.Time)
	for _, job := range running {
		idle, err := k.store.idle(ctx, job)
		if err != nil {
			return err
		}
		if !idle {
			continue
		}
		orphans[job] = cmp.Or(k.orphans[job], now)
		if now.Sub(orphans[job]) < abandoned {
			continue
		}
		if err := k.store.renew(ctx, job); err != nil {
			return err
		}
		k.log.Warn("a job was lost with its worker: there is another one for its segment", zap.Int("segment", job.Segment))
	}
	k.orphans = orphans
	return nil
}

// enqueue makes jobs for segments that have none.
func (k *keeper) enqueue(ctx context.Context) error {
	for {
		all, err := k.store.wanted(ctx, enqueued)
		if err != nil || len(all) == 0 {
			return err
		}
		if err := k.queue.insert(ctx, all); err != nil {
			return err
		}
		if err := k.store.queued(ctx, all); err != nil {
			return err
		}
	}
}

// conclude opens the pools that are complete, where that is asked for, and ends
// the backfills that are. One that is in trouble keeps no other one waiting.
func (k *keeper) conclude(ctx context.Context) error {
	running, err := k.store.backfills(ctx, Running)
	if err != nil {
		return err
	}
	var errs []error
	for _, b := range running {
		if b.Settings.isFor(k.api) {
			errs = append(errs, k.concludeOne(ctx, b))
		}
	}
	return errors.Join(errs...)
}

func (k *keeper) concludeOne(ctx context.Context, b Backfill) error {
	if b.Settings.OpenPools {
		if err := k.open(ctx, b); err != nil {
			return err
		}
	}
	return k.store.conclude(ctx, b)
}

// open opens pools all of whose rows are accounted for.
func (k *keeper) open(ctx context.Context, b Backfill) error {
	done, err := k.store.done(ctx, b.ID)
	if err != nil || len(done) == 0 {
		return err
	}
	client, err := toloka.NewClient(k.api)
	if err != nil {
		return err
	}
	defer client.Close()
	var errs []error
	for _, p := range done {
		err := k.openOne(ctx, client, p.pool)
		if err == nil {
			err = k.store.opened(ctx, p)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// openOne opens a pool, or logs that it can't be opened as it is: an empty one,
// say. Then it stays so, and the backfill goes on.
func (k *keeper) openOne(ctx context.Context, client *toloka.Client, pool string) error {
	ctx, cancel := context.WithTimeout(ctx, openFor)
	defer cancel()
	err := client.OpenPool(ctx, pool)
	var (
		refused *toloka.Error
		failed  *toloka.NotOpenedError
	)
	if errors.As(err, &failed) || errors.As(err, &refused) && refused.Status != 0 && !refused.Retryable() {
		k.log.Error("a pool can't be opened", zap.String("pool", pool), zap.Error(err))
		return nil
	}
	return err
}
