package toloka

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"poolfill/internal/identity"
	"poolfill/reader/verdict"
)

func TestErrorsOfItemsComeInManyShapes(t *testing.T) {
	for _, tc := range []struct {
		name, payload string
		items         map[int]string
		flat          string
	}{
		{"keyed by place", `{"3":{"input_values.a":{"code":"C","message":"m","params":["x"]},"overlap":{"code":"D"}}}`, map[int]string{3: "input_values.a:C:m overlap:D:"}, ""},
		{"keyed by place and field", `{"3.input_values.a":{"code":"C"},"3.b":{"code":"D"}}`, map[int]string{3: "b:D: input_values.a:C:"}, ""},
		{"flat", `{"input_values.a":{"code":"C","message":"m"},"b":{"code":"D"}}`, nil, "b:D: input_values.a:C:m"},
		{"within validation_errors", `{"validation_errors":{"0":{"a":{"code":"C"}},"b":{"code":"D"}}}`, map[int]string{0: "a:C:"}, "b:D:"},
		{"nested fields", `{"0":{"input_values":{"a":{"code":"C"}}}}`, map[int]string{0: "input_values.a:C:"}, ""},
		{"lists of errors", `{"0":{"a":[{"code":"C"},{"code":"D"}]}}`, map[int]string{0: "a:C: a:D:"}, ""},
		{"plain texts", `{"0":"bad","a":"worse"}`, map[int]string{0: ":VALIDATION_ERROR:bad"}, "a:VALIDATION_ERROR:worse"},
		{"fields called code and message", `{"0":{"code":{"code":"C"},"message":{"code":"D"}}}`, map[int]string{0: "code:C: message:D:"}, ""},
		{"an error with a payload", `{"0":{"code":"V","message":"m","payload":{"input_values.a":{"code":"C"},"input_values.b":{"code":"D"}}}}`, map[int]string{0: "input_values.a:C: input_values.b:D:"}, ""},
		{"an error with a payload that says nothing", `{"0":{"code":"V","message":"m","payload":{"a":5}}}`, map[int]string{0: ":V:m"}, ""},
		{"an error of a whole item", `{"0":{"code":"C","message":"m"}}`, map[int]string{0: ":C:m"}, ""},
		{"nothing to read", `{"0":null,"1":5,"a":true,"b":""}`, map[int]string{0: "", 1: ""}, ""},
		{"a negative place", `{"-1":{"code":"C"}}`, nil, "-1:C:"},
		{"no object", `["a"]`, nil, ""},
		{"cut off", `{"0":{"a":{"code":"C"}},"1":{"a":{"co`, nil, ""},
		{"nothing", ``, nil, ""},
		{"endless nesting", `{"a":` + strings.Repeat(`{"a":`, 50) + `{"code":"C"}` + strings.Repeat("}", 51), nil, ""},
	} {
		var payload any
		_ = json.Unmarshal([]byte(tc.payload), &payload)
		byItem, flat := itemFindings(payload)
		items := map[int]string{}
		for i, errs := range byItem {
			items[i] = list1(errs)
		}
		if !maps.Equal(items, tc.items) || list1(flat) != tc.flat {
			t.Errorf("%s: items %v, flat %q", tc.name, items, list1(flat))
		}
	}
}

func list1(errs []verdict.Finding) string {
	var parts []string
	for _, e := range errs {
		parts = append(parts, e.Path+":"+e.Code+":"+e.Message)
	}
	return strings.Join(parts, " ")
}

func TestErrorAnswersAreNeverTakenForJSON(t *testing.T) {
	for _, tc := range []struct{ body, code, message, id, payload string }{
		{`{"request_id":"r","code":"C","message":"m","payload":{"interval":"MIN"},"more":[1]}`, "C", "m", "r", `{"interval":"MIN"}`},
		{`{"code":"C","message":null,"payload":null}`, "C", "", "", ""},
		{`{"code":5}`, "", "", "", ""},
		{html502, "", "", "", ""},
		{`[1]`, "", "", "", ""},
		{``, "", "", "", ""},
		{`{"code":"C","payload":{"a":`, "C", "", "", ""},
		{`{"message":"` + strings.Repeat("é", 400) + `"}`, "", strings.Repeat("é", 250) + "…", "", ""},
	} {
		code, message, id, payload := errorAnswer([]byte(tc.body))
		if code != tc.code || message != tc.message || id != tc.id || string(payload) != tc.payload {
			t.Errorf("%.60s gives %q %q %q %q", tc.body, code, message, id, payload)
		}
	}
	for payload, want := range map[string]string{`{"interval":"MIN"}`: "MIN", `{"a":1,"interval":5}`: "", `[]`: "", ``: ""} {
		if got := intervalOf([]byte(payload)); got != want {
			t.Errorf("the interval of %s is %q", payload, got)
		}
	}
}

// createdBy reads the answer to a synchronous upload of n tasks.
func createdBy(r io.Reader, n int) (ids map[int]string, refused map[int][]verdict.Finding, err error) {
	return createdWith(new(decoders), r, n)
}

// echoed is what every task of the tests' answers was sent with, if they have it.
func echoed(index int) []byte {
	if index < 0 {
		return nil
	}
	return []byte(echoedInputs)
}

const echoedInputs = `"input_values":{"id":"no","__item_idx":7,"x":"\"}"}`

func createdWith(p *decoders, r io.Reader, n int) (ids map[int]string, refused map[int][]verdict.Finding, err error) {
	ids, refused = map[int]string{}, map[int][]verdict.Finding{}
	err = p.answer(r, n, echoed, func(items iter.Seq[Item]) {
		for item := range items {
			if item.Created {
				ids[item.Index] = item.ID
			} else {
				refused[item.Index] = item.Findings
			}
		}
	})
	return ids, refused, err
}

// logged reads the log of an operation.
func logged(r io.Reader) (entries []Item, err error) {
	var p decoders
	err = p.log(r, Tasks(), 1, echoed, func(all iter.Seq[Item]) { entries = slices.Collect(all) })
	return entries, err
}

// What is repeated to the letter is passed over as a whole, where it stands as it
// was sent and where it doesn't.
func TestWhatALogRepeatsIsPassedOver(t *testing.T) {
	for _, input := range []string{
		`{"pool_id":"1","__item_idx":"3",` + echoedInputs + `}`,
		`{` + echoedInputs + `,"__item_idx":3}`,
		`{"__item_idx":1,` + echoedInputs + `,"overlap":3,"__item_idx":"3"}`,
		`{"__item_idx":"3","input_values":{"id":"no","__item_idx":8,"x":"\"}"}}`,
	} {
		entries, err := logged(strings.NewReader(`[{"type":"TASK_CREATE","success":true,"input":` + input + `,"output":{"task_id":"t"}}]`))
		if err != nil || len(entries) != 1 || entries[0].Index != 3 || entries[0].ID != "t" {
			t.Errorf("%s gives %+v, %v", input, entries, err)
		}
	}
}

func TestWhoseFaultARefusalIs(t *testing.T) {
	for _, tc := range []struct {
		name, code, payload string
		kind                Kind
		request             bool
	}{
		{"no payload", "VALIDATION_ERROR", ``, KindInvalid, true},
		{"an empty one", "VALIDATION_ERROR", `{}`, KindInvalid, true},
		{"null", "VALIDATION_ERROR", `null`, KindInvalid, true},
		{"a parameter", "VALIDATION_ERROR", `{"allow_defaults":{"code":"VALUE_NOT_ALLOWED","message":"unknown parameter"}}`, KindInvalid, true},
		{"the body", "VALIDATION_ERROR", `{"body":{"code":"ARRAY_EXPECTED"}}`, KindInvalid, true},
		{"the pool", "VALIDATION_ERROR", `{"pool_id":{"code":"VALUE_NOT_ALLOWED"}}`, KindInvalid, true},
		{"the pool of each task", "VALIDATION_ERROR", `{"0":{"pool_id":{"code":"C"}},"1":{"pool_id":{"code":"C"}}}`, KindInvalid, true},
		{"the index of each task", "VALIDATION_ERROR", `{"0":{"__item_idx":{"code":"VALUE_NOT_ALLOWED"}}}`, KindInvalid, true},
		{"another code", "MIXER_CONFIG_REQUIRED", ``, KindInvalid, true},
		{"a field of a task", "VALIDATION_ERROR", `{"0":{"input_values.image":{"code":"VALUE_REQUIRED"}}}`, KindInvalid, false},
		{"fields by place and name", "VALIDATION_ERROR", `{"3.input_values.image":{"code":"VALUE_REQUIRED"}}`, KindInvalid, false},
		{"a field of some task", "VALIDATION_ERROR", `{"input_values.image":{"code":"VALUE_REQUIRED"}}`, KindInvalid, false},
		{"nested fields", "VALIDATION_ERROR", `{"input_values":{"image":{"code":"VALUE_REQUIRED"}}}`, KindInvalid, false},
		{"solutions", "VALIDATION_ERROR", `{"known_solutions.0.output_values.result":{"code":"C"}}`, KindInvalid, false},
		{"a task as a whole", "VALIDATION_ERROR", `{"0":{"code":"C","message":"m"}}`, KindInvalid, false},
		{"a task without a reason", "VALIDATION_ERROR", `{"0":{}}`, KindInvalid, false},
		{"the pool of one task and a field of another", "VALIDATION_ERROR", `{"0":{"pool_id":{"code":"C"}},"1":{"overlap":{"code":"C"}}}`, KindInvalid, false},
		{"no refusal of this kind", "ACCESS_DENIED", ``, KindAuth, false},
	} {
		e := &Error{Kind: tc.kind, Code: tc.code, Payload: []byte(tc.payload)}
		if got := e.AboutRequest(); got != tc.request {
			t.Errorf("%s: it is about the request: %v", tc.name, got)
		}
	}
}

// An id that an answer gives to several tasks is none of them: who gets it is not known.
func TestTasksWithOneIDAreNotCreated(t *testing.T) {
	for _, tc := range []struct {
		name string
		ids  []string
		want map[int]string
	}{
		{"all differ", []string{"b", "c", "a"}, map[int]string{0: "b", 1: "c", 2: "a"}},
		{"they rise", []string{"a", "b", "c"}, map[int]string{0: "a", 1: "b", 2: "c"}},
		{"two in a row", []string{"a", "a", "c"}, map[int]string{2: "c"}},
		{"two apart", []string{"c", "a", "c", "b"}, map[int]string{1: "a", 3: "b"}},
		{"three", []string{"a", "x", "a", "a"}, map[int]string{1: "x"}},
		{"all", []string{"a", "a"}, map[int]string{}},
		{"with none between", []string{"a", "", "a", ""}, map[int]string{1: "", 3: ""}},
	} {
		if ids, _, err := createdBy(strings.NewReader(itemsOf(tc.ids...)), len(tc.ids)); err != nil || !maps.Equal(ids, tc.want) {
			t.Errorf("%s, in an answer: %v, %v", tc.name, ids, err)
		}
		var log []string
		for i, id := range tc.ids {
			log = append(log, fmt.Sprintf(`{"type":"TASK_CREATE","success":true,"input":{"__item_idx":"%d","input_values":{"a":"x"}},"output":{"task_id":%q}}`, i, id))
		}
		log = append(log, log[len(log)-1]) // told twice is no contradiction
		entries, err := logged(strings.NewReader("[" + strings.Join(log, ",") + "]"))
		ids := map[int]string{}
		for _, e := range entries {
			ids[e.Index] = e.ID
		}
		if err != nil || !maps.Equal(ids, tc.want) {
			t.Errorf("%s, in a log: %v, %v", tc.name, ids, err)
		}
	}
	for _, tc := range []struct {
		ids, values []string
		want        string
	}{
		{[]string{"a", "b"}, []string{"x", "x"}, "a b"},
		{[]string{"a", "a"}, []string{"x", "x"}, "a"},
		{[]string{"a", "b", "a"}, []string{"x", "x", "y"}, "b"},
		{[]string{"", ""}, []string{"x", "y"}, " "},
	} {
		var log []string
		for i, id := range tc.ids {
			log = append(log, fmt.Sprintf(`{"type":"TASK_CREATE","success":true,"input":{"input_values":{"a":%q}},"output":{"task_id":%q}}`, tc.values[i], id))
		}
		entries, err := logged(strings.NewReader("[" + strings.Join(log, ",") + "]"))
		var ids []string
		for _, e := range entries {
			ids = append(ids, e.ID)
		}
		if got := strings.Join(ids, " "); err != nil || got != tc.want {
			t.Errorf("without an index, %q give %q, %v", tc.ids, got, err)
		}
	}
}

func TestNoAnswerGivesOneIDTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		given := rapid.SliceOfN(rapid.StringMatching("[0-9a-c]{1,2}"), 1, 60).Draw(rt, "ids")
		ids, _, err := createdBy(strings.NewReader(itemsOf(given...)), len(given))
		times := map[string]int{}
		for _, id := range given {
			times[id]++
		}
		for i, id := range given {
			if got, created := ids[i]; err != nil || created != (times[id] == 1) || created && got != id {
				rt.Errorf("task %d with id %s, which is there %d times, is created: %v (%v)", i, id, times[id], created, err)
			}
		}
	})
}

func TestALogThatIsNullHasNoEntries(t *testing.T) {
	for log, ok := range map[string]bool{"null": true, "null\n": true, "[]": true, "nul": false, "nothing": false, "null,": false, "{}": false, "": false, "0": false} {
		if entries, err := logged(strings.NewReader(log)); len(entries) > 0 || (err == nil) != ok {
			t.Errorf("%q gives %v, %v", log, entries, err)
		}
	}
}

func TestASynchronousAnswerMustNameItemsOfTheRequest(t *testing.T) {
	for _, bad := range []string{
		`{}`, `[]`, `{"items":{"2":{"id":"t"}}}`, `{"items":{"-1":{"id":"t"}}}`, `{"items":{"x":{"id":"t"}}}`,
		`{"items":{"0":{"id":"t"}}`, `{"items":{"0":5}}`, `{"validation_errors":{"7":{}}}`, `{"items":null}`, ``,
	} {
		if ids, refused, err := createdBy(strings.NewReader(bad), 2); err == nil || len(ids)+len(refused) > 0 {
			t.Errorf("%s gives %v, %v, %v", bad, ids, refused, err)
		}
	}
	ids, refused, err := createdBy(strings.NewReader(`{"items":{"1":{"a":[{}],"id":"t"}},"validation_errors":{"0":{}}}`), 2)
	if err != nil || !maps.Equal(ids, map[int]string{1: "t"}) || len(refused[0]) != 1 {
		t.Errorf("got %v, %v, %v", ids, refused, err)
	}
}

func TestAnswersLongerThanTheBufferAreStreamed(t *testing.T) {
	var b strings.Builder
	b.WriteString("[")
	const n = 5000
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"type":"TASK_CREATE","success":true,"input":{"__item_idx":"%d","input_values":{"a":%q}},"output":{"task_id":"t%d"}}`,
			i, strings.Repeat("x", rand.IntN(200)), i)
	}
	fmt.Fprintf(&b, `,{"type":"TASK_CREATE","success":true,"input":{"input_values":{"a":%q}},"output":{"task_id":"last"}}]`, strings.Repeat("y", 3*scanWindow))
	got, err := logged(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if e := got[i]; e.Index != i || e.ID != fmt.Sprint("t", i) || !e.Created {
			t.Fatalf("entry %d is %+v", i, e)
		}
	}
	want, err := Tasks().key(fmt.Appendf(nil, `{"input_values":{"a":%q}}`, strings.Repeat("y", 3*scanWindow)))
	if last := got[n]; err != nil || last.Index != -1 || last.Key != want || last.ID != "last" {
		t.Errorf("the last entry is %+v", last)
	}
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		logText(0, 1), itemsOf("t0", "t1"), tasksOf(true, "t0", "a"), success, existing, html502, `{"0":{"a":{"code":"C"}}}`,
		`[{"input":{"input_values":{"a":[1,{"b":null}]}},"type":"TASK_CREATE","success":true}]`, ``, `{"a":1e999999999999}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p decoders
		read := func() *strings.Reader { return strings.NewReader(string(data)) }
		// None of them may panic, and what they give must be usable.
		ids, refused, err := createdBy(read(), 2)
		for _, places := range [][]int{slices.Collect(maps.Keys(ids)), slices.Collect(maps.Keys(refused))} {
			for _, i := range places {
				if i < 0 || i > 1 || err != nil {
					t.Errorf("item %d of 2, with %v", i, err)
				}
			}
		}
		entries, err := logged(read())
		for _, e := range entries {
			if !e.Created && len(e.Findings) == 0 || err != nil {
				t.Errorf("a refusal without a reason, or with %v", err)
			}
		}
		_, _ = p.page(read(), Tasks(), func(task Task) {
			if task.ID == "" {
				t.Error("a task without id")
			}
		})
		_, _ = p.operation(read())
		_, _, _, payload := errorAnswer(data)
		_, _ = (&Error{Payload: payload}).Findings()
		_, _ = (&Error{Payload: data}).Findings()
		if json.Valid(data) {
			if _, err := identity.AppendCanonical(nil, data); err != nil && !strings.Contains(err.Error(), "depth") {
				t.Errorf("valid JSON has no form: %v", err)
			}
		}
	})
}
