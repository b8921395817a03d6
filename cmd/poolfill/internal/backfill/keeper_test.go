package backfill

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/uploader/toloka"

	"go.uber.org/zap"

	"poolfill/reader"
)

// opener is a server that is asked to open pools, without a network, so that time
// may be virtual.
type opener struct {
	api  toloka.Config
	open func(pool string, w http.ResponseWriter, r *http.Request)

	mu    sync.Mutex
	pools []string
}

// newOpener returns one that answers with what open says of a pool.
func newOpener(open func(pool string, w http.ResponseWriter, r *http.Request)) *opener {
	o := &opener{open: open}
	o.api = toloka.Config{BaseURL: "https://toloka.example", Token: "t", HTTP: &http.Client{Transport: o}}
	return o
}

// RoundTrip is part of http.RoundTripper.
func (o *opener) RoundTrip(r *http.Request) (*http.Response, error) {
	pool := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/api/v1/pools/"), "/open")
	o.mu.Lock()
	o.pools = append(o.pools, pool)
	o.mu.Unlock()
	w := httptest.NewRecorder()
	o.open(pool, w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// asked returns the pools that were asked for, in order.
func (o *opener) asked() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.pools, " ")
}

// enterPools enters a backfill that opens its pools, with one segment each.
func enterPools(t *testing.T, m *Manager, api toloka.Config, name string, pools ...string) Backfill {
	t.Helper()
	p := Plan{Inputs: []Input{{Source: Source{Path: name}}}}
	for i, pool := range pools {
		p.Layout.Slots = append(p.Layout.Slots, Slot{Pool: pool, Rows: 3})
		p.Layout.Pieces = append(p.Layout.Pieces, Piece{Range: reader.Segment{Rows: 3}, Slot: i})
	}
	b, err := m.Begin(t.Context(), name, "", Settings{Server: api.BaseURL, OpenPools: true}, p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// end ends a segment.
func end(t *testing.T, m *Manager, b Backfill, number int, as State) {
	t.Helper()
	g := segment{backfill: b, number: number, generation: 1}
	if ours, err := m.store.claim(t.Context(), g, "one"); err != nil || !ours {
		t.Errorf("%t %v", ours, err)
	}
	if err := m.store.release(t.Context(), g, "one", result{state: as, created: 3}); err != nil {
		t.Error(err)
	}
}

func concluding(m *Manager, api toloka.Config) *keeper {
	return &keeper{store: m.store, queue: &queued{}, api: api, log: zap.NewNop(), alarm: newAlarm(m.store.ledger)}
}

func state(t *testing.T, m *Manager, name string) State {
	t.Helper()
	b, err := m.Find(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return b.State
}

func TestAPoolThatEndsWhileAnotherOneIsOpenedIsOpenedToo(t *testing.T) {
	m := manage(t, place(t))
	var b Backfill
	server := newOpener(func(pool string, w http.ResponseWriter, _ *http.Request) {
		if pool == "7" {
			end(t, m, b, 1, Finished)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	b = enterPools(t, m, server.api, "b", "7", "8")
	end(t, m, b, 0, Finished)
	k := concluding(m, server.api)
	for range 2 {
		if err := k.conclude(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.asked(); got != "7 8" {
		t.Errorf("the pools that were opened are %q", got)
	}
	if got := state(t, m, "b"); got != Finished {
		t.Errorf("the backfill is %s", got)
	}
}

// A pool may be without what a pool needs to be open; the server then takes the
// request and fails it, each time.
func TestABackfillEndsThoughAPoolCanNotBeOpened(t *testing.T) {
	m := manage(t, place(t))
	server := newOpener(func(_ string, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(`{"id":"op","type":"POOL.OPEN","status":"FAIL"}`))
	})
	b := enterPools(t, m, server.api, "b", "7", "8")
	for number := range 2 {
		end(t, m, b, number, Finished)
	}
	if err := concluding(m, server.api).conclude(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := server.asked(); got != "7 8" {
		t.Errorf("the pools that were asked for are %q", got)
	}
	if got := state(t, m, "b"); got != Finished {
		t.Errorf("the backfill is %s", got)
	}
}

func TestAPoolThatIsNotOpenedInTimeKeepsNoOtherOneWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manage(t, place(t))
		server := newOpener(func(pool string, w http.ResponseWriter, r *http.Request) {
			if pool == "7" {
				<-r.Context().Done()
			}
			w.WriteHeader(http.StatusNoContent)
		})
		other := enterPools(t, m, server.api, "other", "9")
		time.Sleep(time.Second) // the latest comes first
		b := enterPools(t, m, server.api, "b", "7", "8")
		end(t, m, other, 0, Finished)
		end(t, m, b, 0, Finished)
		end(t, m, b, 1, Finished)
		begun := time.Now()
		if err := concluding(m, server.api).conclude(t.Context()); err == nil {
			t.Error("nobody is told of the pool that wasn't opened")
		}
		if waited := time.Since(begun); waited != openFor {
			t.Errorf("it was waited for %s", waited)
		}
		if state(t, m, "b") != Running || state(t, m, "other") != Finished {
			t.Errorf("the backfills are %s and %s", state(t, m, "b"), state(t, m, "other"))
		}
		if left, err := m.store.done(t.Context(), b.ID); err != nil || len(left) != 1 || left[0].pool != "7" {
			t.Errorf("the pools that are to be opened are %+v, %v", left, err)
		}
	})
}

func TestADeadWorkerIsMissedWhileAPoolIsOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manage(t, place(t))
		server := newOpener(func(_ string, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		b := enterPools(t, m, server.api, "b", "7", "8")
		end(t, m, b, 0, Finished)
		g := segment{backfill: b, number: 1, generation: 1}
		if ours, err := m.store.claim(t.Context(), g, "dead"); err != nil || !ours {
			t.Fatalf("%t %v", ours, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var keeping sync.WaitGroup
		keeping.Go(func() { concluding(m, server.api).run(ctx) })
		time.Sleep(abandoned + 2*keepEvery)
		if g, err := m.store.segment(t.Context(), b.ID, 1); err != nil || g.owner != "" || g.generation != 2 {
			t.Errorf("the segment is %q's, in generation %d: %v", g.owner, g.generation, err)
		}
		cancel()
		keeping.Wait()
	})
}
