package uploader

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"poolfill/batcher"
)

func TestOperationIDsAreNamesForContent(t *testing.T) {
	base := OperationName{PoolID: "12", RunKey: "run", Place: batcher.Key{3}, Base: 1, Len: 55, Sum: batcher.Key{1, 2, 3}}
	// Were this value to change, uploads that are under way would be doubled.
	if got, want := OperationID(base), "00e02b93-80fb-5ae8-8260-e983afabe4ac"; got != want {
		t.Errorf("the id is %s, want %s", got, want)
	}
	seen := map[string]string{OperationID(base): "base"}
	for name, change := range map[string]func(*OperationName){
		"pool":                 func(n *OperationName) { n.PoolID = "1" },
		"run":                  func(n *OperationName) { n.RunKey = "other" },
		"border of the names":  func(n *OperationName) { n.PoolID, n.RunKey = `12" "run`, "" },
		"place":                func(n *OperationName) { n.Place[15] = 1 },
		"base":                 func(n *OperationName) { n.Base = 0 },
		"length":               func(n *OperationName) { n.Len = 6 },
		"content":              func(n *OperationName) { n.Sum[15] = 1 },
		"generation":           func(n *OperationName) { n.Generation = 1 },
		"border of the counts": func(n *OperationName) { n.Base, n.Len = 15, 5 },
	} {
		n := base
		change(&n)
		id := OperationID(n)
		if other, ok := seen[id]; ok {
			t.Errorf("another %s gives the id of another %s", name, other)
		}
		seen[id] = name
	}
}

func TestSubsetsAreOfTheChunk(t *testing.T) {
	c := chunkOf(t, true, "a", "b", "c")
	all := only(c, []int{0, 1, 2})
	if string(all.body) != string(c.Body()) || all.sum != c.Sum() || !slices.Equal(all.rows, []int{0, 1, 2}) {
		t.Errorf("all rows are not the chunk but %+v", all)
	}
	for _, rows := range [][]int{{1, 2}, {0}, {}} {
		var want []json.RawMessage
		var keys []batcher.Key
		for _, row := range rows {
			want, keys = append(want, items(c.Body())[row]), append(keys, c.Keys()[row])
		}
		s := only(c, rows)
		if fmt.Sprint(items(s.body)) != fmt.Sprint(want) || s.sum != batcher.SumOf(keys) || !json.Valid(s.body) {
			t.Errorf("the subset of the rows %v is %s", rows, s.body)
		}
	}
}
