package pipeline

import (
	"context"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poolfill/pipeline/ledger"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// settling is how many operations of an earlier run are asked for at once.
const settling = 8

// settle finds out what the attempts of a run have created whose end is not
// known, and keeps it in the ledger.
func (h *history) settle(ctx context.Context, r ledger.Run) error {
	doubts, err := h.ledger.Doubts(ctx, r.ID)
	if err != nil {
		return err
	}
	var (
		mu     sync.Mutex
		search []ledger.Doubt // what only the pool itself can tell
		group  errgroup.Group
	)
	// One that the server doesn't know takes seconds to be sure of.
	group.SetLimit(settling)
	for _, d := range doubts {
		if d.Operation == "" {
			search = append(search, d)
		}
	}
	for _, d := range doubts {
		if d.Operation == "" {
			continue
		}
		group.Go(func() error {
			settled, err := h.server.Settle(ctx, d.Operation)
			if err != nil {
				return err
			}
			h.set.Log.Info("an operation of an earlier run was settled", zap.String("operation", d.Operation),
				zap.Bool("found", settled.Found), zap.Int("created", len(settled.Created)))
			if settled.LogGone {
				mu.Lock()
				defer mu.Unlock()
				search = append(search, d)
				return nil
			}
			return h.ledger.Settle(d, straysOf(settled.Created))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if len(search) == 0 {
		return nil
	}
	h.searched = true
	since := search[0].Sent
	for _, d := range search {
		if d.Sent.Before(since) {
			since = d.Sent
		}
	}
	found, err := h.server.Strays(ctx, uploader.Mark{}, since, named(ctx, h.ledger, r, since))
	if err != nil {
		return err
	}
	h.set.Log.Info("the pool was searched for the tasks of requests without an answer",
		zap.Int("requests", len(search)), zap.Int("found", len(found)))
	for i, d := range search {
		created := straysOf(found)
		if i > 0 {
			created = nil // they were kept with the first
		}
		if err := h.ledger.Settle(d, created); err != nil {
			return err
		}
	}
	return nil
}

func straysOf(tasks []toloka.Task) []ledger.Stray {
	strays := make([]ledger.Stray, len(tasks))
	for i, t := range tasks {
		strays[i] = ledger.Stray{TaskID: t.ID, Content: t.Key}
	}
	return strays
}
