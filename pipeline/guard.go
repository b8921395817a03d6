package pipeline

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poolfill/batcher"
	"poolfill/internal/ledger"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// known counts the tasks that exist already. A row that claims one of them
// takes it out. It takes some 60 bytes for each task.
type known struct {
	entries []knownTask // by key once it is sorted
	ids     []byte
}

type knownTask struct {
	key  [16]byte
	at   uint32 // of the id
	size uint16
	used uint32 // how many of the entries with this key are claimed; kept in the first
}

func (k *known) add(key [16]byte, id string) {
	k.entries = append(k.entries, knownTask{key: key, at: uint32(len(k.ids)), size: uint16(len(id))})
	k.ids = append(k.ids, id...)
}

func (k *known) sort() {
	slices.SortStableFunc(k.entries, func(a, b knownTask) int { return bytes.Compare(a.key[:], b.key[:]) })
}

// claim takes out a task with the key, and gives its id.
func (k *known) claim(key [16]byte) (id string, ok bool) {
	first, found := slices.BinarySearchFunc(k.entries, key, func(t knownTask, key [16]byte) int { return bytes.Compare(t.key[:], key[:]) })
	if !found {
		return "", false
	}
	i := first + int(k.entries[first].used)
	if i >= len(k.entries) || k.entries[i].key != key {
		return "", false
	}
	k.entries[first].used++
	t := k.entries[i]
	return string(k.ids[t.at : t.at+uint32(t.size)]), true
}

// rowGuard knows the rows that are not sent again.
type rowGuard struct {
	exact   known // by ledger.Key
	content known // likewise, of tasks that only the server tells of
}

// claim reports whether a task exists already, and its id.
func (g *rowGuard) claim(key batcher.Key) (id string, ok bool) {
	if id, ok = g.exact.claim(key); ok {
		return id, true
	}
	return g.content.claim(key)
}

func (g *rowGuard) empty() bool { return len(g.exact.entries) == 0 && len(g.content.entries) == 0 }

// consultHistory settles what is in doubt, and learns which rows not to send.
func (p *Pipeline) consultHistory(ctx context.Context, plan plan) error {
	for _, r := range plan.unsettled {
		if err := p.settle(ctx, r); err != nil {
			return err
		}
	}
	if p.resumed && p.cfg.Mode == uploader.Sync {
		if err := p.settle(ctx, *p.run); err != nil {
			return err
		}
		err := p.cfg.Ledger.Strays(ctx, p.run.ID, func(s ledger.Stray) error {
			p.strays.add(s.Content, s.TaskID)
			return nil
		})
		if err != nil {
			return err
		}
		p.strays.sort()
	}
	if p.cfg.Guard == GuardPool {
		err := p.uploader.Tasks(ctx, func(t toloka.Task) error {
			p.guard.content.add(t.Key, t.ID)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, r := range plan.history {
		if err := p.learn(ctx, r); err != nil {
			return err
		}
	}
	p.guard.exact.sort()
	p.guard.content.sort()
	return nil
}

// learn takes the tasks of an earlier run into the guard: with GuardFile only
// those of the files of this run.
func (p *Pipeline) learn(ctx context.Context, r ledger.Run) error {
	ours := make([]bool, len(r.Files))
	for i, f := range r.Files {
		one := ledger.Run{Files: []ledger.File{f}}
		ours[i] = p.cfg.Guard == GuardLedger || sharesFile(*p.run, one)
	}
	err := p.cfg.Ledger.Tasks(ctx, r.ID, func(t ledger.Task) error {
		if t.File < len(ours) && ours[t.File] {
			p.guard.exact.add(t.Key, t.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.cfg.Ledger.Strays(ctx, r.ID, func(s ledger.Stray) error {
		p.guard.content.add(s.Content, s.TaskID)
		return nil
	})
}

// namedMargin is how much earlier than a request the tasks of others are looked
// for: the clocks may differ, and a name too many does no harm.
const namedMargin = time.Hour

// named asks the ledger which tasks belong to rows already.
func (p *Pipeline) named(ctx context.Context, since time.Time) uploader.Named {
	return func(ids []string) (map[string]bool, error) {
		return p.cfg.Ledger.Named(ctx, p.run.Server, p.run.Pool, since.Add(-namedMargin), ids)
	}
}

// settling is how many operations of an earlier run are asked for at once.
const settling = 8

// settle finds out what the attempts of a run have created whose end is not
// known, and keeps it in the ledger.
func (p *Pipeline) settle(ctx context.Context, r ledger.Run) error {
	doubts, err := p.cfg.Ledger.Doubts(ctx, r.ID)
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
			settled, err := p.uploader.Settle(ctx, d.Operation)
			if err != nil {
				return err
			}
			p.cfg.Log.Info("an operation of an earlier run was settled", zap.String("operation", d.Operation),
				zap.Bool("found", settled.Found), zap.Int("created", len(settled.Created)))
			if settled.LogGone {
				mu.Lock()
				defer mu.Unlock()
				search = append(search, d)
				return nil
			}
			return p.cfg.Ledger.Settle(d, straysOf(settled.Created))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if len(search) == 0 {
		return nil
	}
	since := search[0].Sent
	for _, d := range search {
		if d.Sent.Before(since) {
			since = d.Sent
		}
	}
	found, err := p.uploader.Strays(ctx, uploader.Mark{}, since, p.named(ctx, since))
	if err != nil {
		return err
	}
	p.cfg.Log.Info("the pool was searched for the tasks of requests without an answer",
		zap.Int("requests", len(search)), zap.Int("found", len(found)))
	for i, d := range search {
		created := straysOf(found)
		if i > 0 {
			created = nil // they were kept with the first
		}
		if err := p.cfg.Ledger.Settle(d, created); err != nil {
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

// errChanged says that an input is not what it was, though it looks the same.
var errChanged = errors.New("an input has changed since the run began, though its size and time are the same: touch it (so that its time changes) and run the same command again")
