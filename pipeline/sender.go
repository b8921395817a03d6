package pipeline

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poolfill/batcher"
	"poolfill/internal/concurrency"
	"poolfill/ratelimit"
	"poolfill/reader/verdict"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// errChanged says that an input is not what it was, though it looks the same.
var errChanged = errors.New("an input has changed since the run began, though its size and time are the same: touch it (so that its time changes) and run the same command again")

// sender uploads chunks, each in a goroutine of the group as soon as there is a
// place, and sees to it that what came of their rows is counted and kept.
type sender struct {
	set      *settings
	uploader *uploader.Uploader
	batcher  *batcher.Batcher
	places   *concurrency.Limiter
	past     *past
	books    *books
	rules    *rules
	ending   *ending
	sights   *sights
	group    errgroup.Group
	// sent counts the chunks of this run by their places and tasks. Files that begin
	// alike have chunks that are alike, each of which is to be created.
	sent map[chunkName]int
}

// chunkName is what the name of a chunk's operation is made of.
type chunkName struct{ place, sum batcher.Key }

// send uploads a chunk, or takes what came of it from an earlier attempt. It waits
// for a place until taking ends; with StopAtInvalid it waits for the outcome, so that
// no later row is even looked at before.
func (s *sender) send(ctx, taking context.Context, c *batcher.Chunk) error {
	s.rules.beforeChunk()
	name := chunkName{c.Place(), c.Sum()}
	if s.past.sent[c.Sum()] {
		c.Apart(s.past.name)
	}
	if n := s.sent[name]; n > 0 {
		c.Apart(strconv.Itoa(n))
	}
	s.sent[name]++
	if file := s.sights.changed(c.Files()); file != "" {
		s.ending.stop(Failed, s.changed(file))
	}
	if done, err := s.replay(ctx, c); done || err != nil {
		return err
	}
	switch {
	case s.ending.stopped():
		return s.discard(ctx, c)
	case s.set.OnInvalid == StopAtInvalid:
		_, err := s.upload(ctx, c)
		return err
	}
	place, err := s.places.Acquire(taking, int64(c.Memory()))
	if err != nil {
		return s.discard(ctx, c) // the run was stopped
	}
	s.group.Go(func() error {
		waited, err := s.upload(ctx, c)
		if err != nil || s.ending.stopped() {
			place.Cancel() // it shows nothing of how long uploads take
		} else {
			place.Done(waited)
		}
		return err
	})
	return nil
}

// changed is the error of an input that changed while it was read.
func (s *sender) changed(name string) error {
	if s.set.part != "" {
		return &partChangedError{name, s.set.part}
	}
	return &ChangedError{name}
}

// upload sends one chunk and records what became of its rows. It returns how much
// of the time it waited for the quota.
func (s *sender) upload(ctx context.Context, c *batcher.Chunk) (waited time.Duration, err error) {
	prior, claimed, err := s.prior(ctx, c)
	if err != nil {
		return 0, s.ending.fail(err)
	}
	s.books.sending(c.Len())
	outcome, err := s.uploader.Upload(ctx, c, prior)
	s.past.again.sent(outcome)
	inColumns(outcome, s.books.info)
	s.books.sent(outcome)
	kept, failed := s.past.keeper.finish(outcome, claimed)
	s.set.Log.Debug("a chunk is done", zap.Int("chunk", c.Number), zap.Int("rows", c.Len()), zap.Int("attempts", outcome.Attempts))
	err = s.conclude(outcome, err)
	if failed != nil {
		return 0, errors.Join(err, s.ending.fail(failed))
	}
	if kept {
		s.uploader.Kept(outcome)
	}
	if err == nil {
		s.batcher.Recycle(c)
	}
	return outcome.QuotaWait, err
}

// conclude ends the run where an upload's error or its rows ask for it, and returns
// the error unless the run has its cause already.
func (s *sender) conclude(o uploader.Outcome, err error) error {
	var quotaUsed *ratelimit.DayQuotaError
	switch {
	case isCanceled(err):
		// Left at once, or stopped while the chunk waited for the quota.
		return nil
	case errors.As(err, &quotaUsed):
		s.ending.stop(Parked, quotaUsed)
		return nil
	case err != nil:
		return s.ending.fail(err)
	}
	s.rules.learn(o.Rows)
	if i := slices.IndexFunc(o.Rows, refused); i >= 0 {
		s.rules.see(&o.Rows[i])
	}
	return nil
}

func isCanceled(err error) bool {
	var api *toloka.Error
	return errors.As(err, &api) && api.Kind == toloka.KindCanceled
}

// prior returns what is known of a chunk that an earlier attempt may have sent, and
// the ids of the strays that rows of it are given.
func (s *sender) prior(ctx context.Context, c *batcher.Chunk) (prior uploader.Prior, claimed []string, err error) {
	since := time.Now()
	before, found, err := s.past.keeper.chunk(ctx, c.Number)
	if err != nil {
		return prior, nil, err
	}
	if found {
		prior.Operations, prior.Since = before.Operations, before.Sent
		if before.Ended {
			prior.Rows = before.Rows
		}
		if !prior.Since.IsZero() {
			since = prior.Since
		}
	}
	prior.Rows, claimed = s.past.strays.claim(c, prior.Rows)
	prior.Named = s.past.keeper.named(ctx, since)
	return prior, claimed, nil
}

// replay takes what came of a chunk from an earlier attempt that has finished it,
// and reports whether there is nothing left to do.
func (s *sender) replay(ctx context.Context, c *batcher.Chunk) (done bool, err error) {
	before, found, err := s.past.keeper.chunk(context.WithoutCancel(ctx), c.Number)
	switch {
	case err != nil || !found:
		return false, err
	case before.Sum != c.Sum():
		if s.ending.stopped() {
			return false, nil // cut short by the end of the run
		}
		// What the ledger has under this number is of other rows.
		changed := errChanged
		if s.set.part != "" {
			changed = &partChangedError{s.set.names[0], s.set.part}
		}
		s.books.settle(unsent(c, "the input changed under the run"))
		return true, s.ending.fail(changed)
	case !before.Finished, s.past.retry && slices.ContainsFunc(before.Rows, refused):
		return false, nil
	}
	s.books.replay(before.Rows)
	s.batcher.Recycle(c)
	return true, nil
}

// discard records the rows of a chunk that is not sent any more, unless an earlier
// attempt of the run knows better.
func (s *sender) discard(ctx context.Context, c *batcher.Chunk) error {
	reason := "the run was interrupted before this row was sent"
	if s.ending.cause() != nil {
		reason = "the run ended before this row was sent"
	}
	rows := unsent(c, reason)
	before, found, err := s.past.keeper.chunk(context.WithoutCancel(ctx), c.Number)
	for i := range min(len(rows), len(before.Rows)) {
		// By its key, as a chunk that is cut short may also have changed.
		if before.Ended && before.Keys[i] == c.Keys()[i] {
			rows[i] = before.Rows[i]
		}
	}
	if err != nil || !found {
		err = errors.Join(err, s.past.keeper.aside(rows))
	}
	s.books.settle(rows)
	s.batcher.Recycle(c)
	return err
}

// unsent are the verdicts of a chunk that is not sent.
func unsent(c *batcher.Chunk, reason string) []verdict.Verdict {
	rows := make([]verdict.Verdict, c.Len())
	for i := range rows {
		rows[i] = verdict.Verdict{Position: c.Position(i), Status: verdict.Unsent, Reason: reason}
	}
	return rows
}

func refused(v verdict.Verdict) bool { return v.Status == verdict.Rejected }
