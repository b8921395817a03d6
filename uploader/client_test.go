package uploader

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"poolfill/ratelimit"
	"poolfill/uploader/toloka"
)

func TestConfigNamesEverythingWrong(t *testing.T) {
	c := newClient(t, script(t), toloka.Config{})
	_, err := New(c, Config{OperationTimeout: -1, Settle: -1})
	_, modeErr := New(c, Config{PoolID: "1", Mode: "later"})
	for _, part := range []string{"pool's id", "run's key", "operation is negative", "settle is negative", "async or sync"} {
		if !strings.Contains(fmt.Sprint(err, modeErr), part) {
			t.Errorf("%q isn't named in: %v, %v", part, err, modeErr)
		}
	}
	if _, err := New(nil, Config{PoolID: "1", RunKey: "r"}); err == nil {
		t.Error("no client is accepted")
	}
}

func TestEveryRequestCarriesItsHeaders(t *testing.T) {
	f := &fakeServer{handle: func(r request) (*http.Response, error) {
		want := http.Header{
			"Authorization": {"OAuth " + testToken}, "User-Agent": {"tests"}, "Accept": {"application/json"},
			"X-Act-Under-Account-Id": {"acc"},
		}
		if r.Method == http.MethodPost {
			want["Content-Type"] = []string{"application/json"}
			if r.ContentLength != int64(len(r.body)) || r.GetBody == nil {
				t.Error("the body has no length, or can't be sent again")
			}
		}
		if !reflect.DeepEqual(r.Header, want) {
			t.Errorf("the headers are %v, want %v", r.Header, want)
		}
		if r.Method == http.MethodPost {
			return answer(202, success), nil
		}
		if strings.HasSuffix(r.URL.Path, "log") {
			return answer(200, logOf(0)), nil
		}
		if r.URL.EscapedPath() != "/mock/api/v1/pools/1%2F2" {
			t.Errorf("the path is %s", r.URL.EscapedPath())
		}
		return answer(200, `{"id":"1/2","status":"OPEN"}`), nil
	}}
	u := newUploader(t, f, setup{client: toloka.Config{BaseURL: "https://toloka.example/mock", UserAgent: "tests", ActUnder: "acc"}})
	upload(t, u, chunkOf(t, true, "a"))
	pool, err := u.client.Pool(t.Context(), "1/2")
	if err != nil || pool.ID != "1/2" || pool.Status != toloka.PoolOpen {
		t.Errorf("the pool is %+v, %v", pool, err)
	}
}

func TestStatsCountAttemptsByTheirAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.DebugLevel)
		c := newClient(t, script(t,
			broken(syscall.ECONNRESET), broken(io.EOF), broken(errors.New("odd")), broken(refusedConnection), silent(post),
			on(post, 500, "try "+testToken), on(post, 429, "", "Retry-After", "9"), on(post, 200, "<"), on(post, 202, success),
			on(logs, 200, logOf(0)),
		), toloka.Config{Log: zap.New(core)})
		u, err := New(c, Config{PoolID: "12", RunKey: "r"})
		if err != nil {
			t.Fatal(err)
		}
		upload(t, u, chunkOf(t, true, "content of a task"))
		s := c.Stats()
		want := map[string]int64{"reset": 1, "truncated": 1, "broken": 1, "unreachable": 1, "timeout": 1, "500": 1, "429": 1, "malformed": 1, "202": 1, "200": 1}
		if !reflect.DeepEqual(s.ByStatus, want) || s.Sent != 10 || s.Retried != 8 || s.QuotaWait < 9*time.Second {
			t.Errorf("the stats are %+v", s)
		}
		if logged.FilterLevelExact(zap.WarnLevel).Len() != 8 || logged.FilterLevelExact(zap.DebugLevel).Len() != 10 {
			t.Errorf("%d warnings and %d debug lines, want 8 and 10", logged.FilterLevelExact(zap.WarnLevel).Len(), logged.FilterLevelExact(zap.DebugLevel).Len())
		}
		for _, entry := range logged.All() {
			line := entry.Message + fmt.Sprint(entry.ContextMap())
			if strings.Contains(line, testToken) || strings.Contains(line, "content of a task") {
				t.Errorf("a log line tells too much: %s", line)
			}
		}
	})
}

func TestAPortWhereNothingListensLeavesNothingInDoubt(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	c, err := toloka.NewClient(toloka.Config{BaseURL: "http://" + address, Token: testToken, RetryFor: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	u, err := New(c, Config{PoolID: "12", RunKey: "r"})
	if err != nil {
		t.Fatal(err)
	}
	o, err := uploadFails(t.Context(), t, u, chunkOf(t, true, "a"))
	if !strings.Contains(err.Error(), address+" can't be reached for sending 1 row: nothing listens there") {
		t.Errorf("the error is: %v", err)
	}
	expect(t, o, "unsent "+reasonNotSent)
}

func TestEachAttemptIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(status int, body string) step {
			return step{post, func(request) (*http.Response, error) {
				time.Sleep(time.Second)
				return answer(status, body), nil
			}}
		}
		var seen []toloka.Exchange
		gate, err := ratelimit.New(ratelimit.Config{TasksPerMinute: 3})
		if err != nil {
			t.Fatal(err)
		}
		f := script(t, slow(429, ""), slow(201, itemsOf("t0", "t1")), slow(413, tooBig), slow(201, itemsOf("t0")), slow(201, itemsOf("t1")))
		u := newUploader(t, f, setup{
			cfg: Config{Mode: Sync},
			client: toloka.Config{Gate: gate, Observe: func(e toloka.Exchange) {
				if e.Tasks > 0 {
					seen = append(seen, e)
				}
			}},
		})
		start := time.Now()
		var waited time.Duration
		for range 2 {
			waited += upload(t, u, chunkOf(t, false, "a", "b")).QuotaWait
		}
		var took time.Duration
		for i, want := range []toloka.Exchange{
			{Tasks: 2, Status: 429, Kind: toloka.KindQuota},
			{Tasks: 2, Status: 201},
			{Tasks: 2, Status: 413, Kind: toloka.KindTooLarge},
			{Tasks: 1, Status: 201},
			{Tasks: 1, Status: 201},
		} {
			got := seen[i]
			took += got.Took
			if got.Took != time.Second || got.Sent.Before(start) {
				t.Errorf("attempt %d took %v", i, got.Took)
			}
			if got.Sent, got.Took = want.Sent, 0; got != want {
				t.Errorf("attempt %d is %+v, want %+v", i, got, want)
			}
		}
		if all := time.Since(start); waited < 50*time.Second || waited != all-took {
			t.Errorf("of %v, %v are waiting for the quota and %v requests", all, waited, took)
		}
	})
}
