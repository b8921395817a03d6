package backfill

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"poolfill/uploader"
)

// opener is a server that is asked to open pools.
type opener struct {
	api uploader.ClientConfig

	mu     sync.Mutex
	opened []string
}

// newOpener gives one that answers with what open says of a pool.
func newOpener(t *testing.T, open func(pool string, w http.ResponseWriter, r *http.Request)) *opener {
	t.Helper()
	o := &opener{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pool := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/api/v1/pools/"), "/open")
		o.mu.Lock()
		o.opened = append(o.opened, pool)
		o.mu.Unlock()
		open(pool, w, r)
	}))
	t.Cleanup(server.Close)
	o.api = uploader.ClientConfig{BaseURL: server.URL, Token: "t"}
	return o
}

// asked gives the pools that were asked for, in order.
func (o *opener) asked() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.opened, " ")
}

// enterPools enters a backfill that opens its pools, with one segment each.
func enterPools(t *testing.T, m *Manager, api uploader.ClientConfig, name string, pools ...string) Backfill {
	t.Helper()
	p := Plan{files: []file{{path: name}}}
	for i, pool := range pools {
		p.Layout.Slots = append(p.Layout.Slots, Slot{Pool: pool, Rows: 3})
		p.Layout.Pieces = append(p.Layout.Pieces, Piece{Range: Range{Rows: 3}, Slot: i})
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
	if err := m.store.leave(t.Context(), g, "one", result{state: as, created: 3}); err != nil {
		t.Error(err)
	}
}

func concluding(m *Manager, api uploader.ClientConfig) *keeper {
	return &keeper{store: m.store, queue: &queued{}, api: api, log: zap.NewNop(), alarm: newAlarm(m.ledger)}
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
	server := newOpener(t, func(pool string, w http.ResponseWriter, _ *http.Request) {
		if pool == "7" {
			end(t, m, b, 1, Finished)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	b = enterPools(t, m, server.api, "b", "7", "8")
	end(t, m, b, 0, Finished)
	k := concluding(m, server.api)
	for range 2 {
		if err := k.keep(t.Context(), time.Now()); err != nil {
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
