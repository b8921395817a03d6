//go:build !windows

package notify_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"poolfill/cmd/poolfill/internal/notify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var report = []byte(`{"state": "finished"}`)

func TestACommandGetsTheReportAndTheExitCode(t *testing.T) {
	var out bytes.Buffer
	cfg := notify.Config{Target: `cat; echo " $POOLFILL_EXIT_CODE $COLOUR" >&2`, Environment: []string{"COLOUR=blue"}, Output: &out}
	if err := notify.Send(t.Context(), cfg, report, 3); err != nil {
		t.Fatal(err)
	}
	if want := string(report) + " 3 blue\n"; out.String() != want {
		t.Errorf("it printed %q, want %q", &out, want)
	}
}

func TestACommandHasTheProcesssEnvironmentUnlessOneIsGiven(t *testing.T) {
	t.Setenv("COLOUR", "red")
	for want, environment := range map[string][]string{"red": nil, "": {"A=b"}} {
		var out bytes.Buffer
		if err := notify.Send(t.Context(), notify.Config{Target: `printf %s "$COLOUR"`, Environment: environment, Output: &out}, report, 0); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("COLOUR is %q, want %q", &out, want)
		}
	}
}

func TestACommandNeedNotReadTheReport(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 1<<20) // more than a pipe holds
	if err := notify.Send(t.Context(), notify.Config{Target: "true"}, long, 0); err != nil {
		t.Error(err)
	}
}

func TestAWebhookGetsTheReportAndTheExitCode(t *testing.T) {
	var method, kind, code, body string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		method, kind, code, body = r.Method, r.Header.Get("Content-Type"), r.Header.Get(notify.ExitCodeHeader), string(data)
	}))
	defer server.Close()
	if err := notify.Send(t.Context(), notify.Config{Target: server.URL}, report, 4); err != nil {
		t.Fatal(err)
	}
	if method != http.MethodPost || kind != "application/json" || code != "4" || body != string(report) {
		t.Errorf("got %s, %s, exit code %s, %s", method, kind, code, body)
	}
}

func TestFailures(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/secret-moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/secret-slow":
			_, _ = io.Copy(io.Discard, r.Body) // the end of the request is seen only after its body
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(server.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, c := range map[string]struct{ target, want string }{
		"a command that fails":         {"exit 7", "exit status 7"},
		"a command that takes long":    {"exec sleep 3600", "took too long"},
		"children that take long":      {"sleep 3600 & sleep 3600", "took too long"},
		"a webhook that refuses":       {server.URL + "/secret", "answered 403 Forbidden"},
		"a webhook that moved":         {server.URL + "/secret-moved", "answered 302 Found"},
		"a webhook that takes long":    {server.URL + "/secret-slow", "took too long"},
		"a webhook that is not there":  {gone.URL + "/secret", "connection refused"},
		"a webhook of no host":         {"https:///secret", "can't be read"},
		"a webhook that is no URL":     {"https://example.com:secret/", "can't be read"},
		"a webhook whose host is none": {"http://secret@host.invalid/", "host.invalid can't be reached"},
		"nobody":                       {" ", "neither a command nor a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			within := notify.DefaultWithin
			if strings.Contains(c.want, "long") {
				within = 50 * time.Millisecond
			}
			err := notify.Send(context.Background(), notify.Config{Target: c.target, Within: within}, report, 1)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error holds more than the host: %v", err)
			}
		})
	}
}
