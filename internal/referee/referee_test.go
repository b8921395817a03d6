package referee

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// apiFolder has the published description; a copy of the project may be without it.
const apiFolder = "../../../shared/api"

// bench is a server, its clock, and what asks it.
type bench struct {
	*Server
	t   *testing.T
	now time.Time
}

func newBench(t *testing.T, ways Ways, pools ...Pool) *bench {
	b := &bench{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	if len(pools) == 0 {
		pools = []Pool{{ID: "1238218", Overlap: 3}}
	}
	b.Server = New(Config{Now: func() time.Time { return b.now }, Pools: pools, Ways: ways})
	return b
}

// ask sends a request, and returns the status and the body.
func (b *bench) ask(f Fate, method, target, body string) (*http.Response, string, error) {
	b.t.Helper()
	r := httptest.NewRequest(method, "http://toloka.test/api/v1"+target, strings.NewReader(body))
	r.Header.Set("Authorization", "OAuth token")
	r.Header.Set("Content-Type", "application/json")
	answer, err := b.Do(r, f)
	if err != nil {
		return &http.Response{}, "", err
	}
	text, err := io.ReadAll(answer.Body)
	return answer, string(text), err
}

// want asks, and decodes the answer of the status.
func (b *bench) want(status int, into any, method, target, body string) {
	b.t.Helper()
	answer, text, err := b.ask(Fate{}, method, target, body)
	if err != nil || answer.StatusCode != status {
		b.t.Fatalf("%s %s: %v %d %s, want %d", method, target, err, answer.StatusCode, text, status)
	}
	if err := json.Unmarshal([]byte(text), into); into != nil && err != nil {
		b.t.Fatal(err)
	}
}

func body(pool string, names ...string) string {
	var items []string
	for _, name := range names {
		items = append(items, fmt.Sprintf(`{"pool_id":%q,"input_values":{"image":%q}}`, pool, name))
	}
	return "[" + strings.Join(items, ",") + "]"
}

const (
	pool       = "1238218"
	inSync     = "/tasks?allow_defaults=true&skip_invalid_items=true"
	inAsync    = inSync + "&async_mode=true&operation_id=" + operationA
	operationA = "7ea08f99-5e24-47b4-b61f-c177a868d801"
)

// example reads a published example.
func example(t *testing.T, file, name string) any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(apiFolder, file))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the published description is absent")
	}
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]struct{ Value any }
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all[name].Value
}

// shape is a value with a word in place of each text and number.
func shape(value any) any {
	switch v := value.(type) {
	case map[string]any:
		object := map[string]any{}
		for key, inner := range v {
			object[key] = shape(inner)
		}
		return object
	case []any:
		if len(v) == 0 {
			return "list"
		}
		return []any{shape(v[0])}
	case string:
		return "text"
	case bool:
		return "bool"
	case nil:
		return "null"
	}
	return "number"
}

// common removes what an answer has beyond an example.
func common(example, answer any) any {
	if want, ok := example.([]any); ok {
		if got, ok := answer.([]any); ok {
			return []any{common(want[0], got[0])}
		}
	}
	want, ok := example.(map[string]any)
	got, ok2 := answer.(map[string]any)
	if !ok || !ok2 {
		return answer
	}
	object := map[string]any{}
	for key := range want {
		if value, ok := got[key]; ok {
			object[key] = common(want[key], value)
		}
	}
	return object
}

func TestAnswersHaveThePublishedShape(t *testing.T) {
	request := example(t, "requests/api/task-body.yaml", "single_task_body")
	sent, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, Ways{})
	b.want(201, nil, "POST", inSync, string(sent))
	b.want(202, nil, "POST", inAsync, body(pool, "a"))
	b.want(202, nil, "POST", strings.Replace(inAsync, "7ea08f99", "00000000", 1), string(sent))
	for _, c := range []struct {
		file, name, method, target string
		body                       []byte
		status                     int
		without                    []string // what is another project's or kind's
	}{
		{"task-post", "single_task", "POST", inSync, sent, 201, nil},
		{"task-list", "success", "GET", "/tasks?pool_id=" + pool, nil, 200, nil},
		{"task-post", "multiple_tasks_async", "GET", "/operations/" + operationA, nil, 200, nil},
		{"pool-open-operation", "success", "POST", "/pools/" + pool + "/open", nil, 202, nil},
		{"pool-clone-operation", "success", "POST", "/pools/" + pool + "/clone", nil, 202, nil},
		{"pool-id", "success", "GET", "/pools/" + pool, nil, 200, []string{"metadata", "auto_close_after_complete_delay_seconds", "auto_accept_solutions", "auto_accept_period_day", "assignments_issuing_config", "filter", "quality_control", "priority", "owner", "speed_quality_balance"}},
		{"requester", "success", "GET", "/requester", nil, 200, []string{"company"}},
	} {
		published := example(t, "responses/api/"+c.file+".yaml", c.name)
		var got any
		b.want(c.status, &got, c.method, c.target, string(c.body))
		object := published.(map[string]any)
		for _, name := range c.without {
			delete(object, name)
		}
		if diff := cmp.Diff(shape(published), common(shape(published), shape(got))); diff != "" {
			t.Errorf("%s (-published +ours):\n%s", c.file, diff)
		}
	}
	several, err := json.Marshal(example(t, "requests/api/task-body.yaml", "multiple_tasks_body"))
	if err != nil {
		t.Fatal(err)
	}
	before := len(b.Tasks(pool))
	b.want(201, nil, "POST", inSync, string(several))
	if made := len(b.Tasks(pool)) - before; made != 2 {
		t.Errorf("%d tasks were made of the published two", made)
	}
}

func TestWhatIsDoneAndWhatIsHeard(t *testing.T) {
	for _, c := range []struct {
		name   string
		fate   Fate
		target string
		status int // 0 is no answer
		soon   int // tasks at once
		later  int // tasks a minute later
	}{
		{"fair", Fate{}, inSync, 201, 2, 2},
		{"fair, asynchronous", Fate{}, inAsync, 202, 2, 2},
		{"lost before", Fate{Done: Never, Heard: Nothing}, inSync, 0, 0, 0},
		{"lost after", Fate{Heard: Nothing}, inSync, 0, 2, 2},
		{"reset", Fate{Done: Never, Heard: Reset}, inSync, 0, 0, 0},
		{"cut", Fate{Heard: Cut}, inSync, 0, 2, 2},
		{"cut and late", Fate{Done: Later, After: 8 * time.Second, Heard: Nothing}, inSync, 0, 0, 2},
		{"504, done", Fate{Heard: Page, Status: 504}, inAsync, 504, 2, 2},
		{"504, late", Fate{Done: Later, After: 8 * time.Second, Heard: Page, Status: 504}, inSync, 504, 0, 2},
		{"a portal", Fate{Done: Never, Heard: Page, Status: 302}, inSync, 302, 0, 0},
		{"500", Fate{Done: Never, Heard: Failure, Status: 500, Code: "INTERNAL_ERROR"}, inSync, 500, 0, 0},
		{"204", Fate{Heard: NoContent}, inSync, 204, 2, 2},
		{"twice", Fate{Done: Twice}, inSync, 201, 4, 4},
		{"twice, asynchronous", Fate{Done: Twice}, inAsync, 409, 2, 2},
		{"fails", Fate{Done: FailsEmpty}, inAsync, 202, 0, 0},
		{"fails half", Fate{Done: FailsHalf}, inAsync, 202, 1, 1},
		{"fewer", Fate{Heard: Fewer}, inSync, 201, 2, 2},
	} {
		b := newBench(t, Ways{})
		answer, text, err := b.ask(c.fate, "POST", c.target, body(pool, "a", "b"))
		if err != nil {
			answer.StatusCode = 0
		}
		if answer.StatusCode != c.status || (err != nil) != (c.status == 0) {
			t.Errorf("%s: heard %d %v %s", c.name, answer.StatusCode, err, text)
		}
		if n := len(b.Tasks(pool)); n != c.soon {
			t.Errorf("%s: %d tasks at once, want %d", c.name, n, c.soon)
		}
		b.now = b.now.Add(time.Minute)
		if n := len(b.Tasks(pool)); n != c.later {
			t.Errorf("%s: %d tasks later, want %d", c.name, n, c.later)
		}
		if html := strings.HasPrefix(text, "<html>"); html != (c.fate.Heard == Page) {
			t.Errorf("%s: the body is %s", c.name, text)
		}
	}
}

func TestLogs(t *testing.T) {
	spec := Spec{Input: map[string]Field{"image": {Type: "string", Required: true, MaxLength: 3}}}
	for _, c := range []struct {
		name          string
		heard         Heard
		status, steps int
		indexes       int
	}{
		{"whole", Answer, 200, 5, 5},
		{"without indexes", NoIndex, 200, 5, 0},
		{"half", HalfLog, 200, 3, 3},
		{"null", NullLog, 200, 0, 0},
		{"archived", ArchivedLog, 409, 0, 0},
	} {
		b := newBench(t, Ways{Failures: InPayload})
		b.cfg.Spec = spec
		items := fmt.Sprintf(`[{"pool_id":%[1]q,"input_values":{"image":"a"},"__item_idx":"0"},{"pool_id":%[1]q,"input_values":{"image":"long"},"__item_idx":"1"},{"pool_id":%[1]q,"input_values":{"image":"a"},"__item_idx":"2"}]`, pool)
		b.want(202, nil, "POST", inAsync, items)
		answer, text, err := b.ask(Fate{Heard: c.heard}, "GET", "/operations/"+operationA+"/log", "")
		if err != nil || answer.StatusCode != c.status {
			t.Fatal(c.name, answer.StatusCode, err)
		}
		var log []entry
		if c.status == 200 {
			if err := json.Unmarshal([]byte(text), &log); err != nil {
				t.Fatal(err)
			}
		}
		indexes := 0
		for _, e := range log {
			if e.Input["__item_idx"] != nil {
				indexes++
			}
			if e.Input["overlap"] != 3.0 || !cmp.Equal(e.Input["reserved_for"], []any{}) {
				t.Errorf("%s: the input %v lacks its defaults", c.name, e.Input)
			}
			if !e.Success && e.Output["payload"] == nil {
				t.Errorf("%s: a failing step's output is %v", c.name, e.Output)
			}
		}
		if len(log) != c.steps || indexes != c.indexes {
			t.Errorf("%s: %d steps and %d indexes, want %d and %d", c.name, len(log), indexes, c.steps, c.indexes)
		}
	}
}

func TestIdentities(t *testing.T) {
	same := [][]string{
		{`{"input_values":{"a":"x"}}`, `{"pool_id":"7","input_values":{"a":"x"},"overlap":3,"infinite_overlap":false,"reserved_for":[],"unavailable_for":null,"traits_any_of":[],"known_solutions":[],"__item_idx":"4","remaining_overlap":3,"message_on_unknown_solution":""}`},
		{`{"input_values":{"a":"x"},"known_solutions":[{"output_values":{"r":1}}]}`, `{"input_values":{"a":"x"},"known_solutions":[{"correctness_weight":1,"output_values":{"r":1}}]}`},
		{`{"input_values":{"a":1,"b":2}}`, `{"input_values":{"b":2,"a":1}}`},
	}
	other := []string{
		`{"input_values":{"a":"X"}}`, `{"input_values":{"a":"x "}}`, `{"input_values":{"a":"x"},"overlap":2}`, `{"input_values":{"a":"x"},"infinite_overlap":true}`,
		`{"input_values":{"a":"x"},"reserved_for":["u"]}`, `{"input_values":{"a":"x"},"unavailable_for":["u"]}`, `{"input_values":{"a":"x"},"traits_all_of":["t"]}`,
		`{"input_values":{"a":"x"},"known_solutions":[{"output_values":{"r":1},"correctness_weight":0.5}]}`, `{"input_values":{"a":"x"},"message_on_unknown_solution":"h"}`,
	}
	seen := map[string]string{}
	of := func(text string) string {
		id, err := Identity([]byte(text), 3)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, group := range same {
		for _, text := range group {
			if of(text) != of(group[0]) {
				t.Errorf("%s and %s differ", text, group[0])
			}
		}
		other = append(other, group[0])
	}
	for _, text := range other {
		if twin, ok := seen[of(text)]; ok {
			t.Errorf("%s and %s are the same", text, twin)
		}
		seen[of(text)] = text
	}
}

func TestWays(t *testing.T) {
	b := newBench(t, Ways{Normalises: true, Created: time.Hour, Date: -time.Hour, Operation: 5 * time.Second, ListLimit: 2})
	b.want(202, nil, "POST", inAsync, body(pool, " https://EX.com/A ", "b", "c"))
	var o struct{ Status string }
	b.want(200, &o, "GET", "/operations/"+operationA, "")
	if o.Status != "RUNNING" || len(b.Tasks(pool)) != 0 {
		t.Errorf("the operation is %s at once", o.Status)
	}
	b.now = b.now.Add(5 * time.Second)
	b.want(200, &o, "GET", "/operations/"+operationA, "")
	if o.Status != "SUCCESS" || len(b.Tasks(pool)) != 3 {
		t.Errorf("the operation is %s later", o.Status)
	}
	b.want(400, nil, "GET", "/tasks?limit=3&pool_id="+pool, "")
	var list struct {
		Items []struct {
			ID, Created string
			Input       map[string]string `json:"input_values"`
		}
		More bool `json:"has_more"`
	}
	b.want(200, &list, "GET", "/tasks?limit=2&sort=-created,id&pool_id="+pool, "")
	if len(list.Items) != 2 || !list.More || list.Items[0].Input["image"] != "https://ex.com/A" || list.Items[0].Created != "2026-03-01T13:00:05.000" {
		t.Errorf("listed are %+v", list)
	}
	b.want(200, &list, "GET", "/tasks?limit=2&id_gt="+list.Items[1].ID+"&created_gte=2026-03-01T13:00:05&pool_id="+pool, "")
	if len(list.Items) != 1 || list.More || list.Items[0].Input["image"] != "c" {
		t.Errorf("listed are %+v", list)
	}
	b.want(202, nil, "POST", strings.Replace(inAsync, "7ea08f99", "00000000", 1), body(pool, "d"))
	b.now = b.now.Add(5 * time.Second)
	b.want(200, &list, "GET", "/tasks?limit=1&sort=-created&pool_id="+pool, "")
	if list.Items[0].Input["image"] != "d" {
		t.Errorf("the latest is %+v", list)
	}
	answer, _, err := b.ask(Fate{}, "GET", "/requester", "")
	if err != nil || answer.Header.Get("Date") != "Sun, 01 Mar 2026 11:00:10 GMT" {
		t.Errorf("the date is %q", answer.Header.Get("Date"))
	}
}

func TestRefusals(t *testing.T) {
	pools := []Pool{{ID: "1"}, {ID: "2", Status: "ARCHIVED"}, {ID: "3", NoMixer: true}, {ID: "4", Training: true}}
	for _, c := range []struct {
		name, target, body string
		status             int
		code               string
	}{
		{"an unknown parameter", "/tasks?allow_default=true", body("1", "a"), 400, "VALIDATION_ERROR"},
		{"no overlap", "/tasks", body("1", "a"), 400, "VALIDATION_ERROR"},
		{"no tasks", inSync, `"text"`, 400, "VALIDATION_ERROR"},
		{"an archived pool", inSync, body("2", "a"), 409, "INAPPROPRIATE_STATUS"},
		{"no mixer", inSync, body("3", "a"), 400, "MIXER_CONFIG_REQUIRED"},
		{"no pool", inSync, body("9", "a"), 404, "DOES_NOT_EXIST"},
		{"a training", inSync, body("4", "a"), 201, ""},
		{"too many bytes", inSync, body("1", strings.Repeat("a", maxInputBytes)), 413, "REQUEST_ENTITY_TOO_LARGE"},
		{"too many tasks", inSync, body("1", make([]string, maxSync+1)...), 413, "REQUEST_ENTITY_TOO_LARGE"},
		{"a bad operation id", inSync + "&async_mode=true&operation_id=x", body("1", "a"), 400, "VALIDATION_ERROR"},
	} {
		b := newBench(t, Ways{}, pools...)
		var got struct{ Code string }
		b.want(c.status, &got, "POST", c.target, c.body)
		if got.Code != c.code {
			t.Errorf("%s: %s", c.name, got.Code)
		}
	}
}

func TestQuotas(t *testing.T) {
	for _, says := range []Hint{Silent, Interval, Seconds, Date} {
		b := newBench(t, Ways{Quota: Quota{RequestsPerSecond: 5, TasksPerMinute: 4, TasksPerDay: 5, Says: says}})
		b.want(201, nil, "POST", inSync, body(pool, "a", "b", "c"))
		answer, text, _ := b.ask(Fate{}, "POST", inSync, body(pool, "d", "e"))
		if answer.StatusCode != http.StatusTooManyRequests || strings.Contains(text, `"MIN"`) != (says == Interval) || (answer.Header.Get("Retry-After") != "") != (says >= Seconds) {
			t.Errorf("%d: %d %s %v", says, answer.StatusCode, text, answer.Header)
		}
		b.now = b.now.Add(time.Minute)
		b.want(201, nil, "POST", inSync, body(pool, "d", "e"))
		b.now = b.now.Add(time.Minute)
		b.want(429, nil, "POST", inSync, body(pool, "f"))
		b.now = b.now.Add(12 * time.Hour)
		b.want(201, nil, "POST", inSync, body(pool, "f", "g", "h", "i"))
		b.now = b.now.Add(time.Minute)
		b.want(201, nil, "POST", inSync, body(pool, "j"))
		if b.Refused() != 2 || len(b.Tasks(pool)) != 10 {
			t.Errorf("%d refused, %d tasks", b.Refused(), len(b.Tasks(pool)))
		}
	}
}

func TestOverARealConnection(t *testing.T) {
	fates := make(chan Fate, 4)
	s := New(Config{Now: time.Now, Pools: []Pool{{ID: "1"}}, Decide: func(*http.Request) Fate { return <-fates }})
	listener := httptest.NewServer(s)
	defer listener.Close()
	ask := func(f Fate) (int, error) {
		fates <- f
		r, err := http.NewRequest(http.MethodPost, listener.URL+"/api/v1"+inSync, strings.NewReader(body("1", "a")))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Authorization": {"ApiKey x"}, "Content-Type": {"application/json"}}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode, err
	}
	if status, err := ask(Fate{}); status != 201 || err != nil {
		t.Error(status, err)
	}
	if _, err := ask(Fate{Heard: Nothing}); err == nil {
		t.Error("an answer that was lost came")
	}
	if _, err := ask(Fate{Heard: Cut}); err == nil {
		t.Error("an answer that was cut came whole")
	}
	if n := len(s.Tasks("1")); n != 3 {
		t.Errorf("%d tasks", n)
	}
}

// The referee shares nothing with the module, or it would share its mistakes.
func TestNothingOfTheModuleIsImported(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return strings.Contains(i.Path.Value, "poolfill") }) {
			t.Errorf("%s imports a package of the module", name)
		}
	}
}
