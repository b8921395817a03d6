package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"poolfill/internal/emulator"
	"poolfill/internal/pgtest"
	"poolfill/internal/state"
	"poolfill/pipeline/ledger"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"poolfill": main, "poolfill-crashing": crashingMain})
}

// TestScripts runs the real binary. Besides testscript's own commands there are:
//
//	emulator [NAME=VALUE]   starts an emulator that outlives the command under
//	                        test, and sets $URL
//	exits CODE COMMAND …    runs a command and asserts its exit code
//	get LOG PATH FILE WANT  asks the live view that a log names until it answers
//	                        with something, and writes that to a file
//	files FOLDER [BYTES]    serves the folder's files over HTTP, and sets $FILES; each
//	                        connection breaks after so many bytes of a file. Those
//	                        under signed/ want ?sig=SIGNATURE
//	hold POOL OWNER         holds a pool as another run would
//	hold-elsewhere POOL     holds a pool as a run of another machine would, by way
//	                        of $POOLFILL_DB
//	pool ID COUNT           asserts how many tasks the pool has, each one once
//	tasks ID COUNT          the same, where tasks may be alike
//	schedule FILE           runs the commands of a file of examples/
//	webhook FILE [STATUS]   starts a webhook that outlives the command under test,
//	                        writes what it gets into the file, and sets $WEBHOOK
//	hostile                 starts a server with forged texts in all that it says, and
//	                        sets $URL
//	wild VARIABLE NAME TEXT makes a file of both as Go strings without quotes, and
//	                        sets the variable to its name
//	tame FILE               asserts that the forged text is there, and does no harm
//	json FILE KEY WANT      asserts a value of a JSON file, keys parted by dots
func TestScripts(t *testing.T) {
	scripts(t, testscript.Params{Dir: "testdata/script"}, nil)
}

// TestScriptsOnPostgres runs those that need a database. Each has one of its own,
// whose address is $DB.
func TestScriptsOnPostgres(t *testing.T) {
	files, err := filepath.Glob("testdata/postgres/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			u, err := url.Parse(pgtest.URL(t))
			if err != nil {
				t.Fatal(err)
			}
			_, password, _ := strings.Cut(u.User.String(), ":")
			u.RawQuery = ""
			scripts(t, testscript.Params{Files: []string{file}}, map[string]string{"DB": u.String(), "PASSWORD": password, "PGSSLMODE": "disable"})
		})
	}
}

// scripts runs scripts with more variables than testscript has.
func scripts(t *testing.T, params testscript.Params, variables map[string]string) {
	samples, err := filepath.Abs("../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	params.Setup = func(env *testscript.Env) error {
		env.Setenv("TESTDATA", samples)
		env.Setenv("EXAMPLES", filepath.Join(samples, "../examples"))
		env.Setenv("TOLOKA_TOKEN", "secret-token")
		env.Setenv("POOLFILL_STATE_DIR", env.WorkDir+"/state")
		for name, value := range variables {
			env.Setenv(name, value)
		}
		return nil
	}
	params.Cmds = map[string]func(*testscript.TestScript, bool, []string){
		"emulator": startEmulator,
		"pool":     assertPool,
		"tasks":    assertTasks,
		"json":     assertJSON,
		"exits":    assertExit,
		"hold":     holdPool,
		"webhook":  startWebhook,
		"files":    serveFiles,
		"schedule": runSchedule,
		"get":      getLive,
		"hostile":  startHostile,
		"wild":     wildFile,
		"tame":     assertTame,

		"hold-elsewhere": holdElsewhere,
	}
	params.RequireExplicitExec, params.RequireUniqueNames = true, true
	testscript.Run(t, params)
}

// holdElsewhere holds a pool of the emulator as a run of another machine would.
func holdElsewhere(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hold-elsewhere POOL")
	}
	ctx := context.Background()
	l, err := ledger.OpenURL(ctx, ts.Getenv("POOLFILL_DB"))
	ts.Check(err)
	release, held, err := l.HoldPool(ctx, ts.Getenv("URL"), args[0])
	ts.Check(err)
	if !held {
		ts.Fatalf("another has pool %s", args[0])
	}
	ts.Defer(func() { ts.Check(errors.Join(release(), l.Close())) })
}

// holdPool holds a pool of the emulator as another run would, until the script
// ends.
func holdPool(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hold POOL OWNER")
	}
	lock, err := state.LockPool(ts.Getenv("POOLFILL_STATE_DIR"), ts.Getenv("URL"), args[0], args[1])
	ts.Check(err)
	ts.Defer(func() { ts.Check(lock.Release()) })
}

// getLive asks the live view of a run that goes on beside the script. It gives
// up after the minute in which nothing should take so long.
func getLive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: get LOG PATH FILE WANT")
	}
	want, err := regexp.Compile(args[3])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var body []byte
	for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		log, err := os.ReadFile(ts.MkAbs(args[0]))
		base := regexp.MustCompile(`shown at (http://[^/]+)/ `).FindSubmatch(log)
		if err != nil || base == nil {
			continue // it has not begun
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, string(base[1])+args[1], nil)
		ts.Check(err)
		answer, err := http.DefaultClient.Do(r)
		ts.Check(err)
		body, err = io.ReadAll(answer.Body)
		ts.Check(errors.Join(err, answer.Body.Close()))
		if want.Match(body) {
			ts.Check(os.WriteFile(ts.MkAbs(args[2]), body, 0o600))
			return
		}
	}
	ts.Fatalf("the live view does not say %q, but\n%s", args[3], body)
}

// assertExit runs a command that must end with the given exit code.
func assertExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG ...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// startEmulator serves an emulator until the script ends. Flags are name=value:
// faults, spec, token, tasks-per-minute, operation-time.
func startEmulator(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("emulator can't be negated")
	}
	cfg := emulator.Config{Seed: 1, Limits: emulator.Limits{
		RequestsPerSecond: emulator.NoLimit, TasksPerMinute: emulator.NoLimit, TasksPerDay: emulator.NoLimit,
	}}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		var err error
		switch name {
		case "faults":
			cfg.Faults, err = emulator.ParseFaults(value)
		case "spec":
			cfg.Spec = json.RawMessage(ts.ReadFile(value))
		case "token":
			cfg.Token = value
		case "pool-tasks":
			_, err = fmt.Sscan(value, &cfg.Limits.PoolTasks)
		case "day": // with a quota of 6 tasks
			cfg.Limits.TasksPerDay, cfg.Limits.Calendar = 6, true
			cfg.Limits.Day, err = time.ParseDuration(value)
		default:
			ts.Fatalf("emulator: unknown setting %q", name)
		}
		ts.Check(err)
	}
	server, err := emulator.New(cfg)
	ts.Check(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, server, listener) }()
	ts.Defer(func() {
		cancel()
		ts.Check(<-ended)
		ts.Check(server.Close())
	})
	ts.Setenv("URL", "http://"+listener.Addr().String())
}

// startWebhook takes notifications until the script ends.
func startWebhook(ts *testscript.TestScript, neg bool, args []string) {
	status := http.StatusNoContent
	if len(args) == 2 {
		_, err := fmt.Sscan(args[1], &status)
		ts.Check(err)
	}
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: webhook FILE [STATUS]")
	}
	file := ts.MkAbs(args[0])
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.WriteFile(file, body, 0o600)
		}
		if err != nil {
			status = http.StatusInternalServerError
		}
		w.WriteHeader(status)
	}))
	ts.Defer(server.Close)
	ts.Setenv("WEBHOOK", server.URL)
}

// serveFiles serves a folder until the script ends.
func serveFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: files FOLDER [BYTES]")
	}
	most := 0
	if len(args) == 2 {
		_, err := fmt.Sscan(args[1], &most)
		ts.Check(err)
	}
	files := http.FileServer(http.Dir(ts.MkAbs(args[0])))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/signed/") && r.URL.RawQuery != "sig=SIGNATURE" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/down/") {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		if most > 0 {
			w = &breakingWriter{w, most}
		}
		files.ServeHTTP(w, r)
	}))
	ts.Defer(server.Close)
	ts.Setenv("FILES", server.URL)
}

// breakingWriter takes so many bytes of an answer, which is cut off there.
type breakingWriter struct {
	http.ResponseWriter
	left int
}

func (w *breakingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	if w.left -= n; err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// assertPool counts a pool's tasks over the API and checks that no input is
// there twice.
func assertPool(ts *testscript.TestScript, neg bool, args []string) { countTasks(ts, neg, args, false) }

// assertTasks counts a pool's tasks over the API.
func assertTasks(ts *testscript.TestScript, neg bool, args []string) { countTasks(ts, neg, args, true) }

func countTasks(ts *testscript.TestScript, neg bool, args []string, alike bool) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pool|tasks ID COUNT")
	}
	seen := make(map[string]bool)
	count, after := 0, ""
	for more := true; more; {
		var page struct {
			Items []struct {
				ID    string          `json:"id"`
				Input json.RawMessage `json:"input_values"`
			} `json:"items"`
			HasMore bool `json:"has_more"`
		}
		getJSON(ts, fmt.Sprintf("/api/v1/tasks?pool_id=%s&sort=id&limit=10000&id_gt=%s", args[0], after), &page)
		for _, item := range page.Items {
			if seen[string(item.Input)] && !alike {
				ts.Fatalf("pool %s has the task %s twice", args[0], item.Input)
			}
			seen[string(item.Input)] = true
			after = item.ID
			count++
		}
		more = page.HasMore
	}
	if fmt.Sprint(count) != args[1] {
		ts.Fatalf("pool %s has %d tasks, want %s", args[0], count, args[1])
	}
}

// getJSON asks until it gets an answer: faults can hit these requests too.
func getJSON(ts *testscript.TestScript, path string, into any) {
	const tries = 100
	for try := 1; ; try++ {
		err := tryJSON(ts, path, into)
		if err == nil {
			return
		}
		if try == tries {
			ts.Fatalf("%v", err)
		}
	}
}

func tryJSON(ts *testscript.TestScript, path string, into any) error {
	return askEmulator(context.Background(), ts.Getenv("URL")+path, ts.Getenv("TOLOKA_TOKEN"), into)
}

// askEmulator sends one GET and reads the answer's JSON.
func askEmulator(ctx context.Context, url, token string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "OAuth "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", url, answer.Status, body)
	}
	return json.Unmarshal(body, into)
}

// assertJSON compares one value of a JSON file, "stdout" or "stderr".
func assertJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: json FILE KEY WANT")
	}
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &value))
	for key := range strings.SplitSeq(args[1], ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(v) {
				ts.Fatalf("%s: no element %s of %d", args[0], key, len(v))
			}
			value = v[i]
		default:
			ts.Fatalf("%s: nothing under %s", args[0], key)
		}
	}
	if got := fmt.Sprint(value); (got == args[2]) == neg {
		ts.Fatalf("%s: %s is %s, want %s (negated: %v)", args[0], args[1], got, args[2], neg)
	}
}
