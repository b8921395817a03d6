package uploader

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"poolfill/internal/backoff"
	"poolfill/ratelimit"
	"poolfill/uploader/toloka"
)

// Pool is what the server tells of a pool, as far as it is used: ID, ProjectID,
// PrivateName, Status (such as "OPEN" or "CLOSED"), Type, MixerConfig, Defaults
// and Reward.
type Pool = toloka.Pool

// Project is what the server tells of a project, as far as it is used: ID,
// PublicName and TaskSpec, which is a reader.Spec.
type Project = toloka.Project

// What zero means in a ClientConfig.
const (
	DefaultRetryFor       = 10 * time.Minute
	DefaultRequestTimeout = time.Minute
	DefaultConnections    = 64

	// firstContact bounds the repetitions while the server can't be reached and
	// never has answered: a wrong address is likelier then than a bad moment.
	firstContact = 15 * time.Second
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
	// maxMalformed bounds the repetitions after 2xx answers that make no sense:
	// they come from a wrong address more often than from bad luck.
	maxMalformed = 4
)

// ClientConfig says how to talk to the server.
type ClientConfig struct {
	// BaseURL is the server's address, such as https://toloka.dev, with or
	// without /api/v1. It must not be empty.
	BaseURL string
	// Token is the API key or OAuth token; which it is shows in its form. It
	// must not be empty. It is in no error, log or text of this package.
	Token string
	// TokenFrom says where the token was taken from, for errors that ask to check
	// it: "TOLOKA_TOKEN", "the file token.txt". Empty says "the token".
	TokenFrom string
	// ActUnder is the X-Act-Under-Account-ID header; empty sends none.
	ActUnder string
	// UserAgent is the header of that name; empty means "poolfill".
	UserAgent string
	// HTTP sends the requests; nil means a client of its own, with the proxies
	// of the environment. Redirects are not followed in either.
	HTTP *http.Client
	// Connections is how many idle connections the own client keeps, best the
	// number of workers; 0 means 64.
	Connections int
	// Gate is passed by every request; nil means one without limits, which only
	// pauses after a 429.
	Gate *ratelimit.Gate
	// RetryFor bounds the time that repeating one request takes; waiting for the
	// quota doesn't count. A server that never answered and can't be reached is
	// given up after 15 seconds. 0 means 10 minutes.
	RetryFor time.Duration
	// RequestTimeout bounds one attempt, the whole answer included; 0 means a
	// minute.
	RequestTimeout time.Duration
	// Observe, where not nil, is told of each attempt once it has ended. It is
	// called by several goroutines at once and must not block.
	Observe func(Exchange)
	// Log gets each attempt as debug and each repetition as a warning, never
	// with the token or a task's content; nil means none.
	Log *zap.Logger
}

// String doesn't show the token.
func (c ClientConfig) String() string { return "client of " + c.BaseURL }

// GoString doesn't show the token.
func (c ClientConfig) GoString() string { return c.String() }

// Validate reports everything that is wrong with the configuration.
func (c ClientConfig) Validate() error {
	var errs []error
	if _, err := baseURL(c.BaseURL); err != nil {
		errs = append(errs, err)
	}
	switch token := strings.TrimSpace(c.Token); {
	case token == "":
		errs = append(errs, errors.New("the token is empty"))
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		errs = append(errs, fmt.Errorf("the token has characters that no token has, such as blanks or line ends inside: check %s", cmp.Or(c.TokenFrom, "it")))
	}
	for _, header := range []struct{ name, value string }{{"account id", c.ActUnder}, {"user agent", c.UserAgent}} {
		if strings.ContainsFunc(header.value, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
			errs = append(errs, fmt.Errorf("the %s has characters that a header can't hold", header.name))
		}
	}
	if c.RetryFor < 0 {
		errs = append(errs, fmt.Errorf("the time for retries is negative: %v", c.RetryFor))
	}
	if c.RequestTimeout < 0 {
		errs = append(errs, fmt.Errorf("the request timeout is negative: %v", c.RequestTimeout))
	}
	if c.Connections < 0 {
		errs = append(errs, fmt.Errorf("the number of connections is negative: %d", c.Connections))
	}
	return errors.Join(errs...)
}

// baseURL checks an address and gives it without the API's path.
func baseURL(address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no address of a server: it should look like https://toloka.dev", address)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the address of the server, https://%s, must have no user, query or fragment", u.Host)
	}
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), apiPath)
	u.RawPath = ""
	return u, nil
}

// authorization gives the header for a token. An API key has exactly two dots,
// the first of them at index 22 to 24; anything else is an OAuth token.
func authorization(token string) string {
	first := strings.IndexByte(token, '.')
	if strings.Count(token, ".") == 2 && first >= 22 && first <= 24 {
		return "ApiKey " + token
	}
	return "OAuth " + token
}

// Client sends requests to the API, repeats those that can be repeated, and
// tells apart what went wrong with the others. It is safe for concurrent use.
type Client struct {
	cfg   ClientConfig // without the token
	token string
	base  *url.URL
	http  *http.Client
	own   *http.Transport // nil where the caller gave the HTTP client
	gate  *ratelimit.Gate
	log   *zap.Logger
	ahead atomic.Int64 // the server's clock less ours, in nanoseconds
	dated atomic.Bool  // whether that is known
	// answered says that the server has answered at least once.
	answered atomic.Bool
	decode   decoders

	mu    sync.Mutex
	stats Stats
}

// NewClient returns a Client, or an error that says what is wrong with cfg. It
// sends nothing.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Client{token: strings.TrimSpace(cfg.Token), gate: cfg.Gate, log: cfg.Log, stats: Stats{ByStatus: map[string]int64{}}}
	cfg.Token = ""
	if cfg.UserAgent == "" {
		cfg.UserAgent = "poolfill"
	}
	if cfg.RetryFor == 0 {
		cfg.RetryFor = DefaultRetryFor
	}
	if cfg.RequestTimeout == 0 {
		cfg.RequestTimeout = DefaultRequestTimeout
	}
	if cfg.Connections == 0 {
		cfg.Connections = DefaultConnections
	}
	c.cfg = cfg
	var err error
	if c.base, err = baseURL(cfg.BaseURL); err != nil {
		return nil, err
	}
	if c.gate == nil {
		if c.gate, err = ratelimit.New(ratelimit.Config{}); err != nil {
			return nil, err
		}
	}
	if c.log == nil {
		c.log = zap.NewNop()
	}
	if cfg.HTTP != nil {
		c.http = new(*cfg.HTTP)
	} else {
		c.own = transport(cfg.Connections)
		c.http = &http.Client{Transport: c.own}
	}
	// A redirected POST would become a GET, and the token isn't for others.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// transport speaks HTTP/1.1 alone, over TLS too. HTTP/2 would put all bodies
// through one connection with one window, which over a long way is several times
// slower.
func transport(connections int) *http.Transport {
	var http1 http.Protocols
	http1.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		Protocols:             &http1,
		MaxIdleConns:          connections,
		MaxIdleConnsPerHost:   connections,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   15 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// Close closes the idle connections of the own HTTP client.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// String doesn't show the token.
func (c *Client) String() string { return c.cfg.String() }

// GoString doesn't show the token.
func (c *Client) GoString() string { return c.cfg.String() }

// Exchange is one attempt at a request: what was sent, and what came of it.
type Exchange struct {
	// Sent is when the request left; Took how long it took until the answer was
	// read, or the attempt was given up. Waiting at the gate is before that.
	Sent time.Time
	Took time.Duration
	// Tasks is how many tasks the request was to create.
	Tasks int
	// Status is the HTTP status; 0 where there was no answer.
	Status int
	// Kind says what went wrong; empty where nothing did.
	Kind Kind
}

// Overloaded reports whether the server could not cope: it gave no answer in
// time, or said that it had too much to do (429, 503, 504).
func (e Exchange) Overloaded() bool {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return e.Kind == KindTimeout
}

// Stats counts the requests of a Client.
type Stats struct {
	// Sent counts all attempts, Retried those that repeat an earlier one.
	Sent    int64
	Retried int64
	// ByStatus counts the attempts by their answer: the HTTP status, such as
	// "200"; or "timeout", "reset", "truncated", "broken", "malformed",
	// "unreachable", "insecure" or "canceled" where there was none to use.
	ByStatus map[string]int64
	// QuotaWait is the time that requests waited at the gate, summed over all.
	QuotaWait time.Duration
	// Took is the time from sending to the end of the answer, summed over all
	// attempts.
	Took time.Duration
}

// Stats gives what was counted so far.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.ByStatus = maps.Clone(s.ByStatus)
	return s
}

func (c *Client) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// call is one request, and what became of it.
type call struct {
	what   string // for people, after "while": "reading pool 12"
	method string
	path   string // below the API's path
	query  url.Values
	body   []byte // nil has none
	tasks  int    // how many it creates
	limit  int64  // of a 2xx answer, in bytes; 0 means maxAnswer
	// read takes a 2xx answer; nil ignores it. It may run once an attempt.
	read func(io.Reader) error
	// stop, once closed, ends the wait at the gate, as long as no attempt may
	// have been carried out.
	stop <-chan struct{}
	// single says that the request does harm when it comes twice: it is not
	// repeated once an attempt may have been carried out.
	single bool
	// hold, where not nil, is called before the request leaves, when there is
	// quota for it; what it returns is called when the answer was read, or the
	// request did not leave. Its error ends the call.
	hold func(context.Context) (release func(), err error)

	sent    int           // attempts that were made
	waited  time.Duration // at the gate, by all of them
	took    time.Duration // by the last attempt, without waiting at the gate
	inDoubt bool          // one of the attempts may have been carried out
}

// do repeats a request until it succeeds, fails for good, or its time is over.
// It must do no harm when it comes twice, or be single.
func (c *Client) do(ctx context.Context, cl *call) *APIError {
	b := budget{left: c.cfg.RetryFor}
	var last *APIError
	malformed := 0
	for {
		err := c.once(ctx, cl)
		switch {
		case err == nil:
			return nil
		case err.Kind == KindCanceled:
			if last != nil {
				err.last = last
			}
			return err
		case err.Kind == KindMalformed:
			malformed++
		}
		if !err.Retryable() || cl.single && err.InDoubt || malformed > maxMalformed {
			return err
		}
		last = err
		if err.Kind == KindQuota {
			c.warn(cl, err)
			continue // the gate holds it until there is quota again
		}
		b.left -= cl.took
		if err.Kind == KindUnreachable && !c.answered.Load() && b.spent >= firstContact {
			return err
		}
		delay, ok := b.next(ratelimit.ParseRetryAfter(err.RetryAfter, time.Now()), backoff.Jitter())
		if !ok {
			return err
		}
		c.warn(cl, err, zap.Duration("delay", delay))
		if backoff.Sleep(ctx, delay) != nil {
			stopped := canceled(ctx, cl.what, last)
			stopped.Attempts, stopped.InDoubt = cl.sent, cl.inDoubt
			return stopped
		}
	}
}

// warn logs that a request will be repeated.
func (c *Client) warn(cl *call, err *APIError, fields ...zap.Field) {
	c.log.Warn("a request failed and is tried again", append(fields,
		zap.String("request", cl.what),
		zap.Int("attempt", cl.sent),
		zap.String("problem", statKey(err)),
		zap.String("code", err.Code),
		zap.String("request_id", err.RequestID))...)
}

// once sends a request once. A failure's Attempts and InDoubt take the call's
// earlier attempts into account.
func (c *Client) once(ctx context.Context, cl *call) *APIError {
	waiting, release := ctx, func() {}
	if cl.stop != nil && !cl.inDoubt {
		waiting, release = stoppable(ctx, cl.stop)
	}
	grant, leave, failed := c.admit(waiting, ctx, cl)
	release()
	if failed != nil {
		failed.Host, failed.Attempts, failed.InDoubt = c.base.Host, cl.sent, cl.inDoubt
		return failed
	}
	defer leave()

	start := time.Now()
	status, failed := c.exchange(ctx, cl)
	cl.took = time.Since(start)
	cl.sent++
	key := strconv.Itoa(status)
	if failed == nil {
		grant.Done()
	} else {
		switch {
		case failed.Kind == KindQuota:
			grant.Refused(ratelimit.Refusal{RetryAfter: failed.RetryAfter, Interval: failed.Interval})
		case failed.InDoubt:
			grant.Done()
		default:
			grant.Refund()
		}
		key = statKey(failed)
		cl.inDoubt = cl.inDoubt || failed.InDoubt
		failed.What, failed.Host, failed.Attempts, failed.InDoubt = cl.what, c.base.Host, cl.sent, cl.inDoubt
		failed.tokenFrom = c.cfg.TokenFrom
	}
	c.count(func(s *Stats) {
		s.Sent++
		if cl.sent > 1 {
			s.Retried++
		}
		s.ByStatus[key]++
		s.Took += cl.took
	})
	if c.cfg.Observe != nil {
		e := Exchange{Sent: start, Took: cl.took, Tasks: cl.tasks, Status: status}
		if failed != nil {
			e.Kind = failed.Kind
		}
		c.cfg.Observe(e)
	}
	c.log.Debug("request", zap.String("method", cl.method), zap.String("path", cl.path), zap.Int("attempt", cl.sent),
		zap.Int("bytes", len(cl.body)), zap.String("answer", key), zap.Duration("took", cl.took))
	return failed
}

// admit waits at the gate, until waiting ends, and calls the request's hold once
// nothing but the pace of the requests keeps it. leave must be called when the
// answer was read.
func (c *Client) admit(waiting, ctx context.Context, cl *call) (grant *ratelimit.Grant, leave func(), failed *APIError) {
	leave = func() {}
	var holding time.Duration
	var holdErr error
	start := time.Now()
	grant, err := c.gate.AcquireReady(waiting, cl.tasks, func() error {
		if cl.hold == nil {
			return nil
		}
		defer func(start time.Time) { holding = time.Since(start) }(time.Now())
		release, err := cl.hold(ctx)
		if err != nil {
			holdErr = err
			return err
		}
		leave = release
		return nil
	})
	wait := time.Since(start) - holding
	cl.waited += wait
	c.count(func(s *Stats) { s.QuotaWait += wait })
	switch {
	case err == nil:
		return grant, leave, nil
	case holdErr != nil && ctx.Err() == nil:
		failed = &APIError{Kind: KindJournal, What: cl.what, cause: err}
	case waiting.Err() != nil:
		failed = canceled(waiting, cl.what, nil)
	default:
		failed = &APIError{Kind: KindQuota, What: cl.what, cause: err}
	}
	leave()
	return nil, nil, failed
}

// errStopped is the cause of a context that a closed channel has ended.
var errStopped = errors.New("the upload was stopped")

// stoppable gives a context that also ends when stop is closed. release must be
// called; it waits for nothing.
func stoppable(ctx context.Context, stop <-chan struct{}) (stopped context.Context, release func()) {
	stopped, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-stop:
			cancel(errStopped)
		case <-stopped.Done():
		}
	}()
	return stopped, func() { cancel(context.Canceled) }
}

// exchange sends a request and reads the answer. Of a failure it gives what the
// answer tells.
func (c *Client) exchange(ctx context.Context, cl *call) (status int, failed *APIError) {
	attempt, cancel := context.WithTimeoutCause(ctx, c.cfg.RequestTimeout, timeoutError{c.cfg.RequestTimeout})
	defer cancel()

	// Without a connection nothing can have been carried out.
	var asked, connected atomic.Bool
	attempt = httptrace.WithClientTrace(attempt, &httptrace.ClientTrace{
		GetConn: func(string) { asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	fail := func(err error) *APIError {
		noConnection := asked.Load() && !connected.Load()
		if ctx.Err() != nil {
			failed := canceled(ctx, cl.what, nil)
			failed.InDoubt = !noConnection
			return failed
		}
		if cause := context.Cause(attempt); cause != nil {
			err = cause
		}
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err // it repeats the address
		}
		kind := ofFailure(err, noConnection)
		return &APIError{Kind: kind, InDoubt: maybeDone(kind), cause: err}
	}

	req, err := c.request(attempt, cl)
	if err != nil {
		return 0, &APIError{Kind: KindUnexpected, cause: err}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, fail(err)
	}
	defer func() {
		// Reading the rest keeps the connection; if it fails, the connection is
		// closed, and the answer has been judged already.
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
		_ = resp.Body.Close()
	}()
	c.answered.Store(true)
	c.noteDate(resp.Header.Get("Date"))

	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp.StatusCode, c.refusal(resp)
	}
	if cl.read == nil || resp.StatusCode == http.StatusNoContent {
		return resp.StatusCode, nil
	}
	limit := cl.limit
	if limit == 0 {
		limit = maxAnswer
	}
	body := &boundedReader{r: resp.Body, left: limit}
	if err := cl.read(body); err != nil {
		switch {
		case body.err != nil: // the connection, not the content
			return resp.StatusCode, fail(body.err)
		case errors.Is(err, io.ErrUnexpectedEOF):
			return resp.StatusCode, fail(io.ErrUnexpectedEOF)
		}
		return resp.StatusCode, &APIError{Kind: KindMalformed, Status: resp.StatusCode, InDoubt: true, cause: err}
	}
	return resp.StatusCode, nil
}

func (c *Client) request(ctx context.Context, cl *call) (*http.Request, error) {
	u := c.base.JoinPath(apiPath + cl.path)
	u.RawQuery = cl.query.Encode()
	var body io.Reader
	if cl.body != nil {
		body = bytes.NewReader(cl.body) // gives the request its length and a way to send it again
	}
	req, err := http.NewRequestWithContext(ctx, cl.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", authorization(c.token))
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	req.Header.Set("Accept", "application/json")
	if c.cfg.ActUnder != "" {
		req.Header.Set("X-Act-Under-Account-ID", c.cfg.ActUnder)
	}
	if cl.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// refusal reads an answer that is not 2xx.
func (c *Client) refusal(resp *http.Response) *APIError {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer))
	// Some servers quote the header that they refuse. A word as short as this
	// is no secret, and could stand in any message.
	if len(c.token) > 8 {
		body = bytes.ReplaceAll(body, []byte(c.token), []byte("[token]"))
	}
	e := &APIError{Status: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After")}
	e.Code, e.Message, e.RequestID, e.Payload = errorAnswer(body)
	e.Kind = ofStatus(e.Status, e.Code)
	switch {
	case err != nil && (e.Kind == KindInvalid || e.Kind == KindConflict):
		// What such an answer means stands in its body. That there is a conflict
		// can mean that the request was carried out before.
		e.InDoubt = e.Kind == KindConflict
		e.Kind, e.Payload, e.cause = KindBroken, nil, err
		return e
	case e.Kind == KindQuota:
		e.Interval = intervalOf(e.Payload)
	}
	e.InDoubt = maybeDone(e.Kind)
	return e
}

// noteDate remembers how far the server's clock is ahead of ours.
func (c *Client) noteDate(header string) {
	if date, err := http.ParseTime(header); err == nil {
		c.ahead.Store(int64(date.Sub(time.Now().Round(0))))
		c.dated.Store(true)
	}
}

// ClockAhead gives how far the server's clock is ahead of ours, to the second and
// the time that an answer takes; negative where it is behind. It is known once the
// server has sent an answer with a date.
func (c *Client) ClockAhead() (ahead time.Duration, known bool) {
	return time.Duration(c.ahead.Load()), c.dated.Load()
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

// Pool reads a pool.
func (c *Client) Pool(ctx context.Context, id string) (Pool, error) {
	return get[Pool](ctx, c, "reading pool "+id, "/pools/"+url.PathEscape(id))
}

// Project reads a project.
func (c *Client) Project(ctx context.Context, id string) (Project, error) {
	return get[Project](ctx, c, "reading project "+id, "/projects/"+url.PathEscape(id))
}

// Requester is what GET /requester gives of the token's account, as far as it
// is used.
type Requester struct {
	ID         string            `json:"id"`
	Balance    json.Number       `json:"balance"`
	PublicName map[string]string `json:"public_name"`
}

// Requester reads the account that the token belongs to.
func (c *Client) Requester(ctx context.Context) (Requester, error) {
	return get[Requester](ctx, c, "reading the account", "/requester")
}

func get[T any](ctx context.Context, c *Client, what, path string) (T, error) {
	var value T
	err := c.do(ctx, &call{what: what, method: http.MethodGet, path: path, read: func(r io.Reader) error {
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return json.Unmarshal(body, &value)
	}})
	if err != nil {
		return value, err
	}
	return value, nil
}

// NotOpenedError says that a pool can't be opened as it is: the server took the
// request and then failed to carry it out.
type NotOpenedError struct {
	Pool string

	details string // the server's own words, in brackets
}

func (e *NotOpenedError) Error() string {
	return fmt.Sprintf("opening pool %s failed: open it in the web interface to see what is missing%s", e.Pool, e.details)
}

// OpenPool opens a pool and waits until that has happened. A pool that is open
// already stays so. The error is an *APIError, or a *NotOpenedError.
func (c *Client) OpenPool(ctx context.Context, id string) error {
	what := "opening pool " + id
	var op toloka.Operation
	err := c.do(ctx, &call{what: what, method: http.MethodPost, path: "/pools/" + url.PathEscape(id) + "/open", read: func(r io.Reader) error {
		var err error
		op, err = c.decode.operation(r)
		return err
	}})
	if err != nil {
		return err
	}
	if op, err = c.await(ctx, what, op); err != nil {
		return err
	}
	if op.Status == toloka.OperationFail {
		return &NotOpenedError{id, details(op)}
	}
	return nil
}

// await polls an operation until its end. One without an id has none.
func (c *Client) await(ctx context.Context, what string, op toloka.Operation) (toloka.Operation, *APIError) {
	for n := 0; op.ID != "" && !op.Done(); n++ {
		if backoff.Sleep(ctx, pollDelay(n, 0, backoff.Jitter())) != nil {
			return op, canceled(ctx, what, nil)
		}
		now, err := c.operation(ctx, op.ID)
		if err != nil {
			return op, err
		}
		op = now
	}
	return op, nil
}

// operation reads an operation.
func (c *Client) operation(ctx context.Context, id string) (toloka.Operation, *APIError) {
	var op toloka.Operation
	err := c.do(ctx, &call{
		what: "reading operation " + id, method: http.MethodGet, path: "/operations/" + url.PathEscape(id),
		read: func(r io.Reader) error {
			var err error
			op, err = c.decode.operation(r)
			return err
		},
	})
	return op, err
}

// details gives a failed operation's details in brackets, where it has any.
func details(op toloka.Operation) string {
	if text := string(op.Details); text != "" && text != "{}" {
		return " (" + cut(text, maxText) + ")"
	}
	return ""
}
