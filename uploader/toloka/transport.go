package toloka

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	apiPath = "/api/v1"

	// maxAnswer bounds a plain answer, maxErrorAnswer one that is not 2xx. A
	// project's answer holds its whole interface; an error's holds the errors of
	// every row.
	maxAnswer      = 32 << 20
	maxErrorAnswer = 8 << 20
	// maxDrain bounds what is read of an answer's rest to keep its connection.
	maxDrain = 256 << 10
)

// keptIdle is how long a connection without a request is kept. Common servers and
// balancers close theirs after 5 seconds or more (Node and Apache 5, Google's and
// Amazon's 60 and more, nginx 75): so we close first, and a request doesn't meet a
// connection that is just being closed.
const keptIdle = 4 * time.Second

// transport sends requests over HTTP and reads the answers. It is the one place that
// judges whether it was the API that answered: what stands in between, such as a proxy
// or a login portal, has pages with any status. Before the API ever has, the address is
// the likelier fault, and an answer means what its status says; from then on, an
// answer that isn't the API's is the way's fault, and passes.
type transport struct {
	http    *http.Client
	fresh   *http.Client // takes a new connection for each request, where it can
	base    *url.URL
	token   string
	headers http.Header // of every request
	timeout time.Duration

	ahead  atomic.Int64 // the server's clock less ours, in nanoseconds
	dated  atomic.Bool  // whether that is known
	spoken atomic.Bool  // whether the API ever has answered
	keeps  atomic.Bool  // whether the server was seen to keep its connections
}

// http1 returns a transport that speaks HTTP/1.1 alone, over TLS too. HTTP/2 would put
// all bodies through one connection with one window, which over a long way is several
// times slower.
func http1(connections int) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		Protocols:             &protocols,
		MaxIdleConns:          connections,
		MaxIdleConnsPerHost:   connections,
		IdleConnTimeout:       keptIdle,
		TLSHandshakeTimeout:   15 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// authorization returns the header for a token. An API key has exactly two dots, the
// first of them at index 22 to 24; anything else is an OAuth token.
func authorization(token string) string {
	first := strings.IndexByte(token, '.')
	if strings.Count(token, ".") == 2 && first >= 22 && first <= 24 {
		return "ApiKey " + token
	}
	return "OAuth " + token
}

// do makes the attempt. Of a failure it says what the answer does.
func (t *transport) do(ctx context.Context, a attempt) result {
	res := result{sent: time.Now()}
	res.status, res.err = t.exchange(ctx, a.request)
	res.took = time.Since(res.sent)
	return res
}

func (t *transport) exchange(ctx context.Context, r *request) (status int, failed *Error) {
	limited, cancel := context.WithTimeoutCause(ctx, t.timeout, timeoutError{t.timeout})
	defer cancel()
	var way trail
	limited = httptrace.WithClientTrace(limited, way.trace())
	fail := func(err error) *Error {
		if way.stale() {
			t.keeps.Store(false)
		}
		if ctx.Err() != nil {
			failed := Canceled(ctx, r.what, nil)
			failed.InDoubt = !way.noConnection()
			return failed
		}
		if cause := context.Cause(limited); cause != nil {
			err = cause
		}
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err // it repeats the address
		}
		kind := ofFailure(err, way.noConnection())
		if kind == KindInsecure && way.connected.Load() {
			kind = KindBroken // the connection was good when the request left
		}
		return &Error{
			Kind: kind, InDoubt: maybeDone(kind) && !way.unsent(err), Cause: err,
			spoken: t.spoken.Load(), stale: kind == KindBroken && way.stale(),
		}
	}

	req, err := t.encode(limited, r)
	if err != nil {
		return 0, &Error{Kind: KindUnexpected, Cause: err}
	}
	resp, err := t.sender(r).Do(req)
	if err != nil {
		return 0, fail(err)
	}
	defer func() {
		// Reading the rest keeps the connection; if it fails, the connection is
		// closed, and the answer has been judged already.
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
		_ = resp.Body.Close()
	}()
	if way.reused.Load() {
		t.keeps.Store(true)
	}
	t.noteDate(resp.Header.Get("Date"))

	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp.StatusCode, t.refusal(resp, r)
	}
	if r.read == nil || r.mayBeEmpty && resp.StatusCode == http.StatusNoContent {
		return resp.StatusCode, nil
	}
	body := &boundedReader{r: resp.Body, left: r.limit}
	if body.left == 0 {
		body.left = maxAnswer
	}
	err = r.read(body)
	switch {
	case err == nil:
		t.spoken.Store(true)
		return resp.StatusCode, nil
	case body.err != nil: // the connection, not the content
		return resp.StatusCode, fail(body.err)
	case resp.StatusCode == http.StatusNoContent:
		err = errEmpty
	case errors.Is(err, io.ErrUnexpectedEOF):
		return resp.StatusCode, fail(io.ErrUnexpectedEOF)
	}
	return resp.StatusCode, &Error{Kind: KindMalformed, Status: resp.StatusCode, InDoubt: true, Cause: err, spoken: t.spoken.Load()}
}

var errEmpty = errors.New("the answer is empty")

// sender returns what sends a request. One that must not come twice by chance is not
// sent on a connection that the server may be about to close: when its answer lacks,
// nobody could tell whether it had arrived.
func (t *transport) sender(r *request) *http.Client {
	if r.once() && !t.keeps.Load() {
		return t.fresh
	}
	return t.http
}

func (t *transport) encode(ctx context.Context, r *request) (*http.Request, error) {
	u := t.base.JoinPath(apiPath + r.path)
	u.RawQuery = r.query.Encode()
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body) // gives the request its length and a way to send it again
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header = t.headers.Clone()
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// refusal reads an answer that is not 2xx.
func (t *transport) refusal(resp *http.Response, r *request) *Error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer))
	// Some servers quote the header that they refuse. A word as short as this
	// is no secret, and could stand in any message.
	if len(t.token) > 8 {
		body = bytes.ReplaceAll(body, []byte(t.token), []byte("[token]"))
	}
	e := &Error{Status: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After"), date: resp.Header.Get("Date")}
	e.Code, e.Message, e.RequestID, e.Payload = errorAnswer(body)
	e.Kind = ofStatus(e.Status, e.Code)
	byAPI := e.Code != "" // each of its errors has one
	if byAPI {
		t.spoken.Store(true)
	}
	e.spoken = t.spoken.Load()
	foreign := e.spoken && !byAPI
	switch {
	case err != nil && (foreign || e.Kind == KindInvalid || e.Kind == KindConflict):
		// What such an answer means stands in its body. That there is a conflict
		// can mean that the request was carried out before.
		e.InDoubt = foreign || e.Kind == KindConflict
		e.Kind, e.Payload, e.Cause = KindBroken, nil, err
		return e
	case foreign:
		e.Kind = ofForeign(e.Kind, r.tasks)
	case e.Kind == KindQuota:
		e.Interval = intervalOf(e.Payload)
	}
	e.InDoubt = maybeDone(e.Kind) || foreign && e.Kind != KindQuota
	return e
}

// noteDate remembers how far the server's clock is ahead of ours.
func (t *transport) noteDate(header string) {
	if date, err := http.ParseTime(header); err == nil {
		t.ahead.Store(int64(date.Sub(time.Now().Round(0))))
		t.dated.Store(true)
	}
}

var errTooLong = errors.New("the answer is longer than it can rightly be")

// boundedReader reads at most so many bytes and remembers why reading failed.
type boundedReader struct {
	r    io.Reader
	left int64
	err  error // of r, other than io.EOF
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}
