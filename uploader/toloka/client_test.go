package toloka

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

func TestConfigNamesEverythingWrong(t *testing.T) {
	_, err := NewClient(Config{BaseURL: "toloka.dev", Token: "two words", ActUnder: "a\nb", UserAgent: "\x00", RetryFor: -1, RequestTimeout: -1, Connections: -1})
	if err == nil {
		t.Fatal("it is accepted")
	}
	for _, part := range []string{"should look like https://toloka.dev", "characters that no token has", "account id", "user agent", "retries is negative", "timeout is negative", "connections is negative"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q isn't named in: %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "two words") {
		t.Error("the token is in the error")
	}
	if _, err = NewClient(Config{BaseURL: "https://toloka.dev"}); err == nil || !strings.Contains(err.Error(), "the token is empty") {
		t.Errorf("an empty token gives: %v", err)
	}
}

func TestAddressesAreReadInEveryForm(t *testing.T) {
	for address, want := range map[string]string{
		"https://toloka.dev":              "https://toloka.dev",
		"https://toloka.dev/":             "https://toloka.dev",
		" https://toloka.dev/api/v1/ ":    "https://toloka.dev",
		"http://127.0.0.1:8090/mock/":     "http://127.0.0.1:8090/mock",
		"toloka.dev":                      "",
		"ftp://toloka.dev":                "",
		"https://":                        "",
		"https://user:word@toloka.dev":    "",
		"https://toloka.dev?token=secret": "",
		"https://tolo ka.dev":             "",
		"":                                "",
	} {
		u, err := baseURL(address)
		if got := fmt.Sprint(u); err == nil && got != want || err != nil && want != "" {
			t.Errorf("%q gives %q, %v; want %q", address, got, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "word") || strings.Contains(err.Error(), "secret")) && !strings.Contains(err.Error(), `"`) {
			t.Errorf("a secret is in the error: %v", err)
		}
	}
}

func TestTheTokensFormTellsTheHeader(t *testing.T) {
	dots := func(first, second int) string {
		b := []byte(strings.Repeat("x", 60))
		b[first], b[second] = '.', '.'
		return string(b)
	}
	for token, want := range map[string]string{
		dots(21, 40): "OAuth ", dots(22, 40): "ApiKey ", dots(23, 24): "ApiKey ", dots(24, 59): "ApiKey ", dots(25, 40): "OAuth ",
		dots(23, 40) + ".": "OAuth ", dots(23, 23): "OAuth ", "AQAD-abc": "OAuth ",
	} {
		if got := authorization(token); got != want+token {
			t.Errorf("%s is sent as %s", token, got)
		}
	}
}

func TestReadingThings(t *testing.T) {
	c := newClient(t, script(t,
		on("GET /projects/7", 200, `{"id":"7","public_name":"Cats","task_spec":{"input_spec":{"image":{"type":"url","required":true}}}}`),
		on("GET /requester", 200, `{"id":"acc","balance":12.50,"public_name":{"EN":"We"}}`),
		on("GET /pools/9", 404, missing),
	), Config{})
	project, err := c.Project(t.Context(), "7")
	if err != nil || !project.TaskSpec.Input["image"].Required {
		t.Errorf("the project is %+v, %v", project, err)
	}
	requester, err := c.Requester(t.Context())
	if want := (Requester{ID: "acc", Balance: "12.50", PublicName: map[string]string{"EN": "We"}}); err != nil || !reflect.DeepEqual(requester, want) {
		t.Errorf("the requester is %+v, %v", requester, err)
	}
	_, err = c.Pool(t.Context(), "9")
	if want := "not found while reading pool 9 (404 DOES_NOT_EXIST: no such): check the id, and that it belongs to the token's account on toloka.example"; err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

func TestTheServersClockIsKnownFromItsAnswers(t *testing.T) {
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusForbidden) // any answer tells the time
	}))
	t.Cleanup(listener.Close)
	c, err := NewClient(Config{BaseURL: listener.URL, Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, known := c.ClockAhead(); known {
		t.Error("the clock is known before any answer")
	}
	if _, err := c.Requester(t.Context()); err == nil {
		t.Error("no error")
	}
	if ahead, known := c.ClockAhead(); !known || ahead.Round(time.Minute) != -time.Hour {
		t.Errorf("the clock is %v ahead, known: %v", ahead, known)
	}
}

func TestOpeningAPool(t *testing.T) {
	const open = "POST /pools/12/open"
	operation := func(status string) string {
		return fmt.Sprintf(`{"id":"op","type":"POOL.OPEN","status":%q,"details":{"message":"no tasks"}}`, status)
	}
	for _, tc := range []struct {
		name  string
		steps []step
		want  string // in the error; empty: none
	}{
		{"at once", []step{on(open, 204, "")}, ""},
		{"as an operation", []step{on(open, 202, operation("PENDING")), on(poll, 200, operation("RUNNING")), on(poll, 200, operation("SUCCESS"))}, ""},
		{"which fails", []step{on(open, 202, operation("RUNNING")), on(poll, 200, operation("FAIL"))}, "no tasks"},
		{"refused", []step{on(open, 409, `{"code":"INAPPROPRIATE_STATUS"}`)}, "opening pool 12 is not possible now"},
		{"lost", []step{on(open, 202, operation("RUNNING")), on(poll, 404, missing)}, "not found while reading operation op"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := newClient(t, script(t, tc.steps...), Config{}).OpenPool(t.Context(), "12")
				if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("the error is %v, want %q in it", err, tc.want)
				}
				var failed *NotOpenedError
				if errors.As(err, &failed) != (tc.name == "which fails") {
					t.Errorf("the error is a %T", err)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &fakeServer{handle: func(received) (*http.Response, error) {
			time.AfterFunc(time.Nanosecond, cancel)
			return answer(202, operation("RUNNING")), nil
		}}
		if err := newClient(t, f, Config{}).OpenPool(ctx, "12"); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled one gives %v", err)
		}
	})
}

func TestWhatFailuresMean(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, tc := range []struct {
		name         string
		err          error
		noConnection bool
		want         Kind
		retry        bool
		text         string
		said         bool // the text says what the cause does
	}{
		{"refused", dial(syscall.ECONNREFUSED), false, KindUnreachable, true, "nothing listens there", true},
		{"no route", dial(syscall.EHOSTUNREACH), false, KindUnreachable, true, "the network has no way to it; check the network, the address and the proxy", true},
		{"no such host", dial(&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}), false, KindUnreachable, false, "no host has this name", true},
		{"no DNS", dial(&net.DNSError{Err: "server misbehaving", Name: "x"}), false, KindUnreachable, true, "can't be looked up", true},
		{"a bad proxy", &net.OpError{Op: "proxyconnect", Err: io.EOF}, false, KindUnreachable, true, "the proxy can't be reached; check HTTPS_PROXY", false},
		{"a timeout before there is a connection", timeoutError{time.Second}, true, KindUnreachable, true, "can't be reached", false},
		{"an unknown authority", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, false, KindInsecure, false, "is not safe, as its certificate can't be verified", false},
		{"another host's certificate", x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}, false, KindInsecure, false, "is not safe, as its certificate can't be verified", false},
		{"no TLS at all", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, false, KindInsecure, false, "is not safe: what answers there doesn't speak TLS", true},
		{"http at an address with https", http.ErrSchemeMismatch, true, KindUnreachable, false, "write http:// in the address", true},
		{"a timeout", timeoutError{time.Second}, false, KindTimeout, true, "did not answer in time", false},
		{"a deadline", context.DeadlineExceeded, false, KindTimeout, true, "did not answer in time", false},
		{"a reset", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, false, KindBroken, true, "closed the connection; check", true},
		{"a reset before there is a connection", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, true, KindUnreachable, true, "closed the connection; check", true},
		{"an end", io.ErrUnexpectedEOF, false, KindBroken, true, "it ended before the answer was whole", true},
		{"another break", errors.New("http: strange"), false, KindBroken, true, "broke while", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := &Error{Kind: ofFailure(tc.err, tc.noConnection), What: "reading pool 1", Host: "toloka.example", Cause: tc.err}
			if e.Kind != tc.want || e.Retryable() != tc.retry {
				t.Errorf("kind %q, tried again: %v; want %q, %v", e.Kind, e.Retryable(), tc.want, tc.retry)
			}
			text := e.Error()
			if !strings.Contains(text, tc.text) || !strings.Contains(text, "reading pool 1") {
				t.Errorf("the text is: %s", text)
			}
			if strings.HasSuffix(text, "("+tc.err.Error()+")") == tc.said || strings.Contains(text, "dial") {
				t.Errorf("Go's own words are at the end where they say more, and nowhere else: %s", text)
			}
		})
	}
}

func TestWhatStatusesMean(t *testing.T) {
	for _, tc := range []struct {
		status  int
		code    string
		want    Kind
		retry   bool
		inDoubt bool
	}{
		{400, "", KindInvalid, false, false},
		{401, "", KindAuth, false, false},
		{403, "", KindAuth, false, false},
		{404, "", KindNotFound, false, false},
		{408, "", KindTransient, true, true},
		{409, "", KindConflict, false, false},
		{409, codePoolLocked, KindBusy, true, false},
		{413, "", KindTooLarge, false, false},
		{415, "", KindUnexpected, false, false},
		{422, "", KindInvalid, false, false},
		{429, "", KindQuota, true, false},
		{301, "", KindUnexpected, false, false},
		{500, "", KindTransient, true, true},
		{502, "", KindTimeout, true, true},
		{503, "", KindTransient, true, true},
		{504, "", KindTimeout, true, true},
		{599, "", KindTransient, true, true},
	} {
		e := &Error{Kind: ofStatus(tc.status, tc.code), Status: tc.status, Attempts: 3}
		if e.Kind != tc.want || e.Retryable() != tc.retry || maybeDone(e.Kind) != tc.inDoubt {
			t.Errorf("%d %s is of kind %q, tried again: %v, in doubt: %v", tc.status, tc.code, e.Kind, e.Retryable(), maybeDone(e.Kind))
		}
		if text := e.Error(); !strings.Contains(text, fmt.Sprint(tc.status)) || strings.Contains(text, "gave up") != tc.retry {
			t.Errorf("%d reads: %s", tc.status, text)
		}
	}
}

func TestTheTokenIsInNoText(t *testing.T) {
	cfg := Config{BaseURL: "https://toloka.example", Token: testToken, HTTP: &http.Client{Transport: script(t)}}
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{cfg, c} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, testToken) {
				t.Errorf("%s of %T shows the token", format, v)
			}
		}
	}
}

func TestRetryAfterOfA503IsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := script(t, on("GET /pools/1", 503, "", "Retry-After", "45"), on("GET /pools/1", 200, `{"id":"1"}`))
		start := time.Now()
		if _, err := newClient(t, f, Config{}).Pool(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 45*time.Second || took > 50*time.Second {
			t.Errorf("it takes %v", took)
		}
	})
}

// A date is meant by the clock of the server that sends it.
func TestARetryAfterDateIsComparedWithTheServersClock(t *testing.T) {
	for _, status := range []int{429, 503} {
		for _, ahead := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				now := time.Now().Add(ahead).UTC()
				f := script(t, on("GET /pools/1", status, "", "Date", now.Format(http.TimeFormat), "Retry-After", now.Add(3*time.Second).Format(http.TimeFormat)), on("GET /pools/1", 200, `{"id":"1"}`))
				if _, err := newClient(t, f, Config{}).Pool(t.Context(), "1"); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(now.Add(-ahead)); took < 3*time.Second || took > 4*time.Second {
					t.Errorf("with a clock that is %v ahead, a %d waits %v", ahead, status, took)
				}
			})
		}
	}
}

// The tests below talk to a server over the network, through the own transport.

func liveClient(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := NewClient(Config{BaseURL: server.URL, Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestTheOwnTransportReadsGzipAndKeepsItsConnection(t *testing.T) {
	connections := map[string]bool{}
	c := liveClient(t, func(w http.ResponseWriter, r *http.Request) {
		connections[r.RemoteAddr] = true
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Error("gzip isn't accepted")
		}
		w.Header().Set("Content-Encoding", "gzip")
		if strings.HasSuffix(r.URL.Path, "/9") {
			w.WriteHeader(http.StatusNotFound)
		}
		z := gzip.NewWriter(w)
		_ = json.NewEncoder(z).Encode(map[string]string{"id": "1", "code": "DOES_NOT_EXIST", "private_name": strings.Repeat("x", 100_000)})
		_ = z.Close()
	})
	for range 3 {
		if pool, err := c.Pool(t.Context(), "1"); err != nil || pool.ID != "1" {
			t.Fatalf("the pool is %+v, %v", pool, err)
		}
		if _, err := c.Pool(t.Context(), "9"); err == nil || !strings.Contains(err.Error(), "DOES_NOT_EXIST") {
			t.Errorf("the error is %v", err)
		}
	}
	if len(connections) != 1 {
		t.Errorf("%d connections for six requests", len(connections))
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	c := liveClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			t.Error("the redirect is followed")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	var apiErr *Error
	if _, err := c.Pool(t.Context(), "1"); !errors.As(err, &apiErr) || apiErr.Status != http.StatusFound {
		t.Errorf("the error is %v", err)
	}
}

func TestAnAnswerThatIsCutOffIsATransportFailure(t *testing.T) {
	n := 0
	c := liveClient(t, func(w http.ResponseWriter, _ *http.Request) {
		if n++; n > 1 {
			_, _ = io.WriteString(w, `{"id":"1"}`)
			return
		}
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"id":`)
		panic(http.ErrAbortHandler)
	})
	if pool, err := c.Pool(t.Context(), "1"); err != nil || pool.ID != "1" {
		t.Errorf("the pool is %+v, %v", pool, err)
	}
	if s := c.Stats(); s.ByStatus["truncated"] != 1 || s.ByStatus["200"] != 1 {
		t.Errorf("the stats are %+v", s)
	}
}

func TestHTTP1IsSpokenThoughTheServerHasHTTP2(t *testing.T) {
	var major atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		major.Store(int64(r.ProtoMajor))
		_, _ = io.WriteString(w, `{"id":"1"}`)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	trusting := http1(1)
	defer trusting.CloseIdleConnections()
	trusting.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	trusting.TLSClientConfig.RootCAs.AddCert(server.Certificate())
	c, err := NewClient(Config{BaseURL: server.URL, Token: testToken, HTTP: &http.Client{Transport: trusting}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Pool(t.Context(), "1"); err != nil || major.Load() != 1 {
		t.Errorf("%v, over HTTP/%d", err, major.Load())
	}
}

func TestAnUntrustedCertificateIsFinal(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	server.StartTLS()
	defer server.Close()
	c, err := NewClient(Config{BaseURL: server.URL, Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var apiErr *Error
	if _, err := c.Pool(t.Context(), "1"); !errors.As(err, &apiErr) || apiErr.Kind != KindInsecure || apiErr.Attempts != 1 || apiErr.InDoubt {
		t.Errorf("the error is %v", err)
	}
}

func TestAnEndlessAnswerIsNotRead(t *testing.T) {
	c := newClient(t, &fakeServer{handle: func(received) (*http.Response, error) {
		resp := answer(200, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`[`), endless{}))
		return resp, nil
	}}, Config{})
	read := int64(0)
	r := get("x", "/x", func(r io.Reader) error {
		n, err := io.Copy(io.Discard, r)
		read = n
		return err
	})
	r.limit = 1 << 20
	failed := c.retrying.next.do(t.Context(), attempt{r, 1, false}).err
	if failed == nil || failed.Kind != KindMalformed || !errors.Is(failed, errTooLong) || read != 1<<20 {
		t.Errorf("%d bytes are read, then: %v", read, failed)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestWhatIsAnOverload(t *testing.T) {
	for _, tc := range []struct {
		e    Exchange
		want bool
	}{
		{Exchange{Status: 200}, false},
		{Exchange{Status: 429, Kind: KindQuota}, true},
		{Exchange{Status: 503, Kind: KindTransient}, true},
		{Exchange{Status: 504, Kind: KindTimeout}, true},
		{Exchange{Status: 502, Kind: KindTimeout}, false},
		{Exchange{Status: 500, Kind: KindTransient}, false},
		{Exchange{Kind: KindTimeout}, true},
		{Exchange{Status: 200, Kind: KindTimeout}, true},
		{Exchange{Kind: KindUnreachable}, false},
		{Exchange{Status: 413, Kind: KindTooLarge}, false},
	} {
		if got := tc.e.Overloaded(); got != tc.want {
			t.Errorf("%+v: overloaded is %v", tc.e, got)
		}
	}
}
