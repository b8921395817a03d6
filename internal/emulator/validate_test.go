package emulator

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const everySpec = `{
  "input_spec": {
    "need":   {"type": "string", "required": true},
    "word":   {"type": "string", "min_length": 2, "max_length": 4, "pattern": "[a-zéß😀]+"},
    "pet":    {"type": "string", "allowed_values": ["cat", "a\"b"]},
    "url":    {"type": "url"},
    "int":    {"type": "integer", "min_value": -5, "max_value": 5},
    "number": {"type": "number"},
    "pick":   {"type": "integer", "allowed_values": [1, 2]},
    "float":  {"type": "float", "min_value": 0.1, "max_value": 1e3},
    "bool":   {"type": "boolean"},
    "yes":    {"type": "boolean", "allowed_values": [true]},
    "json":   {"type": "json"},
    "place":  {"type": "coordinates"},
    "file":   {"type": "file"},
    "words":  {"type": "array_string", "min_size": 1, "max_size": 2, "max_length": 3},
    "ints":   {"type": "array_integer", "max_value": 9},
    "jsons":  {"type": "array_json"}
  },
  "output_spec": {
    "result": {"type": "string", "required": true, "allowed_values": ["cat", "dog"]},
    "sure":   {"type": "boolean"}
  }
}`

func TestInputValuesAreChecked(t *testing.T) {
	s := start(t, Config{Spec: json.RawMessage(everySpec)})
	for _, tc := range []struct {
		field string // the member of input_values, beside "need"
		want  string // field and code, blank-separated; empty where it is good
	}{
		{`"other": 1`, "other VALUE_NOT_ALLOWED"},
		{`"need": null`, "need VALUE_REQUIRED"},
		{`"word": null`, ""},
		{`"word": "ab"`, ""},
		{`"word": "é😀ßa"`, ""}, // four code points, twelve bytes
		{`"word": "\u0061b"`, ""},
		{`"word": "a"`, "word STRING_LENGTH_LESS_THAN_MIN"},
		{`"word": "abcde"`, "word STRING_LENGTH_GREATER_THAN_MAX"},
		{`"word": "ab1"`, "word PATTERN_MISMATCH"},
		{`"word": "ab\n"`, "word PATTERN_MISMATCH"},
		{`"word": 12`, "word STRING_EXPECTED"},
		{`"word": ["ab"]`, "word STRING_EXPECTED"},
		{`"pet": "a\"b"`, ""},
		{`"pet": "Cat"`, "pet UNKNOWN_ENUM_VALUE"},
		{`"url": "https://x"`, ""},
		{`"url": "HTTP://x/a b"`, ""},
		{`"url": "www.example.com"`, ""},
		{`"url": "ftp://x"`, "url INVALID_URL_SYNTAX"},
		{`"url": "https://"`, "url INVALID_URL_SYNTAX"},
		{`"url": "https://x\u0000"`, "url INVALID_URL_SYNTAX"},
		{`"url": ""`, "url INVALID_URL_SYNTAX"},
		{`"int": 5`, ""},
		{`"int": -5`, ""},
		{`"int": 6`, "int VALUE_GREATER_THAN_MAX"},
		{`"int": -6`, "int VALUE_LESS_THAN_MIN"},
		{`"int": 1.0`, "int INTEGER_EXPECTED"},
		{`"int": 1e0`, "int INTEGER_EXPECTED"},
		{`"int": "1"`, "int INTEGER_EXPECTED"},
		{`"number": 9223372036854775807`, ""},
		{`"number": 9223372036854775808`, "number VALUE_OUT_OF_BOUNDS"},
		{`"pick": 2`, ""},
		{`"pick": 3`, "pick UNKNOWN_ENUM_VALUE"},
		{`"float": 0.1`, ""},
		{`"float": 1000`, ""},
		{`"float": 0.0999`, "float VALUE_LESS_THAN_MIN"},
		{`"float": 1000.5`, "float VALUE_GREATER_THAN_MAX"},
		{`"float": 1e999`, "float VALUE_OUT_OF_BOUNDS"},
		{`"float": "0.5"`, "float FLOAT_EXPECTED"},
		{`"bool": false`, ""},
		{`"bool": "false"`, "bool BOOLEAN_EXPECTED"},
		{`"bool": 1`, "bool BOOLEAN_EXPECTED"},
		{`"yes": true`, ""},
		{`"yes": false`, "yes UNKNOWN_ENUM_VALUE"},
		{`"json": {"a": [1, null]}`, ""},
		{`"json": [1]`, ""},
		{`"json": "{\"a\":1}"`, "json JSON_EXPECTED"},
		{`"place": "53.910236,27.531110"`, ""},
		{`"place": "-90, 180"`, ""},
		{`"place": "91,0"`, "place INVALID_COORDINATES_SYNTAX"},
		{`"place": "0,181"`, "place INVALID_COORDINATES_SYNTAX"},
		{`"place": "0"`, "place INVALID_COORDINATES_SYNTAX"},
		{`"place": "nan,0"`, "place INVALID_COORDINATES_SYNTAX"},
		{`"file": "id"`, ""},
		{`"file": 1`, "file STRING_EXPECTED"},
		{`"words": ["a", "bcd"]`, ""},
		{`"words": "a"`, "words ARRAY_EXPECTED"},
		{`"words": []`, "words ARRAY_SIZE_LESS_THAN_MIN"},
		{`"words": ["a", "b", "c"]`, "words ARRAY_SIZE_GREATER_THAN_MAX"},
		{`"words": ["a", 1]`, "words.1 STRING_EXPECTED"},
		{`"words": ["abcd", "a"]`, "words.0 STRING_LENGTH_GREATER_THAN_MAX"},
		{`"ints": [1, 10]`, "ints.1 VALUE_GREATER_THAN_MAX"},
		{`"ints": [null]`, "ints.0 INTEGER_EXPECTED"},
		{`"jsons": [{}, 1, []]`, ""},
	} {
		need := `"need": "x", `
		if strings.HasPrefix(tc.field, `"need"`) {
			need = ""
		}
		a := send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", `{"pool_id": "1", "input_values": {`+need+tc.field+`}}`)
		wantErrors(t, tc.field, a, "input_values.", tc.want)
	}
}

// wantErrors compares the errors of a single task: "field CODE" after a prefix,
// parted by commas.
func wantErrors(t *testing.T, name string, a answer, prefix, want string) {
	t.Helper()
	if want == "" {
		if a.status != http.StatusCreated {
			t.Errorf("%s: status %d, want 201: %s", name, a.status, a.raw)
		}
		return
	}
	if a.status != http.StatusBadRequest {
		t.Errorf("%s: status %d, want 400: %s", name, a.status, a.raw)
		return
	}
	wanted, got := make(map[string]string), make(map[string]string)
	for part := range strings.SplitSeq(want, ",") {
		field, code, _ := strings.Cut(part, " ")
		wanted[prefix+field] = code
	}
	for field, e := range a.get(t, "payload").(map[string]any) {
		got[field] = e.(map[string]any)["code"].(string)
		if text, ok := e.(map[string]any)["message"].(string); !ok || text == "" {
			t.Errorf("%s: %s has no message", name, field)
		}
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("%s: other errors than wanted:\n%s", name, diff)
	}
}

func TestTaskPropertiesAreChecked(t *testing.T) {
	s := start(t, Config{Spec: json.RawMessage(everySpec)})
	const pool, input = `"pool_id":"1"`, `"input_values":{"need":"x"}`
	const base = pool + `,` + input
	for _, tc := range []struct {
		query string
		task  string
		want  string
	}{
		{"allow_defaults=true", base, ""},
		{"allow_defaults=true", base + `,"__item_idx":"0"`, ""},
		{"allow_defaults=true", base + `,"id":"x","created":"2020-01-01T00:00:00","remaining_overlap":3,"origin_task_id":null`, ""},
		{"allow_defaults=true", base + `,"colour":"red"`, "colour VALUE_NOT_ALLOWED"},
		{"allow_defaults=true", input, "pool_id VALUE_REQUIRED"},
		{"allow_defaults=true", `"pool_id":1,` + input, "pool_id STRING_EXPECTED"},
		{"allow_defaults=true", `"pool_id":"99",` + input, "pool_id ENTITY_DOES_NOT_EXIST"},
		{"allow_defaults=true", pool, "input_values VALUE_REQUIRED"},
		{"allow_defaults=true", pool + `,"input_values":[]`, "input_values OBJECT_EXPECTED"},
		{"allow_defaults=true", pool + `,"input_values":{}`, "input_values.need VALUE_REQUIRED"},
		{"allow_defaults=true", base + `,"overlap":1`, ""},
		{"allow_defaults=false", base + `,"overlap":30000`, ""},
		{"", base, "overlap VALUE_REQUIRED"},
		{"", base + `,"overlap":null,"infinite_overlap":true`, ""},
		{"", base + `,"overlap":3,"infinite_overlap":false`, ""},
		{"", base + `,"overlap":3,"infinite_overlap":true`, "infinite_overlap VALUE_NOT_ALLOWED"},
		{"", base + `,"infinite_overlap":false`, "overlap VALUE_REQUIRED"},
		{"", base + `,"infinite_overlap":"true"`, "infinite_overlap BOOLEAN_EXPECTED,overlap VALUE_REQUIRED"},
		{"", base + `,"overlap":0`, "overlap VALUE_OUT_OF_BOUNDS"},
		{"", base + `,"overlap":30001`, "overlap VALUE_OUT_OF_BOUNDS"},
		{"", base + `,"overlap":99999999999999999999`, "overlap VALUE_OUT_OF_BOUNDS"},
		{"", base + `,"overlap":1.5`, "overlap INTEGER_EXPECTED"},
		{"", base + `,"overlap":"3"`, "overlap INTEGER_EXPECTED"},
		{"allow_defaults=true", base + `,"message_on_unknown_solution":"hint"`, ""},
		{"allow_defaults=true", base + `,"message_on_unknown_solution":1`, "message_on_unknown_solution STRING_EXPECTED"},
		{"allow_defaults=true", base + `,"reserved_for":["a"],"traits_all_of":[]`, ""},
		{"allow_defaults=true", base + `,"unavailable_for":"a","traits_any_of":["a",1]`, "unavailable_for ARRAY_EXPECTED,traits_any_of.1 STRING_EXPECTED"},
		{"allow_defaults=true", base + `,"known_solutions":[{"output_values":{"result":"cat"},"correctness_weight":1.0},{"output_values":{"sure":true}}]`, ""},
		{"allow_defaults=true", base + `,"known_solutions":{}`, "known_solutions ARRAY_EXPECTED"},
		{"allow_defaults=true", base + `,"known_solutions":[1]`, "known_solutions.0 OBJECT_EXPECTED"},
		{"allow_defaults=true", base + `,"known_solutions":[{}]`, "known_solutions.0.output_values VALUE_REQUIRED"},
		{"allow_defaults=true", base + `,"known_solutions":[{"output_values":{}}]`, "known_solutions.0.output_values EMPTY_OBJECT_NOT_ALLOWED"},
		{
			"allow_defaults=true", base + `,"known_solutions":[{"output_values":{"result":"cow","need":"x"},"correctness_weight":1.1,"w":1}]`,
			"known_solutions.0.output_values.result UNKNOWN_ENUM_VALUE,known_solutions.0.output_values.need VALUE_NOT_ALLOWED," +
				"known_solutions.0.correctness_weight VALUE_OUT_OF_BOUNDS,known_solutions.0.w VALUE_NOT_ALLOWED",
		},
		{"allow_defaults=true", base + `,"known_solutions":[{"output_values":{"result":"cat"},"correctness_weight":"1"}]`, "known_solutions.0.correctness_weight FLOAT_EXPECTED"},
		{"allow_defaults=true", base + `,"baseline_solutions":[{"output_values":{"result":"cat"},"confidence_weight":0.5}]`, ""},
		{"allow_defaults=true", base + `,"baseline_solutions":[{"output_values":{"result":"cat"},"correctness_weight":0.5}]`, "baseline_solutions.0.correctness_weight VALUE_NOT_ALLOWED"},
	} {
		a := send(s, http.MethodPost, "/api/v1/tasks?"+tc.query, `{`+tc.task+`}`)
		wantErrors(t, tc.task, a, "", tc.want)
	}
}

func FuzzAnyBodyIsAnsweredAndReadable(f *testing.F) {
	for _, seed := range []string{
		goodTasks("1", 0, 2), `{"pool_id":"1","input_values":{"image":"https://x"}}`, `[{"pool_id":"1"}]`, `[]`, `[null]`, `[{"\u0061":1}]`,
		` [ {"pool_id" : "1" , "input_values" : { "image" : "https://x" , "tags" : [ "a" , "b" ] } } , { } ] `,
		`[{"pool_id":"1","input_values":{"image":"https://x"},"input_values":null}]`, `{"known_solutions":[[]]}`,
	} {
		f.Add(seed)
	}
	s := unlimited(f)
	f.Fuzz(func(t *testing.T, body string) {
		a := send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true&skip_invalid_items=true", body)
		if a.status != http.StatusCreated {
			if a.status >= 500 {
				t.Fatalf("status %d: %s", a.status, a.raw)
			}
			return
		}
		if !json.Valid([]byte(a.raw)) {
			t.Fatalf("the answer is no JSON: %s", a.raw)
		}
		page := send(s, http.MethodGet, "/api/v1/tasks?sort=-id&limit=1", "").want(t, http.StatusOK)
		if id, ok := page.get(t, "items", 0, "id").(string); !ok || !strings.Contains(a.raw, id) {
			t.Fatalf("the last task %v is not in the answer %s", id, a.raw)
		}
	})
}
