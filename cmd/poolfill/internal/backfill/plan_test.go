package backfill

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"poolfill/reader"
)

// input returns an input of segments with so many rows.
func input(pool, template string, rows ...int64) Input {
	in := Input{Source: Source{Path: pool + template, Pool: pool, Template: template, Rules: Rules{Priority: defaultPriority}}}
	at := int64(1)
	for _, n := range rows {
		in.Ranges = append(in.Ranges, reader.Segment{From: reader.Mark{Offset: at, Line: at, Record: at}, Rows: n})
		at += n
	}
	return in
}

func TestSegmentsFillPoolsInOrder(t *testing.T) {
	l, err := lay([]Input{input("", "9", 60, 30), input("", "9", 20, 50)}, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Slots) != 2 || l.Slots[0].Rows != 90 || l.Slots[1].Rows != 70 {
		t.Errorf("the pools are %+v", l.Slots)
	}
}

func TestAPoolThatIsThereIsFilledFirst(t *testing.T) {
	l, err := lay([]Input{input("5", "9", 60, 60)}, map[string]int64{"5": 70}, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Slots) != 2 || l.Slots[0].Pool != "5" || l.Slots[1].Template != "9" || l.Slots[1].Pool != "" {
		t.Errorf("the pools are %+v", l.Slots)
	}
	_, err = lay([]Input{input("5", "", 60, 60)}, map[string]int64{"5": 70}, 100)
	var few *TooFewPoolsError
	if !errors.As(err, &few) || few.Rows != 120 || few.Room != 70 {
		t.Errorf("a pool without a template that is too small: %v", err)
	}
}

func TestAPoolHasOneWayOn(t *testing.T) {
	_, err := lay([]Input{input("5", "", 1), input("5", "9", 1)}, map[string]int64{"5": 70}, 100)
	if err == nil || !strings.Contains(err.Error(), "different templates") {
		t.Errorf("got %v", err)
	}
}

func TestFilesForEachPoolCountInEach(t *testing.T) {
	all := []Input{input("", "9", 80, 80), input("", "", 10)}
	all[1].Each = true
	l, err := lay(all, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Slots) != 2 || l.Slots[0].Rows != 90 || l.Slots[1].Rows != 90 || len(l.Pieces) != 4 {
		t.Errorf("the pools are %+v, the pieces %+v", l.Slots, l.Pieces)
	}
	all[1].Ranges[0].Rows = 101
	if _, err := lay(all, nil, 100); err == nil {
		t.Error("control tasks that fill more than a pool went through")
	}
}

// Whatever the files, each range is in one pool, no pool has more than it takes,
// and the same files give the same layout.
func TestNoPoolOverflowsAndNoRowIsForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const perPool = 100
		room := map[string]int64{"5": rapid.Int64Range(0, perPool).Draw(t, "room")}
		var inputs []Input
		want := int64(0)
		for range rapid.IntRange(1, 6).Draw(t, "files") {
			rows := rapid.SliceOfN(rapid.Int64Range(1, 40), 0, 8).Draw(t, "rows")
			pool := rapid.SampledFrom([]string{"", "5"}).Draw(t, "pool")
			inputs = append(inputs, input(pool, "9"+pool, rows...))
			want += inputs[len(inputs)-1].rows()
		}
		l, err := lay(inputs, room, perPool)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := lay(inputs, room, perPool)
		if len(again.Pieces) != len(l.Pieces) {
			t.Fatal("the same files gave another layout")
		}
		in := make([]int64, len(l.Slots))
		got := int64(0)
		for i, p := range l.Pieces {
			if p != again.Pieces[i] {
				t.Fatal("the same files gave another layout")
			}
			in[p.Slot] += p.Range.Rows
			got += p.Range.Rows
		}
		if got != want {
			t.Fatalf("%d of %d rows are laid out", got, want)
		}
		for i, s := range l.Slots {
			most := int64(perPool)
			if s.Pool != "" {
				most = room[s.Pool]
			}
			if in[i] > most || in[i] != s.Rows || s.Room != most-in[i] {
				t.Fatalf("pool %d takes %d rows and gets %d: %+v", i, most, in[i], s)
			}
		}
	})
}
