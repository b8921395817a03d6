package toloka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"poolfill/ratelimit"
)

// What zero means in a Config.
const (
	DefaultRetryFor       = 10 * time.Minute
	DefaultRequestTimeout = time.Minute
	DefaultConnections    = 64
)

// Config is how to talk to the server.
type Config struct {
	// BaseURL is the server's address, such as https://toloka.dev, with or
	// without /api/v1. It must not be empty.
	BaseURL string
	// Token is the API key or OAuth token; which it is shows in its form. It
	// must not be empty. It is in no error, log or text of this package.
	Token string
	// TokenFrom is where the token was taken from, for errors that ask to check
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
	// RetryFor bounds the time that repeating one request takes. Waiting for the
	// quota of the Gate doesn't count, and neither do refusals for want of quota
	// as long as the server takes other tasks, or has named a quota and its pause is
	// the first. A server that never answered and can't be reached is given up after
	// 15 seconds. 0 means 10 minutes.
	RetryFor time.Duration
	// RequestTimeout bounds one attempt, the whole answer included; 0 means a
	// minute.
	RequestTimeout time.Duration
	// Observe, where not nil, is called with each attempt once it has ended, by
	// several goroutines at once. It must not block.
	Observe func(Exchange)
	// Log gets each attempt as debug and each repetition as a warning, never
	// with the token or a task's content; nil means none.
	Log *zap.Logger
}

// String doesn't show the token.
func (c Config) String() string { return "client of " + c.BaseURL }

// GoString doesn't show the token.
func (c Config) GoString() string { return c.String() }

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
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

// withDefaults fills in what is left out, once the configuration is valid.
func (c Config) withDefaults() (Config, error) {
	c.Token = strings.TrimSpace(c.Token)
	c.UserAgent = cmp.Or(c.UserAgent, "poolfill")
	c.RetryFor = cmp.Or(c.RetryFor, DefaultRetryFor)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, DefaultRequestTimeout)
	c.Connections = cmp.Or(c.Connections, DefaultConnections)
	c.Log = cmp.Or(c.Log, zap.NewNop())
	if c.Observe == nil {
		c.Observe = func(Exchange) {}
	}
	if c.Gate != nil {
		return c, nil
	}
	var err error
	c.Gate, err = ratelimit.New(ratelimit.Config{})
	return c, err
}

// baseURL checks an address and returns it without the API's path.
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

// headers are those of every request.
func (c Config) headers() http.Header {
	h := http.Header{}
	h.Set("Authorization", authorization(c.Token))
	h.Set("User-Agent", c.UserAgent)
	h.Set("Accept", "application/json")
	if c.ActUnder != "" {
		h.Set("X-Act-Under-Account-ID", c.ActUnder)
	}
	return h
}

// Client sends requests to the API, repeats those that can be repeated, and
// tells apart what went wrong with the others. It is safe for concurrent use.
//
// Its errors are of type *Error unless a method says otherwise.
type Client struct {
	cfg       Config // without the token
	own       *http.Transport
	transport *transport
	observed  *observed
	retrying  retrying
	decode    decoders

	smallPages atomic.Bool // the server gives only those
}

// NewClient returns a Client, or an error that says what is wrong with cfg. It
// sends nothing.
func NewClient(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	base, err := baseURL(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	own := http1(cfg.Connections)
	single := own.Clone()
	single.DisableKeepAlives = true
	sender, fresh := &http.Client{Transport: own}, &http.Client{Transport: single}
	if cfg.HTTP != nil {
		sender = new(*cfg.HTTP)
		fresh = sender
	}
	// A redirected POST would become a GET, and the token isn't for others.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	sender.CheckRedirect, fresh.CheckRedirect = stay, stay

	// An attempt waits at the gate, is sent, and is counted with both; what fails for a
	// passing reason is attempted again.
	t := &transport{http: sender, fresh: fresh, base: base, token: cfg.Token, headers: cfg.headers(), timeout: cfg.RequestTimeout}
	o := &observed{next: gated{t, cfg.Gate}, show: cfg.Observe, log: cfg.Log, stats: Stats{ByStatus: map[string]int64{}}}
	r := retrying{next: o, time: cfg.RetryFor, host: base.Host, tokenFrom: cfg.TokenFrom, accepted: new(accepted), log: cfg.Log}
	cfg.Token = ""
	return &Client{cfg: cfg, own: own, transport: t, observed: o, retrying: r}, nil
}

// Close closes the idle connections of the own HTTP client.
func (c *Client) Close() { c.own.CloseIdleConnections() }

// String doesn't show the token.
func (c *Client) String() string { return c.cfg.String() }

// GoString doesn't show the token.
func (c *Client) GoString() string { return c.cfg.String() }

// Config returns the configuration with its defaults, without the token.
func (c *Client) Config() Config { return c.cfg }

// Stats returns what was counted so far.
func (c *Client) Stats() Stats { return c.observed.counted() }

// ClockAhead returns how far the server's clock is ahead of ours, to the second and
// the time that an answer takes; negative where it is behind. It is known once the
// server has sent an answer with a date.
func (c *Client) ClockAhead() (ahead time.Duration, known bool) {
	return time.Duration(c.transport.ahead.Load()), c.transport.dated.Load()
}

// Failure returns an error as those of the Client's own requests are, about what was
// done by means of several.
func (c *Client) Failure(kind Kind, what string, cause error) *Error {
	return &Error{Kind: kind, What: what, Host: c.transport.base.Host, Cause: cause}
}

// do sends a request, again where that helps.
func (c *Client) do(ctx context.Context, r *request) (Effort, error) {
	effort, failed := c.retrying.do(ctx, r)
	if failed != nil {
		return effort, failed
	}
	return effort, nil
}

// read sends a request that reads something small.
func (c *Client) read(ctx context.Context, what, path string, into func(io.Reader) error) error {
	_, err := c.do(ctx, get(what, path, into))
	return err
}
