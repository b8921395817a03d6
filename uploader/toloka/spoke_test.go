package toloka

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const page = "<html><title>Please log in</title></html>"

var (
	noSuchHost = &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "toloka.example", IsNotFound: true}}
	anotherOne = x509.HostnameError{Certificate: &x509.Certificate{}, Host: "toloka.example"}
)

// foreign are the ways in which something that is not the API answers.
func foreign() map[string]func() (*http.Response, error) {
	ways := map[string]func() (*http.Response, error){
		"no such host":        func() (*http.Response, error) { return nil, noSuchHost },
		"another certificate": func() (*http.Response, error) { return nil, anotherOne },
		"a portal's JSON":     func() (*http.Response, error) { return answer(200, `{"login":"required"}`), nil },
		"a login page":        func() (*http.Response, error) { return answer(200, page), nil },
		"other JSON":          func() (*http.Response, error) { return answer(403, `{"message":"Forbidden"}`), nil },
		"JSON that is null":   func() (*http.Response, error) { return answer(404, "null"), nil },
	}
	for _, status := range []int{302, 307, 400, 401, 403, 404, 405, 409, 413, 415, 422, 500, 502, 503, 504, 511} {
		for name, body := range map[string]string{"page": page, "nothing": ""} {
			ways[fmt.Sprintf("a %d with a %s", status, name)] = func() (*http.Response, error) { return answer(status, body), nil }
		}
	}
	return ways
}

// Once the API has answered, what isn't the API's answer is the way's fault, and passes.
func TestWhatIsNotTheAPIPassesOnceTheAPIHasAnswered(t *testing.T) {
	for name, way := range foreign() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var until time.Time
				f := &fakeServer{handle: func(received) (*http.Response, error) {
					if time.Now().Before(until) {
						return way()
					}
					return answer(200, `{"id":"1"}`), nil
				}}
				c := newClient(t, f, Config{RetryFor: 20 * time.Second})
				if _, err := c.Pool(t.Context(), "1"); err != nil {
					t.Fatal(err)
				}
				until = time.Now().Add(3 * time.Second)
				if _, err := c.Pool(t.Context(), "1"); err != nil {
					t.Errorf("3 seconds of it end with: %v", err)
				}
				until = time.Now().Add(time.Hour)
				start := time.Now()
				_, err := c.Pool(t.Context(), "1")
				if took := time.Since(start); err == nil || took > 20*time.Second || took < time.Second {
					t.Errorf("an hour of it ends after %v with: %v", took, err)
				}
			})
		})
	}
}

// Before that, the address is the likelier fault.
func TestATypingMistakeIsSaidAtOnce(t *testing.T) {
	for name, way := range foreign() {
		var status int
		if _, err := fmt.Sscanf(name, "a %d", &status); err == nil && status >= 500 {
			continue // these may pass, whoever sends them
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeServer{handle: func(received) (*http.Response, error) { return way() }}
				start := time.Now()
				_, err := newClient(t, f, Config{}).Pool(t.Context(), "1")
				if took := time.Since(start); err == nil || took > 10*time.Second || len(f.requests) > 1 && name != "a login page" && name != "a portal's JSON" {
					t.Errorf("%d requests in %v end with: %v", len(f.requests), took, err)
				}
			})
		})
	}
}

// What a page says of a request is not that the API hasn't got it. Where nothing was
// sent, nothing is in doubt.
func TestWhatIsInDoubtAfterAForeignAnswer(t *testing.T) {
	for name, way := range foreign() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				f := &fakeServer{handle: func(r received) (*http.Response, error) {
					switch n++; {
					case r.Method == http.MethodGet:
						return answer(200, `{"id":"1"}`), nil
					case n == 2:
						return way()
					}
					return answer(201, itemsOf("t0", "t1")), nil
				}}
				c := newClient(t, f, Config{})
				if _, err := c.Pool(t.Context(), "1"); err != nil {
					t.Fatal(err)
				}
				asked := false
				b := Batch{Body: []byte(`[{},{}]`), Len: 2, Name: "2 rows"}
				_, err := c.Create(t.Context(), Tasks(), b, Hooks{}, func(iter.Seq[Item]) {}, func(_ context.Context, failed *Error) (Batch, error) {
					asked = true
					return b, nil
				})
				nothingSent := name == "no such host" || name == "another certificate"
				tooLarge := KindOf(err) == KindTooLarge // for the caller to cut in halves, as soon as it was looked
				if asked == nothingSent || (err != nil) != tooLarge {
					t.Errorf("what became of the tasks is asked for: %v; the end is: %v", asked, err)
				}
			})
		})
	}
}

// A single task that something on the way finds too large stays so.
func TestASingleTaskThatIsTooLargeOnTheWayEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{handle: func(r received) (*http.Response, error) {
			if r.Method == http.MethodGet {
				return answer(200, `{"id":"1","status":"OPEN"}`), nil
			}
			return answer(413, page), nil
		}}
		c := newClient(t, f, Config{})
		if _, err := c.Pool(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
		_, effort, err := c.Submit(t.Context(), Tasks(), Batch{Body: []byte(`[{}]`), Len: 1}, "1", Hooks{})
		if KindOf(err) != KindTooLarge || effort.Attempts != maxMalformed+1 {
			t.Errorf("after %d attempts: %v", effort.Attempts, err)
		}
	})
}

func TestWhatAForeignAnswerIsCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := script(t, on("GET /pools/1", 200, `{"id":"1"}`), on("GET /pools/1", 302, page), on("GET /pools/1", 504, page))
		c := newClient(t, f, Config{RetryFor: time.Nanosecond})
		if _, err := c.Pool(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"what answered for toloka.example while reading pool 1 is not the API (302): check the network and the proxy, and whether one has to log in there",
			"something on the way to toloka.example had no answer from it while reading pool 1 (504): try again later",
		} {
			if _, err := c.Pool(t.Context(), "1"); err == nil || err.Error() != want {
				t.Errorf("the error is %v, want %s", err, want)
			}
		}
		if s := c.Stats(); s.ByStatus["302"] != 1 || s.ByStatus["504"] != 1 {
			t.Errorf("the stats are %+v", s)
		}
	})
}

// A 2xx without what it should hold says nothing of what became of the tasks.
func TestA2xxWithoutItsBodyLeavesTheTasksInDoubt(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
	}{{204, ""}, {200, ""}, {201, "{}"}, {202, page}, {200, "null"}, {201, `{"items":null}`}, {203, `[]`}} {
		synctest.Test(t, func(t *testing.T) {
			f := script(t, on("POST /tasks", tc.status, tc.body))
			asked := 0
			_, err := newClient(t, f, Config{}).Create(t.Context(), Tasks(), Batch{Body: []byte(`[{}]`), Len: 1}, Hooks{},
				func(iter.Seq[Item]) { t.Errorf("%d %q counts as an answer", tc.status, tc.body) },
				func(context.Context, *Error) (Batch, error) { asked++; return Batch{}, nil })
			if err != nil || asked != 1 {
				t.Errorf("after %d %q, the pool is asked %d times (%v)", tc.status, tc.body, asked, err)
			}
		})
	}
}

func TestA204IsNoOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := script(t, on(post, 204, ""), on(post, 409, existing))
		_, _, err := newClient(t, f, Config{}).Submit(t.Context(), Tasks(), Batch{Body: []byte(`[{}]`), Len: 1}, "1", Hooks{})
		if KindOf(err) != KindConflict {
			t.Errorf("the error is: %v", err)
		}
	})
}

// The page of something that puts its own in place of the API's word that the operation
// exists is no conflict: the operation is asked for.
func TestAForeignConflictOfARepetitionIsLookedInto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := script(t,
			on("GET /pools/1", 200, `{"id":"1"}`), on(post, 504, page),
			on(post, 409, page), on("GET /operations/op", 404, missing), // the first has not arrived yet
			on(post, 409, page), on("GET /operations/op", 200, `{"id":"op","status":"RUNNING"}`))
		c := newClient(t, f, Config{})
		if _, err := c.Pool(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
		op, effort, err := c.Submit(t.Context(), Tasks(), Batch{Body: []byte(`[{}]`), Len: 1}, "op", Hooks{})
		if err != nil || op.ID != "op" || op.Status != OperationRunning || effort.Attempts != 3 {
			t.Errorf("after %d attempts the operation is %+v (%v)", effort.Attempts, op, err)
		}
	})
}

// A server that names operations as it likes creates the batch each time that it comes.
func TestAnotherOperationEndsAtTheFirstAnswer(t *testing.T) {
	f := script(t, on(post, 202, `{"id":"other","status":"RUNNING"}`))
	_, effort, err := newClient(t, f, Config{}).Submit(t.Context(), Tasks(), Batch{Body: []byte(`[{}]`), Len: 1, Name: "1 row"}, "ours", Hooks{})
	var failed *Error
	if !errors.As(err, &failed) || failed.Kind != KindUnexpected || !failed.InDoubt || effort.Attempts != 1 || !strings.Contains(err.Error(), "answers about operation other") {
		t.Errorf("the error is: %v", err)
	}
}

func TestAnAnswerAboutAnotherOperationIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := script(t, on("GET /operations/ours", 200, `{"id":"other","status":"SUCCESS"}`), on("GET /operations/ours", 200, `{"id":"ours","status":"RUNNING"}`))
		if op, err := newClient(t, f, Config{}).Operation(t.Context(), "ours"); err != nil || op.Status != OperationRunning {
			t.Errorf("the operation is %+v (%v)", op, err)
		}
	})
}

// closing is a server that closes each connection after its answer, without a word of
// it before. It counts the requests.
func closing(t *testing.T, serve func(r *http.Request) (status int, body string)) (url string, requests *atomic.Int64) {
	t.Helper()
	requests = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		status, body := serve(r)
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = fmt.Fprintf(rw, "HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
		_ = rw.Flush()
		_ = conn.Close()
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

// What must not come twice is sent on a new connection, until the server was seen to keep
// one: then no answer is ever lost since the connection was just being closed.
func TestConnectionsThatTheServerClosesLeaveNothingInDoubt(t *testing.T) {
	url, requests := closing(t, func(r *http.Request) (int, string) {
		if r.Method == http.MethodPost {
			return 201, itemsOf("t0")
		}
		return 200, `{"id":"1"}`
	})
	c, err := NewClient(Config{BaseURL: url, Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.Pool(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		effort, err := c.Create(t.Context(), Tasks(), Batch{Body: []byte(`[{}]`), Len: 1}, Hooks{}, func(iter.Seq[Item]) {},
			func(context.Context, *Error) (Batch, error) { return Batch{}, errors.New("the tasks are in doubt") })
		if err != nil || effort.Attempts != 1 {
			t.Fatalf("%d attempts, %v", effort.Attempts, err)
		}
	}
	if n := requests.Load(); n != 51 {
		t.Errorf("%d requests arrive", n)
	}
}

// What may come twice takes another connection at once.
func TestConnectionsThatTheServerClosesCostNoTime(t *testing.T) {
	url, _ := closing(t, func(r *http.Request) (int, string) {
		return 202, `{"id":"` + r.URL.Query().Get("operation_id") + `","status":"RUNNING"}`
	})
	core, logged := observer.New(zap.WarnLevel)
	c, err := NewClient(Config{BaseURL: url, Token: testToken, Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for i := range 200 {
		if _, _, err := c.Submit(t.Context(), Tasks(), Batch{Body: []byte(`[{}]`), Len: 1}, fmt.Sprint("op", i), Hooks{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, entry := range logged.All() {
		if _, waits := entry.ContextMap()["delay"]; waits {
			t.Errorf("it waits: %v", entry.ContextMap())
		}
	}
}

func TestAServerThatKeepsItsConnectionsGetsFewOfThem(t *testing.T) {
	connections := map[string]bool{}
	c := liveClient(t, func(w http.ResponseWriter, r *http.Request) {
		connections[r.RemoteAddr] = true
		if r.Method == http.MethodPost {
			_, _ = io.WriteString(w, itemsOf("t0"))
			return
		}
		_, _ = io.WriteString(w, `{"id":"1"}`)
	})
	for range 2 {
		if _, err := c.Pool(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if _, err := c.Create(t.Context(), Tasks(), Batch{Body: []byte(`[{}]`), Len: 1}, Hooks{}, func(iter.Seq[Item]) {}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(connections) != 1 {
		t.Errorf("%d connections for 22 requests", len(connections))
	}
}

// What is certain about a connection that broke.
func TestWhatABrokenConnectionLeavesInDoubt(t *testing.T) {
	body := []byte("[" + strings.Repeat(" ", 32<<20) + "]")
	for _, tc := range []struct {
		name    string
		serve   func(net.Conn)
		inDoubt bool
	}{
		{"before the body was sent", func(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)) }, false},
		{"after all was read", func(c net.Conn) {
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan struct{})
			go func() {
				defer close(served)
				if c, err := listener.Accept(); err == nil {
					tc.serve(c)
					_ = c.(*net.TCPConn).SetLinger(0)
					_ = c.Close()
				}
			}()
			c, err := NewClient(Config{BaseURL: "http://" + listener.Addr().String(), Token: testToken, RetryFor: time.Nanosecond})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			_, _, err = c.Submit(t.Context(), Tasks(), Batch{Body: body, Len: 1}, "op", Hooks{})
			<-served
			_ = listener.Close()
			var failed *Error
			if !errors.As(err, &failed) || failed.Kind != KindBroken || failed.InDoubt != tc.inDoubt {
				t.Errorf("%+v", failed)
			}
		})
	}
}

func TestWhatIsCertainAboutAConnection(t *testing.T) {
	for _, err := range []error{anotherOne, noSuchHost} {
		var way trail
		trace := way.trace()
		trace.GetConn("toloka.example:443")
		if !way.unsent(err) {
			t.Errorf("%v with no connection leaves something in doubt", err)
		}
	}
	var way trail
	trace := way.trace()
	trace.GetConn("toloka.example:443")
	trace.GotConn(struct {
		Conn            net.Conn
		Reused, WasIdle bool
		IdleTime        time.Duration
	}{Reused: true})
	for err, want := range map[error]bool{io.EOF: false, syscall.ECONNRESET: false, errors.New(closedIdle): true} {
		if way.unsent(err) != want || !way.stale() {
			t.Errorf("%v on a connection that was kept: certainly unsent is %v", err, !want)
		}
	}
	trace.GotFirstResponseByte()
	if way.stale() {
		t.Error("a connection that answers is taken for one that was closed")
	}
}
