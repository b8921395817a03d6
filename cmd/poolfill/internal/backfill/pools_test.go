package backfill

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poolfill/uploader/toloka"
	"poolfill/uploader/tolokatest"
)

// cloning is a backfill whose pools are still to be cloned: the first for segments 0
// and 1, the second for segment 2.
type cloning struct {
	m      *Manager
	w      cloner
	client *toloka.Client
	b      Backfill
}

func newCloning(t *testing.T) cloning {
	t.Helper()
	server := tolokatest.New(t, tolokatest.Config{})
	m := manage(t, place(t))
	c := cloning{
		m: m, b: begin(t, m, server.API(), 9),
		w: cloner{m.store, zap.NewNop()},
	}
	var err error
	if c.client, err = toloka.NewClient(server.API()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.Close)
	return c
}

func (c cloning) segment(t *testing.T, number int) segment {
	t.Helper()
	g, err := c.m.store.segment(t.Context(), c.b.ID, number)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// ask has an owner claim a segment and ask for its pool.
func (c cloning) ask(t *testing.T, number int, owner string) slot {
	t.Helper()
	g := c.segment(t, number)
	if ours, err := c.m.store.claim(t.Context(), g, owner); err != nil || !ours {
		t.Fatalf("%t %v", ours, err)
	}
	p, err := c.m.store.slot(t.Context(), c.b.ID, g.slot)
	if err != nil {
		t.Fatal(err)
	}
	if wait, err := c.m.store.ask(t.Context(), p, owner, c.b.Settings, time.Now()); err != nil || wait > 0 {
		t.Fatalf("%s %v", wait, err)
	}
	return p
}

// fail has an owner's attempt at a segment fail.
func (c cloning) fail(t *testing.T, number int, owner string) {
	t.Helper()
	if err := c.m.store.release(t.Context(), c.segment(t, number), owner, result{state: Waiting, err: "503"}); err != nil {
		t.Fatal(err)
	}
}

func (c cloning) clone(t *testing.T) string {
	t.Helper()
	id, err := c.client.ClonePool(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A clone has its template's name at first, by which it is looked for where its id
// got lost: whoever looks must not find the one that another is just making.
func TestAPoolIsClonedWhileNoOtherOneOfItsTemplateIs(t *testing.T) {
	c := newCloning(t)
	c.ask(t, 0, "one")
	c.fail(t, 0, "one") // with no clone made
	second := c.ask(t, 2, "two")
	clone := c.clone(t)
	if pool, err := c.w.pool(t.Context(), c.client, c.segment(t, 0), "three"); err == nil {
		t.Fatalf("the first pool is %s while %s, that of the second, is made", pool, clone)
	}
	if err := c.m.store.cloned(t.Context(), second, "two", clone); err != nil {
		t.Fatal(err)
	}
	pool, err := c.w.pool(t.Context(), c.client, c.segment(t, 0), "three")
	if err != nil || pool == clone || pool == "" {
		t.Fatalf("the first pool is %q, the second %q: %v", pool, clone, err)
	}
}

// A worker that was taken for dead and lives on changes nothing for those that went
// on in its place.
func TestAPoolIsThatOfOneSlotOnly(t *testing.T) {
	c := newCloning(t)
	c.ask(t, 0, "one")
	c.fail(t, 0, "one")
	c.ask(t, 2, "slow")
	clone := c.clone(t)
	if freed, err := c.m.store.free(t.Context(), held{c.b.ID, 2, "slow", 1}); err != nil || !freed {
		t.Fatalf("%t %v", freed, err)
	}
	if pool, err := c.w.pool(t.Context(), c.client, c.segment(t, 0), "three"); err != nil || pool != clone {
		t.Fatalf("the pool is %q and not %q: %v", pool, clone, err)
	}
	// The slow one goes on where it was: it gives the pool its slot's name.
	template, err := c.client.Pool(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.client.RenamePool(t.Context(), clone, template.PrivateName+" [b, pool 2]"); err != nil {
		t.Fatal(err)
	}
	second := c.ask(t, 2, "four")
	for _, owner := range []string{"slow", "four"} {
		if err := c.m.store.cloned(t.Context(), second, owner, clone); err == nil {
			t.Fatal("a pool was kept for two slots")
		}
	}
	c.fail(t, 2, "four")
	pool, err := c.w.pool(t.Context(), c.client, c.segment(t, 2), "five")
	if err != nil || pool == clone || pool == "" {
		t.Fatalf("the pools are %q and %q: %v", clone, pool, err)
	}
}

func TestClonesAreLimited(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, limits := range map[string]Settings{
		"a minute": {ClonesPerMinute: 2, ClonesPerDay: 4},
		"a day":    {ClonesPerDay: 2},
	} {
		t.Run(name, func(t *testing.T) {
			m := manage(t, place(t))
			limits.Server = offline.BaseURL
			b := enterClones(t, m, 4)
			ask := func(number int, now time.Time) time.Duration {
				t.Helper()
				p, err := m.store.slot(t.Context(), b.ID, number)
				if err != nil {
					t.Fatal(err)
				}
				wait, err := m.store.ask(t.Context(), p, "one", limits, now)
				if err != nil {
					t.Fatal(err)
				}
				return wait
			}
			if first, second := ask(0, now), ask(1, now); first > 0 || second > 0 {
				t.Fatalf("the first two wait %s and %s", first, second)
			}
			if ask(2, now) == 0 {
				t.Error("the third doesn't wait")
			}
			if wait := ask(1, now); wait > 0 {
				t.Errorf("one that was asked for before waits %s", wait)
			}
			if wait := ask(2, now.Add(61*time.Second)); (wait > 0) != (name == "a day") {
				t.Errorf("a minute later it waits %s", wait)
			}
			if wait := ask(3, now.Add(25*time.Hour)); wait > 0 {
				t.Errorf("a day later it waits %s", wait)
			}
		})
	}
}

// Workers that are started together ask together.
func TestWorkersThatAskTogetherKeepTheLimitOfClones(t *testing.T) {
	manageBoth(t, func(t *testing.T, m *Manager) {
		const workers = 8
		b := enterClones(t, m, workers)
		limits := Settings{Server: offline.BaseURL, ClonesPerMinute: 3}
		for range 10 {
			var asked atomic.Int64
			var all errgroup.Group
			for number := range workers {
				p, err := m.store.slot(t.Context(), b.ID, number)
				if err != nil {
					t.Fatal(err)
				}
				all.Go(func() error {
					wait, err := m.store.ask(t.Context(), p, newToken(), limits, time.Now())
					if wait == 0 && err == nil {
						asked.Add(1)
					}
					return err
				})
			}
			if err := all.Wait(); err != nil {
				t.Fatal(err)
			}
			if asked.Load() != 3 {
				t.Fatalf("%d clones are made", asked.Load())
			}
			if _, err := m.store.db.ExecContext(t.Context(), `UPDATE backfill_pool SET asked = 0, owner = ''`); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// enterClones enters a backfill of so many pools of as many templates.
func enterClones(t *testing.T, m *Manager, pools int) Backfill {
	t.Helper()
	var p Plan
	for number := range pools {
		p.Layout.Slots = append(p.Layout.Slots, Slot{Template: fmt.Sprint(number)})
	}
	b, err := m.Begin(t.Context(), "b", "", Settings{Server: offline.BaseURL}, p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
