package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFaultScriptsAreRead(t *testing.T) {
	for script, want := range map[string]Faults{
		"":         nil,
		" , ":      nil,
		"lost=0.1": {{Name: "lost", Probability: 0.1}},
		"lost=0.1, post:reset=0.2,502html=0.05,500=0,429min=1e-3": {
			{Name: "lost", Probability: 0.1},
			{Scope: "post", Name: "reset", Probability: 0.2},
			{Name: "502html", Probability: 0.05},
			{Name: "500"},
			{Name: "429min", Probability: 0.001},
		},
		"slow=1:2s500ms": {{Name: "slow", Probability: 1, Delay: 2500 * time.Millisecond}},
		"log:hang=1,operation:hang=1,post:lost=1": {
			{Scope: "log", Name: "hang", Probability: 1},
			{Scope: "operation", Name: "hang", Probability: 1},
			{Scope: "post", Name: "lost", Probability: 1},
		},
	} {
		got, err := ParseFaults(script)
		if err != nil {
			t.Errorf("%q: %v", script, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q:\n%s", script, diff)
		}
		again, err := ParseFaults(got.String())
		if diff := cmp.Diff(got, again); err != nil || diff != "" {
			t.Errorf("%q does not survive as %q: %v\n%s", script, got, err, diff)
		}
	}
}

func TestFaultScriptErrorsSayWhatIsKnown(t *testing.T) {
	for script, want := range map[string]string{
		"lost":                   "name=probability",
		"lots=0.1":               "429hour",
		"lost=x":                 "number from 0 to 1",
		"lost=1.1":               "from 0 to 1",
		"lost=NaN":               "from 0 to 1",
		"lost=-0.1":              "from 0 to 1",
		"get:lost=0.1":           "operation",
		"200=0.1":                "no fault",
		"600html=0.1":            "no fault",
		"slow=0.1:x":             "duration",
		"slow=0.1:-1s":           "positive",
		"lost=0.1:1s":            "delay",
		"lost=0.6,reset=0.6":     "over 1",
		"lost=0.6,log:reset=0.6": `"log"`,
		"lots=0.1,rest=0.1":      `"rest"`,
	} {
		if _, err := ParseFaults(script); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", script, err, want)
		}
	}
}

func TestTheSameSeedGivesTheSameFaults(t *testing.T) {
	run := func(seed uint64) string {
		s := start(t, Config{Seed: seed, Faults: Faults{{Name: "500", Probability: 0.3}, {Scope: "pool", Name: "503", Probability: 0.3}}})
		var statuses strings.Builder
		for i := range 60 {
			path := "/api/v1/requester"
			if i%2 == 0 {
				path = "/api/v1/pools/1"
			}
			fmt.Fprintf(&statuses, "%d ", send(s, http.MethodGet, path, "").status)
		}
		return statuses.String()
	}
	first := run(1)
	if again := run(1); again != first {
		t.Errorf("the same seed gave\n%s and\n%s", first, again)
	}
	if other := run(2); other == first {
		t.Error("another seed gave the same")
	}
	for _, status := range []string{"200", "500", "503"} {
		if !strings.Contains(first, status) {
			t.Errorf("no status %s in %s", status, first)
		}
	}
}

func TestFaultsKeepTheirProbability(t *testing.T) {
	faults := Faults{{Scope: "log", Name: "hang", Probability: 0.9}, {Name: "lost", Probability: 0.1}, {Name: "reset", Probability: 0.2}}
	rnd := rand.New(rand.NewPCG(1, 2))
	got := make(map[string]int)
	const n = 100_000
	for range n {
		got[faults.draw("post", rnd).Name]++
	}
	for name, want := range map[string]float64{"lost": 0.1, "reset": 0.2, "": 0.7, "hang": 0} {
		if part := float64(got[name]) / n; part < want-0.01 || part > want+0.01 {
			t.Errorf("%q meets %.3f of the requests, want %.2f", name, part, want)
		}
	}
}

func TestStatusFaultsDoNothing(t *testing.T) {
	for name, want := range map[string]struct {
		status     int
		code       string
		interval   any
		retryAfter string
	}{
		"500":     {500, "INTERNAL_ERROR", nil, ""},
		"503":     {503, "REMOTE_SERVICE_UNAVAILABLE", nil, ""},
		"504":     {504, "REMOTE_SERVICE_UNAVAILABLE", nil, ""},
		"403":     {403, "ACCESS_DENIED", nil, ""},
		"429min":  {429, "TOO_MANY_REQUESTS", "MIN", ""},
		"429hour": {429, "TOO_MANY_REQUESTS", "HOUR", ""},
		"429day":  {429, "TOO_MANY_REQUESTS", "DAY", ""},
	} {
		s := start(t, Config{Faults: Faults{{Scope: "post", Name: name, Probability: 1}}})
		a := send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 0, 1)).wantError(t, want.status, want.code)
		if payload, ok := a.get(t, "payload").(map[string]any); ok && payload["interval"] != want.interval || !ok && want.interval != nil {
			t.Errorf("%s: payload %v", name, payload)
		}
		if n := len(count(t, s)); n != 0 {
			t.Errorf("%s: %d tasks were created", name, n)
		}
		if got := s.Stats().Faults[name]; got != 1 {
			t.Errorf("%s was counted %d times", name, got)
		}
	}
}

func TestTooManyRequestsComeWithAndWithoutAHint(t *testing.T) {
	s := start(t, Config{Faults: Faults{{Name: "429", Probability: 1}}})
	seen := make(map[string]bool)
	for range 40 {
		a := send(s, http.MethodGet, "/api/v1/requester", "").wantError(t, http.StatusTooManyRequests, "TOO_MANY_REQUESTS")
		seen[a.header.Get("Retry-After")] = true
		if a.get(t, "payload") != nil {
			t.Fatalf("payload in %s", a.raw)
		}
	}
	if diff := cmp.Diff(map[string]bool{"": true, "1": true}, seen); diff != "" {
		t.Errorf("Retry-After differs:\n%s", diff)
	}
}

func TestProxiesAnswerWithHTML(t *testing.T) {
	s := start(t, Config{Faults: Faults{{Name: "502html", Probability: 1}}})
	a := send(s, http.MethodGet, "/api/v1/pools/1", "").want(t, http.StatusBadGateway)
	if a.header.Get("Content-Type") != "text/html" || !strings.Contains(a.raw, "502 Bad Gateway") {
		t.Errorf("answer %v %s", a.header, a.raw)
	}
}

// wire runs a server behind a real connection.
func wire(t *testing.T, cfg Config) (*Server, string, *http.Client) {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		web.Close()
	})
	return s, web.URL, web.Client()
}

func request(ctx context.Context, t *testing.T, client *http.Client, url, body string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/v1/tasks?allow_defaults=true", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "OAuth t")
	r.Header.Set("Content-Type", "application/json")
	response, err := client.Do(r)
	if err != nil {
		return "", err
	}
	raw, err := io.ReadAll(response.Body)
	return string(raw), errors.Join(err, response.Body.Close())
}

func TestBrokenConnections(t *testing.T) {
	for name, want := range map[string]struct {
		tasks   int
		partial bool
	}{
		"lost":  {5000, false},
		"reset": {0, false},
		"trunc": {5000, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, url, client := wire(t, Config{Faults: Faults{{Scope: "post", Name: name, Probability: 1}}})
			raw, err := request(t.Context(), t, client, url, goodTasks("1", 0, 5000))
			if err == nil {
				t.Fatal("the client sees no error")
			}
			if (raw != "") != want.partial {
				t.Errorf("the client got %d bytes", len(raw))
			}
			if want.partial && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error %v, want an unexpected end", err)
			}
			if n := len(count(t, s)); n != want.tasks {
				t.Errorf("%d tasks were created, want %d", n, want.tasks)
			}
			if st := s.Stats(); st.Faults[name] != 1 {
				t.Errorf("statistics %+v", st)
			}
		})
	}
}

func TestAHangingRequestEndsWithTheClient(t *testing.T) {
	s, url, client := wire(t, Config{Faults: Faults{{Name: "hang", Probability: 1}}})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := request(ctx, t, client, url, goodTasks("1", 0, 1))
		failed <- err
	}()
	for s.Stats().Faults["hang"] == 0 {
		select {
		case err := <-failed:
			t.Fatalf("the request ended by itself: %v", err)
		default:
		}
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if n := len(count(t, s)); n != 0 {
		t.Errorf("%d tasks were created", n)
	}
}

func TestAHangingRequestEndsWithTheServer(t *testing.T) {
	s, url, client := wire(t, Config{Faults: Faults{{Name: "hang", Probability: 1}}})
	failed := make(chan error)
	go func() {
		_, err := request(t.Context(), t, client, url, goodTasks("1", 0, 1))
		failed <- err
	}()
	for s.Stats().Faults["hang"] == 0 {
		select {
		case err := <-failed:
			t.Fatalf("the request ended by itself: %v", err)
		default:
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("the client sees no error")
	}
}

// A server that answers without reading the body closes the connection, and the
// client may never see the answer.
func TestErrorsComeAfterTheBodyIsRead(t *testing.T) {
	for name, cfg := range map[string]Config{
		"a status":      {Faults: Faults{{Name: "503", Probability: 1}}},
		"a proxy":       {Faults: Faults{{Name: "502html", Probability: 1}}},
		"a quota":       {Faults: Faults{{Name: "429min", Probability: 1}}},
		"a wrong token": {Token: "other"},
	} {
		s := start(t, cfg)
		body := strings.NewReader("[" + strings.Repeat(" ", 1<<20) + "]")
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/tasks", body)
		r.Header.Set("Authorization", "OAuth t")
		r.Header.Set("Content-Type", "application/json")
		if a := do(s, r); a.status < 400 || body.Len() != 0 {
			t.Errorf("%s: status %d with %d bytes unread", name, a.status, body.Len())
		}
	}
}

func TestSlowAnswersAndLatency(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg      Config
		min, max time.Duration
	}{
		"nothing":     {Config{}, 0, 0},
		"slow":        {Config{Faults: Faults{{Name: "slow", Probability: 1}}}, time.Second, time.Second},
		"slow by 5 s": {Config{Faults: Faults{{Name: "slow", Probability: 1, Delay: 5 * time.Second}}}, 5 * time.Second, 5 * time.Second},
		"fixed":       {Config{MinLatency: 30 * time.Millisecond}, 30 * time.Millisecond, 30 * time.Millisecond},
		"spread":      {Config{MinLatency: time.Second, MaxLatency: 2 * time.Second}, time.Second, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, tc.cfg)
			seen := make(map[time.Duration]bool)
			for range 5 {
				begin := time.Now()
				send(s, http.MethodGet, "/api/v1/pools/1", "").want(t, http.StatusOK)
				took := time.Since(begin)
				seen[took] = true
				if took < tc.min || took > tc.max {
					t.Errorf("%s: the answer took %v", name, took)
				}
			}
			if (len(seen) > 1) != (tc.min != tc.max) {
				t.Errorf("%s: the answers took %v", name, seen)
			}
		})
	}
}
