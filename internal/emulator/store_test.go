package emulator

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func stop(tb testing.TB, s *Server) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

func open(tb testing.TB, path string) *Server {
	tb.Helper()
	s, err := New(Config{State: path})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestStateOutlivesTheServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := open(t, path)
	sync := send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true&skip_invalid_items=true", mixed).want(t, http.StatusCreated)
	good, bad := uuid.NewString(), uuid.NewString()
	post(t, s, "operation_id="+good+"&open_pool=true", goodTasks("5", 10, 400))
	post(t, s, "operation_id="+bad, mixed)
	project := send(s, http.MethodPost, "/api/v1/projects",
		`{"public_name":"<N>","public_description":"D","task_spec":{"input_spec":{"text":{"type":"string"}},"output_spec":{}}}`).want(t, http.StatusCreated)
	pool := send(s, http.MethodPost, "/api/v1/pools",
		`{"project_id":"`+project.get(t, "id").(string)+`","private_name":"P","mixer_config":{}}`).want(t, http.StatusCreated)
	poolID := pool.get(t, "id").(string)
	paths := []string{
		"/api/v1/tasks/" + sync.get(t, "items", "2", "id").(string),
		"/api/v1/tasks?limit=1000",
		"/api/v1/operations/" + good,
		"/api/v1/operations/" + good + "/log",
		"/api/v1/operations/" + bad,
		"/api/v1/operations/" + bad + "/log",
		"/api/v1/projects", "/api/v1/pools",
	}
	look := func(s *Server) []string {
		var all []string
		for _, path := range paths {
			all = append(all, send(s, http.MethodGet, path, "").want(t, http.StatusOK).raw)
		}
		return all
	}
	before, stats := look(s), s.Stats()
	stop(t, s)

	s = open(t, path)
	if diff := cmp.Diff(before, look(s)); diff != "" {
		t.Errorf("the server answers differently after a restart:\n%s", diff)
	}
	again := s.Stats()
	if diff := cmp.Diff(stats.Pools, again.Pools); diff != "" || again.TasksLastDay != stats.TasksLastDay || again.Operations != stats.Operations {
		t.Errorf("statistics %+v, want %+v", again, stats)
	}
	for _, id := range []string{good, bad} {
		send(s, http.MethodPost, "/api/v1/tasks?async_mode=true&allow_defaults=true&operation_id="+id, goodTasks("1", 0, 1)).
			wantError(t, http.StatusConflict, "OPERATION_ALREADY_EXISTS")
	}
	// What comes new does not collide with what was there.
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", `{"pool_id":"`+poolID+`","input_values":{"text":"x"}}`).want(t, http.StatusCreated)
	next := send(s, http.MethodPost, "/api/v1/pools", `{"project_id":"1","private_name":"P"}`).want(t, http.StatusCreated)
	if next.get(t, "id") == poolID {
		t.Error("a new pool has the id of another")
	}
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 100, 200)).want(t, http.StatusCreated)
	if n := len(count(t, s)); n != 102 {
		t.Errorf("%d tasks in the pool", n)
	}
	stop(t, s)
}

func TestATornRecordNeverHappened(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	s := open(t, path)
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 0, 2)).want(t, http.StatusCreated)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 2, 4)).want(t, http.StatusCreated)
	stop(t, s)
	longer, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := len(whole); size <= len(longer); size++ {
		torn := filepath.Join(dir, "torn")
		if err := os.WriteFile(torn, longer[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, torn)
		want, dropped := 2, size-len(whole)
		if size == len(longer) {
			want, dropped = 4, 0
		}
		if n := len(count(t, s)); n != want {
			t.Fatalf("cut at %d of %d: %d tasks, want %d", size, len(longer), n, want)
		}
		if got := s.Stats().StateBytesDropped; got != int64(dropped) {
			t.Fatalf("cut at %d: %d bytes dropped, want %d", size, got, dropped)
		}
		send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 4, 5)).want(t, http.StatusCreated)
		stop(t, s)
		s = open(t, torn)
		if n := len(count(t, s)); n != want+1 {
			t.Fatalf("cut at %d: after another restart %d tasks, want %d", size, n, want+1)
		}
		stop(t, s)
	}
}

func TestADamagedStateFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	s := open(t, path)
	for range 2 {
		send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 0, 2)).want(t, http.StatusCreated)
	}
	stop(t, s)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := strings.Index(string(good), "https://x/0")
	for name, damage := range map[string]func(raw []byte) []byte{
		"a foreign file":       func([]byte) []byte { return []byte("INPUT:image\nhttps://example.com/picture/1.jpg\n") },
		"a short foreign file": func([]byte) []byte { return []byte("hello\n") },
		"a changed task":       func(raw []byte) []byte { raw[second]++; return raw },
		"a changed length":     func(raw []byte) []byte { raw[len(signature)]++; return raw },
	} {
		bad := filepath.Join(dir, "bad")
		raw := damage([]byte(string(good)))
		if err := os.WriteFile(bad, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := New(Config{State: bad})
		if err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: error %v, want one that names the file", name, err)
		}
		if after, err := os.ReadFile(bad); err != nil || string(after) != string(raw) {
			t.Errorf("%s: the file was changed (%v)", name, err)
		}
	}
}

func TestAnotherSpecNeedsAnotherStateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	spec := func(s string) Config { return Config{State: path, Spec: json.RawMessage(s)} }
	first, err := New(spec(`{"input_spec":{"a":{"type":"string"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	stop(t, first)
	same, err := New(spec(` {"input_spec" : {"a":{"type":"string"}}}`))
	if err != nil {
		t.Fatalf("the same spec: %v", err)
	}
	stop(t, same)
	if _, err := New(spec(`{"input_spec":{"b":{"type":"string"}}}`)); err == nil || !strings.Contains(err.Error(), "another spec") {
		t.Errorf("another spec: %v", err)
	}
	// Naming no spec takes the one that is there.
	none, err := New(Config{State: path})
	if err != nil {
		t.Fatalf("no spec: %v", err)
	}
	send(none, http.MethodPost, "/api/v1/tasks?allow_defaults=true", `{"pool_id":"1","input_values":{"a":"x"}}`).want(t, http.StatusCreated)
	stop(t, none)
}

func TestTheTemporaryFileGoes(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s := open(t, "")
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 0, 2)).want(t, http.StatusCreated)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%d files while the server runs (%v)", len(files), err)
	}
	stop(t, s)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%d files afterwards (%v)", len(files), err)
	}
}

func TestAFileThatCannotBeWrittenFailsTheRequestOnly(t *testing.T) {
	s := start(t, Config{})
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 0, 1)).want(t, http.StatusCreated)
	readOnly, err := os.Open(s.store.file.Name())
	if err != nil {
		t.Fatal(err)
	}
	writable := s.store.file
	s.store.file = readOnly
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 1, 2)).wantError(t, http.StatusInternalServerError, "INTERNAL_ERROR")
	s.store.file = writable
	if err := readOnly.Close(); err != nil {
		t.Fatal(err)
	}
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 2, 3)).want(t, http.StatusCreated)
	if got := count(t, s); len(got) != 2 || got["https://x/1"] != 0 {
		t.Errorf("tasks %v", got)
	}
}
