package pipeline

import (
	"context"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poolfill/pipeline/ledger"
	"poolfill/reader/verdict"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// settling is how many operations of an earlier run are asked for at once.
const settling = 8

// settle finds out what the attempts of a run have created whose end is not
// known, and keeps it in the ledger: as what became of the rows that were sent, or, where
// a task is none of them, as a stray.
func (h *history) settle(ctx context.Context, r ledger.Run) error {
	doubts, err := h.ledger.Doubts(ctx, r.ID)
	if err != nil || len(doubts) == 0 {
		return err
	}
	created, search, err := h.ask(ctx, doubts)
	if err != nil {
		return err
	}
	if len(search) > 0 {
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
		created.add(found)
	}
	created.known.sort()
	return h.resolve(ctx, r, doubts, created)
}

// tasksFound are tasks that were found, none of them twice.
type tasksFound struct {
	known known
	tasks map[string]toloka.Task
}

func (f *tasksFound) add(tasks []toloka.Task) {
	for _, t := range tasks {
		if _, twice := f.tasks[t.ID]; !twice {
			f.tasks[t.ID] = t
			f.known.add(t.Key, t.ID)
		}
	}
}

// ask asks for the operations in doubt. It returns what they have created, and the
// attempts of which only the pool itself can tell.
func (h *history) ask(ctx context.Context, doubts []ledger.Doubt) (created *tasksFound, search []ledger.Doubt, err error) {
	created = &tasksFound{tasks: map[string]toloka.Task{}}
	var (
		mu    sync.Mutex
		group errgroup.Group
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
			mu.Lock()
			defer mu.Unlock()
			if settled.LogGone {
				search = append(search, d)
				return nil
			}
			created.add(settled.Created)
			return nil
		})
	}
	return created, search, group.Wait()
}

// resolve gives the rows of chunks in doubt the tasks that are theirs. What is left are
// strays.
func (h *history) resolve(ctx context.Context, r ledger.Run, doubts []ledger.Doubt, created *tasksFound) error {
	seen := map[int]bool{}
	for _, d := range doubts {
		if seen[d.Chunk] {
			continue
		}
		seen[d.Chunk] = true
		c, found, err := h.ledger.Entry(r).Chunk(ctx, d.Chunk)
		if err != nil || !found {
			return err
		}
		for i := range c.Rows {
			row := &c.Rows[i]
			if row.Status == verdict.Created || row.Status == verdict.Rejected {
				continue
			}
			*row = verdict.Verdict{Position: row.Position, Status: verdict.Unsent, Reason: "the run was broken off before this row was created"}
			if id, ok := created.known.claim(c.Keys[i]); ok {
				row.Status, row.Reason, row.TaskID = verdict.Created, "", id
				delete(created.tasks, id)
			}
		}
		if err := h.ledger.Entry(r).Finish(ledger.Result{Chunk: d.Chunk, Sum: c.Sum, Keys: c.Keys, Rows: c.Rows}); err != nil {
			return err
		}
	}
	return h.ledger.Settle(doubts[0], straysOf(created.tasks))
}

func straysOf(tasks map[string]toloka.Task) (strays []ledger.Stray) {
	for _, t := range tasks {
		strays = append(strays, ledger.Stray{TaskID: t.ID, Content: t.Key})
	}
	return strays
}
