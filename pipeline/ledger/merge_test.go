package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"poolfill/reader/verdict"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Rows gives all that was kept, in the order of the inputs, however chunks and
// segments overlap there and in whatever order they ended.
func TestRowsAreInTheOrderOfTheInputs(t *testing.T) {
	names := []string{"a", "c", "b", "d"}
	order := merge{numbers: numbering{names: names}}
	onEach(t, func(t *testing.T, open func() *Ledger) {
		ctx := context.Background()
		l := open()
		runs := 0
		rapid.Check(t, func(t *rapid.T) {
			runs++
			run, err := l.Begin(Run{Name: fmt.Sprint(runs), Settings: []byte{1}, Files: make([]File, len(names)), Names: names})
			if err != nil {
				t.Fatal(err)
			}
			random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			stay := rapid.SampledFrom([]float64{0, 0.9, 0.999}).Draw(t, "stay")
			size := rapid.SampledFrom([]int{1, 7, 500, 2 * groupRows}).Draw(t, "rows of a part")

			// Rows go to one of several open parts, each of which ends when it is full.
			const parts = 6
			var open [parts][]verdict.Verdict
			var ended [][]verdict.Verdict
			var want []verdict.Verdict
			part := 0
			for file := range rapid.IntRange(1, 3).Draw(t, "files") {
				for record := range rapid.IntRange(0, min(20*size, 3*groupRows)).Draw(t, "records") {
					row := verdict.Verdict{Position: verdict.Position{File: names[file], Line: int64(2*record + 2), Record: int64(record + 1)}, Status: verdict.Created, TaskID: fmt.Sprintf("%d-%d", file, record)}
					want = append(want, row)
					if random.Float64() >= stay {
						part = random.IntN(parts)
					}
					if open[part] = append(open[part], row); len(open[part]) == size {
						ended, open[part] = append(ended, open[part]), nil
					}
				}
			}
			ended = append(ended, open[:]...)
			for number, at := range random.Perm(len(ended)) {
				rows := ended[at]
				switch random.IntN(3) {
				case 0:
					err = l.Entry(run).Finish(Result{Chunk: number, Keys: make([]Key, len(rows)), Rows: rows})
				case 1: // it never ends
					err = l.Entry(run).Sending(Attempt{Chunk: number, Keys: make([]Key, len(rows)), Positions: positions(rows)})
					for _, r := range rows {
						i, _ := slices.BinarySearchFunc(want, r, func(a, b verdict.Verdict) int { return order.at(&a).compare(order.at(&b)) })
						want[i].Reason, want[i].InDoubt = reasonBrokenOff, true
						want[i].Status, want[i].TaskID = verdict.Unsent, ""
					}
				default:
					random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
					err = l.Entry(run).Aside(rows)
				}
				if err != nil {
					t.Fatal(err)
				}
			}

			var got []verdict.Verdict
			if err := l.Rows(ctx, run, func(rows []verdict.Verdict) error { got = append(got, rows...); return nil }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
		})
	})
}

// What a merge keeps is what overlaps, not all rows.
func TestAMergeKeepsOnlyWhatOverlaps(t *testing.T) {
	given := 0
	m := merge{numbers: numbering{names: []string{""}}, yield: func(rows []verdict.Verdict) error { given += len(rows); return nil }}
	const parts, size = 100, 10
	for part := range parts {
		rows := m.buffer()[:0]
		for i := range size {
			rows = append(rows, verdict.Verdict{Position: verdict.Position{Record: int64(part*size + i)}})
		}
		if err := m.until(m.at(&rows[0])); err != nil {
			t.Fatal(err)
		}
		m.add(rows)
		if len(m.lists) != 1 || len(m.free) > 1 {
			t.Fatalf("%d lists and %d free buffers after part %d", len(m.lists), len(m.free), part)
		}
	}
	if err := m.until(last); err != nil {
		t.Fatal(err)
	}
	if err := m.flush(); err != nil {
		t.Fatal(err)
	}
	if given != parts*size {
		t.Errorf("%d rows were given, want %d", given, parts*size)
	}
}
