package reader_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"poolfill/internal/identity"
	"poolfill/reader"
)

// TestTheContentOfATaskIsThatOfItsJSON compares what is summed up while a task is
// made with what is read of its JSON.
func TestTheContentOfATaskIsThatOfItsJSON(t *testing.T) {
	spec := &reader.Spec{
		Input: map[string]reader.FieldSpec{
			"s": {Type: reader.TypeString}, "n": {Type: reader.TypeFloat}, "i": {Type: reader.TypeInteger},
			"b": {Type: reader.TypeBoolean}, "j": {Type: reader.TypeJSON}, "a": {Type: "array_string"}, "m": {Type: "array_float"},
		},
		Output: map[string]reader.FieldSpec{"r": {Type: reader.TypeString}, "x": {Type: reader.TypeFloat}},
	}
	cells := map[string][]string{
		"INPUT:s": {"", "a", "é", `say "x" \ y`, "two\nlines", "a\tb", "<&>\u2028", "😀"},
		"INPUT:n": {"", "1", "1.50", "-0.0", "+7", "100", "1e3", "0.00012"},
		"INPUT:i": {"", "0", "10", "-5", "9007199254740993"},
		"INPUT:b": {"", "true", "false"},
		"INPUT:j": {"", `{"b":1.0,"a":null}`, `["x",{}]`, "null", `"text\u0041"`, "12.0"},
		"INPUT:a": {"", "x,y", `"a,b",c`}, "INPUT:m": {"", "1.0,2", "3"},
		"GOLDEN:r": {"", "cat"}, "GOLDEN[2]:r": {"", "dog"}, "GOLDEN:x": {"", "2.50"},
		"GOLDEN:correctness_weight": nil, "BASELINE[1]:r": {"", "cat"},
		"HINT:text": {"", "look closer"}, "TASK:overlap": {"", "3", "7", "infinite"},
		"TASK:reserved_for": {"", "u2,u1"}, "TASK:unavailable_for": {"", "u1"}, "TASK:traits_any_of": {"", "t"},
	}
	var columns []string
	for name, values := range cells {
		if values != nil {
			columns = append(columns, name)
		}
	}
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.Permutation(columns).Draw(t, "columns")
		var header, row []string
		for _, name := range order {
			header = append(header, name)
			row = append(row, quote(rapid.SampledFrom(cells[name]).Draw(t, name)))
		}
		text := strings.Join(header, "\t") + "\n" + strings.Join(row, "\t") + "\n"
		r, err := reader.New("f.tsv", strings.NewReader(text), reader.Config{Spec: spec, Contents: true, Parallel: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		one, err := r.Next()
		if errors.Is(err, io.EOF) || one.Err != nil || err != nil {
			t.Skip("no task")
		}
		d := identity.Defaults{Overlap: 3}
		want, err := identity.Of([]byte("{"+string(one.Task.JSON)+"}"), d)
		if err != nil {
			t.Fatal(err)
		}
		sum := identity.Sum(one.Task.Content)
		sum.AddOverlap(one.Task.Overlap, d)
		if sum.Key() != want {
			t.Fatalf("%s", one.Task.JSON)
		}
	})
}
