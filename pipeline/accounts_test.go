package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"poolfill/batcher"
	"poolfill/reader/verdict"
)

// keyOfContent is a key that stands for a content.
func keyOfContent(content int) batcher.Key {
	return batcher.Key{byte(content >> 16), byte(content >> 8), byte(content)}
}

// ledgerRow is a row in a test: what it holds, and under which id the ledger has its task.
type ledgerRow struct {
	content int
	id      string
}

func claimsOf(rows []ledgerRow) claims {
	return func(yield func(claim) error) error {
		for i, r := range rows {
			row := verdict.Position{File: "a.tsv", Line: int64(i) + 2, Record: int64(i) + 1}
			if err := yield(claim{ours: true, key: keyOfContent(r.content), id: r.id, row: row}); err != nil {
				return err
			}
		}
		return nil
	}
}

// settled are the differences as texts, sorted: the kind, the row and the id.
func settled(t interface {
	Helper()
	Fatal(...any)
}, a *accounts, all claims,
) (found []string, counts Accounts) {
	t.Helper()
	a.arrange()
	counts, err := a.settle(all, func(d Difference) error {
		found = append(found, fmt.Sprint(d.Kind, " ", d.Record, " ", d.TaskID))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found, counts
}

func TestVerifyNamesExactlyTheDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Each content is that of some rows. Ids are those of the tasks in the order
		// of creation, which isn't that of the rows.
		contents := rapid.SliceOfN(rapid.IntRange(1, 4), 0, 8).Draw(t, "rows of each content")
		var order []int // the content of each row
		for content, n := range contents {
			order = append(order, slices.Repeat([]int{content}, n)...)
		}
		order = rapid.Permutation(order).Draw(t, "order")
		ids := make([]string, len(order)) // of the rows' tasks
		for i, n := range rapid.Permutation(upTo(len(order))).Draw(t, "ids") {
			ids[i] = fmt.Sprintf("%04d", n)
		}
		tasks := map[string]int{} // the content of each
		for i, content := range order {
			tasks[ids[i]] = content
		}
		next := len(order)
		create := func(content int) string {
			id := fmt.Sprintf("%04d", next)
			next++
			tasks[id] = content
			return id
		}
		var want []string
		for i := range order {
			switch rapid.SampledFrom([]string{"", "", "removed", "changed"}).Draw(t, "damage") {
			case "removed":
				delete(tasks, ids[i])
				want = append(want, fmt.Sprint("missing ", i+1, " ", ids[i]))
			case "changed":
				tasks[ids[i]] = 1000 + i
				want = append(want, fmt.Sprint("changed ", i+1, " ", ids[i]))
			}
		}
		for content, n := range contents {
			first := slices.Index(order, content)
			whole := func() bool {
				for i, c := range order {
					if _, there := tasks[ids[i]]; c == content && !there {
						return false
					}
				}
				return true
			}
			if n == 0 || !whole() { // a double would be the task of the row that has none
				continue
			}
			for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "doubles") {
				want = append(want, fmt.Sprint("doubled ", first+1, " ", create(content)))
			}
		}
		for range rapid.IntRange(0, 3).Draw(t, "foreign") {
			want = append(want, "foreign 0 "+create(2000))
		}
		slices.Sort(want)

		rows := make([]ledgerRow, len(order))
		for i := range order {
			rows[i] = ledgerRow{order[i], ids[i]}
		}
		a := &accounts{}
		for _, id := range rapid.Permutation(slices.Sorted(maps.Keys(tasks))).Draw(t, "listed") {
			a.add(keyOfContent(tasks[id]), id)
		}
		found, counts := settled(t, a, claimsOf(rows))
		if !slices.Equal(found, want) {
			t.Fatalf("found %q, want %q", found, want)
		}
		if counts.Tasks != int64(len(tasks)) || counts.Rows != int64(len(rows)) || counts.Differences() != int64(len(want)) {
			t.Fatalf("%+v of %d tasks, %d rows and %d differences", counts, len(tasks), len(rows), len(want))
		}
	})
}

// Where the ledger has no ids, equal rows are counted.
func TestVerifyCountsRowsWithoutIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := rapid.IntRange(0, 3)
		rows, tasks := rapid.SliceOf(content).Draw(t, "rows"), rapid.SliceOf(content).Draw(t, "tasks")
		var surplus, foreign, missing int
		for c := range 4 {
			of := func(all []int) (n int) {
				for _, one := range all {
					if one == c {
						n++
					}
				}
				return n
			}
			switch n := of(tasks) - of(rows); {
			case n < 0:
				missing -= n
			case of(rows) == 0:
				foreign += n
			default:
				surplus += n
			}
		}
		a := &accounts{}
		for i, c := range tasks {
			a.add(keyOfContent(c), fmt.Sprint(i))
		}
		listed := make([]ledgerRow, len(rows))
		for i, c := range rows {
			listed[i].content = c
		}
		_, got := settled(t, a, claimsOf(listed))
		want := Accounts{Tasks: int64(len(tasks)), Rows: int64(len(rows)), Missing: int64(missing), Doubled: int64(surplus), Foreign: int64(foreign)}
		if got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	})
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestVerifyTellsWhoseATaskIs(t *testing.T) {
	const apes, bees = 1, 2
	ape, bee := keyOfContent(apes), keyOfContent(bees)
	row := func(record int64) verdict.Position { return verdict.Position{Record: record} }
	for _, tc := range []struct {
		name   string
		tasks  []ledgerRow
		claims []claim
		want   []string
		counts Accounts
	}{
		{
			"two rows have each other's ids",
			[]ledgerRow{{apes, "1"}, {bees, "2"}},
			[]claim{{ours: true, key: ape, id: "2", row: row(1)}, {ours: true, key: bee, id: "1", row: row(2)}},
			[]string{"changed 1 2", "changed 2 1"},
			Accounts{Rows: 2, Changed: 2},
		},
		{
			"two rows have one id",
			[]ledgerRow{{apes, "1"}, {bees, "2"}},
			[]claim{{ours: true, key: ape, id: "1", row: row(1)}, {ours: true, key: bee, id: "1", row: row(2)}},
			[]string{"changed 2 1"},
			Accounts{Rows: 2, Changed: 1},
		},
		{
			"pairs of equal rows have each other's ids",
			[]ledgerRow{{apes, "1"}, {apes, "2"}, {bees, "3"}, {bees, "4"}},
			[]claim{
				{ours: true, key: ape, id: "3", row: row(1)},
				{ours: true, key: ape, id: "4", row: row(2)},
				{ours: true, key: bee, id: "1", row: row(3)},
				{ours: true, key: bee, id: "2", row: row(4)},
			},
			[]string{"changed 1 3", "changed 2 4", "changed 3 1", "changed 4 2"},
			Accounts{Rows: 4, Changed: 4},
		},
		{
			"two equal rows have one id",
			[]ledgerRow{{apes, "1"}, {apes, "2"}},
			[]claim{{ours: true, key: ape, id: "1", row: row(1)}, {ours: true, key: ape, id: "1", row: row(2)}},
			nil,
			Accounts{Rows: 2},
		},
		{
			"and there is one task for both",
			[]ledgerRow{{apes, "1"}},
			[]claim{{ours: true, key: ape, id: "1", row: row(1)}, {ours: true, key: ape, id: "1", row: row(2)}},
			[]string{"missing 2 1"},
			Accounts{Rows: 2, Missing: 1},
		},
		{
			"and the other's task is not there",
			[]ledgerRow{{apes, "1"}},
			[]claim{{ours: true, key: ape, id: "1", row: row(1)}, {ours: true, key: bee, id: "1", row: row(2)}},
			[]string{"missing 2 1"},
			Accounts{Rows: 2, Missing: 1},
		},
		{
			"a changed task and an equal row without an id",
			[]ledgerRow{{bees, "1"}, {apes, "2"}},
			[]claim{{ours: true, key: ape, id: "1", row: row(1)}, {ours: true, key: ape, row: row(2)}},
			[]string{"changed 1 1"},
			Accounts{Rows: 2, Changed: 1},
		},
		{
			"rows of other runs have their tasks",
			[]ledgerRow{{apes, "1"}, {apes, "2"}, {bees, "3"}},
			[]claim{{key: ape, id: "1"}, {key: bee, id: "3"}, {ours: true, key: ape, id: "2", row: row(1)}},
			nil,
			Accounts{Rows: 1},
		},
		{
			"what is double of another run's is foreign to this one",
			[]ledgerRow{{bees, "1"}, {bees, "2"}},
			[]claim{{key: bee, id: "1"}},
			[]string{"foreign 0 2"},
			Accounts{Foreign: 1},
		},
		{
			"of equal rows the run's own is missing",
			[]ledgerRow{{apes, "1"}},
			[]claim{{key: ape}, {ours: true, key: ape, row: row(1)}},
			[]string{"missing 1 "},
			Accounts{Rows: 1, Missing: 1},
		},
		{
			"rows in doubt may have tasks",
			[]ledgerRow{{apes, "1"}, {apes, "2"}, {apes, "3"}},
			[]claim{
				{ours: true, key: ape, id: "2", row: row(1)},
				{kind: doubtfulRow, ours: true, key: ape, row: row(2)},
				{kind: doubtfulRow, ours: true, key: bee, row: row(3)},
			},
			[]string{"doubled 1 3"},
			Accounts{Rows: 1, Doubled: 1, InDoubt: 2, Found: 1},
		},
		{
			"what is known by its id is not foreign",
			[]ledgerRow{{apes, "1"}, {bees, "2"}},
			[]claim{{kind: knownID, id: "1"}, {kind: knownID, id: "2"}, {kind: knownID, id: "3"}},
			nil,
			Accounts{},
		},
		{
			"a task that is listed twice is one",
			[]ledgerRow{{apes, "1"}, {apes, "1"}},
			[]claim{{ours: true, key: ape, id: "1", row: row(1)}},
			nil,
			Accounts{Rows: 1},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := &accounts{}
			ids := map[string]bool{}
			for _, task := range tc.tasks {
				a.add(keyOfContent(task.content), task.id)
				ids[task.id] = true
			}
			found, counts := settled(t, a, func(yield func(claim) error) error {
				for _, c := range tc.claims {
					if err := yield(c); err != nil {
						return err
					}
				}
				return nil
			})
			tc.counts.Tasks = int64(len(ids))
			if !slices.Equal(found, tc.want) || counts != tc.counts {
				t.Errorf("found %q and %+v; want %q and %+v", found, counts, tc.want, tc.counts)
			}
		})
	}
}

// The bound that the comment on accounts names.
func TestAccountsAreSmall(t *testing.T) {
	if size := unsafe.Sizeof(poolTask{}); size != 28 {
		t.Errorf("a task takes %d bytes besides its id and its place", size)
	}
	const n, idLength = 100_000, 36
	rows := make([]ledgerRow, n)
	a := &accounts{}
	for i := range rows {
		rows[i] = ledgerRow{i, fmt.Sprintf("%036d", i)}
		a.add(keyOfContent(i), rows[i].id)
	}
	a.arrange()
	all := claimsOf(rows)
	passes := 0
	counting := func(yield func(claim) error) error { passes++; return all(yield) }
	allocated := testing.AllocsPerRun(1, func() {
		passes = 0
		for i := range a.tasks {
			a.tasks[i].whose = nobodys
		}
		if counts, err := a.settle(counting, func(Difference) error { return nil }); err != nil || counts.Rows != n {
			t.Fatalf("%+v, %v", counts, err)
		}
	})
	if passes != 1 {
		t.Errorf("the rows were read %d times", passes)
	}
	if allocated > 100 {
		t.Errorf("%v allocations for %d tasks", allocated, n)
	}
	if len(a.ids) != n*idLength || len(a.byKey) != n || len(a.tasks) != n {
		t.Errorf("%d tasks, %d places and %d bytes of ids", len(a.tasks), len(a.byKey), len(a.ids))
	}
}

// Tasks that are all alike take no longer than others.
func TestEqualTasksAreSettledInTurn(t *testing.T) {
	const n = 200_000
	a := &accounts{}
	for i := range n {
		a.add(keyOfContent(1), fmt.Sprintf("%08d", i))
	}
	a.arrange()
	counts, err := a.settle(claimsOf(slices.Repeat([]ledgerRow{{content: 1}}, n-1)), func(Difference) error { return nil })
	if want := (Accounts{Tasks: n, Rows: n - 1, Doubled: 1}); err != nil || counts != want {
		t.Errorf("%+v, %v; want %+v", counts, err, want)
	}
}
