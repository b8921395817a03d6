package identity_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"poolfill/internal/identity"
)

func of(t *testing.T, task string) identity.Key {
	t.Helper()
	key, err := identity.Of([]byte(task), identity.Defaults{Overlap: 3})
	if err != nil {
		t.Fatalf("%s: %v", task, err)
	}
	return key
}

func TestTasksThatAreTheSame(t *testing.T) {
	for _, c := range []struct{ name, a, b string }{
		{"order of members", `{"input_values":{"a":"1","b":"2"},"overlap":2}`, `{"overlap":2,"input_values":{"b":"2","a":"1"}}`},
		{"what the server adds", `{"input_values":{"a":"1"}}`, `{"id":"00a","pool_id":"7","created":"2026-01-01T00:00:00","remaining_overlap":3,"overlap":3,"infinite_overlap":false,"input_values":{"a":"1"},"reserved_for":[],"unavailable_for":[],"traits_all_of":[],"traits_any_of":[],"traits_none_of_any":[],"known_solutions":[],"baseline_solutions":null}`},
		{"our index", `{"input_values":{"a":"1"},"__item_idx":"4"}`, `{"input_values":{"a":"1"},"__item_idx":"5"}`},
		{"the pool's overlap", `{"input_values":{"a":"1"}}`, `{"input_values":{"a":"1"},"overlap":3}`},
		{"an endless overlap", `{"input_values":{"a":"1"},"infinite_overlap":true}`, `{"input_values":{"a":"1"},"infinite_overlap":true,"overlap":null}`},
		{"a full weight", `{"known_solutions":[{"output_values":{"r":"x"}}]}`, `{"known_solutions":[{"output_values":{"r":"x"},"correctness_weight":1.0}]}`},
		{"numbers", `{"input_values":{"a":12.50,"b":100,"c":-0.10,"d":0}}`, `{"input_values":{"a":12.5,"b":1e2,"c":-1E-1,"d":0.0}}`},
		{"escapes", `{"input_values":{"a":"caf\u00e9 \/ \ud83d\ude00 \"x\""}}`, `{"input_values":{"a":"café / 😀 \"x\""}}`},
		{"null fields", `{"input_values":{"a":"1"}}`, `{"input_values":{"a":"1","b":null}}`},
		{"order of users", `{"reserved_for":["u1","u2"]}`, `{"reserved_for":["u2","u1"]}`},
		{"blanks", `{"input_values":{"a":[1,2]}}`, " {\n \"input_values\" : { \"a\" : [ 1 , 2 ] } }\n"},
		{"no hint", `{"input_values":{"a":"1"}}`, `{"input_values":{"a":"1"},"message_on_unknown_solution":""}`},
	} {
		if of(t, c.a) != of(t, c.b) {
			t.Errorf("%s: %s and %s have different keys", c.name, c.a, c.b)
		}
	}
}

func TestTasksThatAreNotTheSame(t *testing.T) {
	all := []string{
		`{"input_values":{"a":"1"}}`,
		`{"input_values":{"a":1}}`,
		`{"input_values":{"a":"1","b":"1"}}`,
		`{"input_values":{"b":"1"}}`,
		`{"input_values":{"a":["1"]}}`,
		`{"input_values":{"a":["1","2"]}}`,
		`{"input_values":{"a":["2","1"]}}`,
		`{"input_values":{"a":[["1"],"2"]}}`,
		`{"input_values":{"a":{"1":"2"}}}`,
		`{"input_values":{"a":{"2":"1"}}}`,
		`{"input_values":{"a":true}}`,
		`{"input_values":{"a":false}}`,
		`{"input_values":{"a":"true"}}`,
		`{"input_values":{"a":""}}`,
		`{"input_values":{"a":" 1"}}`,
		`{"input_values":{"a":"1"},"overlap":2}`,
		`{"input_values":{"a":"1"},"infinite_overlap":true}`,
		`{"input_values":{"a":"1"},"reserved_for":["u1"]}`,
		`{"input_values":{"a":"1"},"reserved_for":["u2"]}`,
		`{"input_values":{"a":"1"},"unavailable_for":["u1"]}`,
		`{"input_values":{"a":"1"},"traits_all_of":["u1"]}`,
		`{"input_values":{"a":"1"},"traits_any_of":["u1"]}`,
		`{"input_values":{"a":"1"},"traits_none_of_any":["u1"]}`,
		`{"input_values":{"a":"1"},"known_solutions":[{"output_values":{"r":"x"}}]}`,
		`{"input_values":{"a":"1"},"known_solutions":[{"output_values":{"r":"x"},"correctness_weight":0.5}]}`,
		`{"input_values":{"a":"1"},"known_solutions":[{"output_values":{"r":"x"}},{"output_values":{"r":"y"}}]}`,
		`{"input_values":{"a":"1"},"known_solutions":[{"output_values":{"r":"x"}},{"output_values":{"r":"x"}}]}`,
		`{"input_values":{"a":"1"},"baseline_solutions":[{"output_values":{"r":"x"}}]}`,
		`{"input_values":{"a":"1"},"message_on_unknown_solution":"x"}`,
	}
	seen := map[identity.Key]string{}
	for _, task := range all {
		key := of(t, task)
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have one key", task, other)
		}
		seen[key] = task
	}
}

func TestWhatIsNoTaskFails(t *testing.T) {
	for _, text := range []string{``, `[]`, `"x"`, `{`, `{"a"`, `{"a":`, `{"input_values":{"a":"1}}`, `{"input_values":{"a":"1"}} x`, `{"input_values":tru}`, `{"known_solutions":"x"}`, `{"reserved_for":[`} {
		if _, err := identity.Of([]byte(text), identity.Defaults{}); err == nil {
			t.Errorf("%q has a key", text)
		}
	}
}

func TestMembersOneByOneAreTheTask(t *testing.T) {
	var sum identity.Sum
	sum.Add(identity.Task, []byte(`"reserved_for":["u1","u2"]`))
	sum.Add(identity.Known(0), []byte(`"output_values"`))
	sum.Add(identity.Known(0), []byte(`"r":"x"`))
	sum.Add(identity.Inputs, []byte(`"b":12.5`))
	sum.Add(identity.Inputs, []byte(`"a":"1"`))
	sum.AddOverlap(0, identity.Defaults{Overlap: 3})
	want := of(t, `{"input_values":{"a":"1","b":12.50},"known_solutions":[{"output_values":{"r":"x"}}],"reserved_for":["u2","u1"]}`)
	if sum.Key() != want {
		t.Errorf("%x, want %x", sum.Key(), want)
	}
}

// TestKeysStay holds the keys that ledgers have.
func TestKeysStay(t *testing.T) {
	for task, want := range map[string]string{
		`{"input_values":{"a":"1"}}`: "751222f9546f3b44bc8d00e814545dfb",
		`{"input_values":{"a":"1","b":[1,2.50,{"c":null,"d":"\u00e9"}]},"known_solutions":[{"output_values":{"r":"x"},"correctness_weight":0.5}],"baseline_solutions":[{"output_values":{}}],"message_on_unknown_solution":"h","infinite_overlap":true,"unavailable_for":["u"]}`: "2fa8440941f0fac5cccb91896321cce3",
	} {
		if got := fmt.Sprintf("%x", of(t, task)); got != want {
			t.Errorf("%s: %s, want %s", task, got, want)
		}
	}
}

// TestAKeyIsThatOfTheValue compares keys with the values that encoding/json and
// math/big read, whatever form the JSON has.
func TestAKeyIsThatOfTheValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := values().Draw(t, "a"), values().Draw(t, "b")
		if rapid.Bool().Draw(t, "same") {
			b = a
		}
		one, two := write(t, a), write(t, b)
		keyA, errA := identity.Of([]byte(`{"input_values":`+one+`}`), identity.Defaults{})
		keyB, errB := identity.Of([]byte(`{"input_values":`+two+`}`), identity.Defaults{})
		if errA != nil || errB != nil {
			t.Fatalf("%s, %s: %v, %v", one, two, errA, errB)
		}
		if equal := plain(t, one) == plain(t, two); equal != (keyA == keyB) {
			t.Fatalf("%s and %s: equal is %v, their keys say %v", one, two, equal, keyA == keyB)
		}
	})
}

func values() *rapid.Generator[any] {
	text := rapid.SampledFrom([]string{"", "a", "b", "é", "\"", "\\", "/", "😀", "1", "\u2028"})
	number := rapid.SampledFrom([]json.Number{"0", "1", "10", "12.5", "-3", "1e3", "0.001", "123456789012345678901234567890"})
	var any1 *rapid.Generator[any]
	any1 = rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return text.Draw(t, "text")
		case 1:
			return number.Draw(t, "number")
		case 2:
			return rapid.Bool().Draw(t, "bool")
		case 3:
			return rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return any1 }), 0, 3).Draw(t, "list")
		default:
			return rapid.MapOfN(text, rapid.Deferred(func() *rapid.Generator[any] { return any1 }), 0, 3).Draw(t, "object")
		}
	})
	return rapid.Custom(func(t *rapid.T) any {
		return rapid.MapOfN(text, any1, 0, 3).Draw(t, "top")
	})
}

// write writes a value as JSON in one of many forms.
func write(t *rapid.T, v any) string {
	blank := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
	switch v := v.(type) {
	case string:
		var b strings.Builder
		for _, r := range v {
			switch {
			case r == '"' || r == '\\':
				b.WriteString(`\` + string(r))
			case r < 0x10000 && rapid.Bool().Draw(t, "escape"):
				fmt.Fprintf(&b, `\u%04x`, r)
			default:
				b.WriteRune(r)
			}
		}
		return `"` + b.String() + `"`
	case json.Number:
		f, _ := new(big.Rat).SetString(string(v))
		if f.IsInt() && rapid.Bool().Draw(t, "fraction") {
			return f.Num().String() + ".00"
		}
		return string(v)
	case bool:
		return fmt.Sprint(v)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = blank.Draw(t, "blank") + write(t, v[i])
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		var parts []string
		for name := range v {
			parts = append(parts, name)
		}
		slices.Sort(parts)
		if len(parts) > 1 && rapid.Bool().Draw(t, "order") {
			slices.Reverse(parts)
		}
		for i, name := range parts {
			parts[i] = write(t, name) + blank.Draw(t, "blank") + ":" + blank.Draw(t, "blank") + write(t, v[name])
		}
		return "{" + strings.Join(parts, ",") + blank.Draw(t, "blank") + "}"
	}
	panic("no such value")
}

// plain is a value in one form, made by other means than the key is.
func plain(t *rapid.T, text string) string {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var exact func(v any) any
	exact = func(v any) any {
		switch v := v.(type) {
		case json.Number:
			f, _ := new(big.Rat).SetString(string(v))
			return map[string]any{"number": f.String()}
		case []any:
			for i := range v {
				v[i] = exact(v[i])
			}
		case map[string]any:
			for name := range v {
				v[name] = exact(v[name])
			}
		}
		return v
	}
	out, err := json.Marshal(exact(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(out))
}

func BenchmarkSum(b *testing.B) {
	members := [][]byte{
		[]byte(`"image":"https://example.com/pictures/00000123456789/large.jpg"`),
		[]byte(`"text":"A sentence of some length that people are to look at"`),
		[]byte(`"lang":"en"`),
	}
	b.ReportAllocs()
	for b.Loop() {
		var sum identity.Sum
		for _, m := range members {
			sum.Add(identity.Inputs, m)
		}
		sum.AddOverlap(3, identity.Defaults{})
		if sum.Key() == (identity.Key{}) {
			b.Fatal("no key")
		}
	}
}

func BenchmarkOf(b *testing.B) {
	task := []byte(`{"input_values":{"image":"https://example.com/pictures/00000123456789/large.jpg","text":"A sentence of some length that people are to look at","lang":"en"},"overlap":3}`)
	b.SetBytes(int64(len(task)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := identity.Of(task, identity.Defaults{Overlap: 3}); err != nil {
			b.Fatal(err)
		}
	}
}
