package backfill

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poolfill/ratelimit"
	"poolfill/reader"
)

func TestWhatIsStoredComesBack(t *testing.T) {
	manageBoth(t, func(t *testing.T, m *Manager) {
		stored := file{
			path:     "a.tsv",
			identity: reader.Identity{Size: 7, Modified: time.Unix(1_700_000_000, 123_456_789), Ends: []byte{0, 1, 255}},
			rules:    Rules{Map: map[string]string{"a": "INPUT:b"}, Priority: 3, NotBefore: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)},
		}
		rows := reader.Segment{From: reader.Mark{Offset: 1, Line: 2, Record: 3}, Rows: 4}
		in := Input{Source: Source{Path: stored.path, Rules: stored.rules}, identity: stored.identity}
		p := Plan{Inputs: []Input{in}, Layout: Layout{Slots: []Slot{{Pool: "7"}}, Pieces: []Piece{{Range: rows}}}}
		settings := Settings{Server: offline.BaseURL, ChunkSize: 5, Limits: ratelimit.Config{TasksPerMinute: 6}, OpenPools: true}
		b, err := m.Begin(t.Context(), "b", "a command", settings, p)
		if err != nil {
			t.Fatal(err)
		}
		b.Begun = b.Begun.Truncate(time.Millisecond)
		got, err := m.store.segment(t.Context(), b.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := segment{backfill: b, file: stored, rows: rows, state: Waiting, generation: 1, run: "b-00001"}
		if diff := cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true }), cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Error(diff)
		}
	})
}
