package reader

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"poolfill/internal/backoff"
)

const (
	// idleTimeout is how long a server may give nothing before its connection
	// counts as broken.
	idleTimeout = time.Minute
	// openTries is how often a URL is asked for before it can't be opened, and
	// readTries how often after the last byte before the rest of it is given up.
	openTries = 4
	readTries = 8
)

// remote is the bytes behind a URL, as if they were a file. Where a connection
// breaks, it goes on with another one, from the byte that comes next.
type remote struct {
	address string
	client  *http.Client
	ctx     context.Context // of all requests; Close ends it
	cancel  context.CancelFunc

	mu       sync.Mutex // held by Read, as Close comes from elsewhere
	opened   bool       // there was an answer once, with this:
	version  version
	seekable bool

	offset int64
	conn   *connection // nil between two
	ended  bool        // all is read
	failed error       // came with the last bytes
	tries  int         // that failed since the last byte
}

// connection is a request that is under way, or was answered.
type connection struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   *time.Timer   // runs while something is waited for
	body   io.ReadCloser // nil before the answer
}

// errIdle is the cause of a connection that gave nothing for too long.
var errIdle = fmt.Errorf("it sent nothing for %d seconds", int(idleTimeout/time.Second))

func newConnection(ctx context.Context) *connection {
	c := &connection{}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	c.idle = time.AfterFunc(idleTimeout, func() { c.cancel(errIdle) })
	return c
}

// Read reads from an answer.
func (c *connection) Read(p []byte) (int, error) {
	c.idle.Reset(idleTimeout)
	n, err := c.body.Read(p)
	c.idle.Stop()
	return n, c.why(err)
}

// why says what an error comes from.
func (c *connection) why(err error) error {
	if cause := context.Cause(c.ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

func (c *connection) close() {
	c.idle.Stop()
	c.cancel(nil)
	if c.body != nil {
		_ = c.body.Close() // was only read
	}
}

// version is what tells the bytes of a URL from others that it may give later.
type version struct {
	size           int64 // -1 where it is unknown
	etag, modified string
}

// openRemote asks for a URL once, so that it is known what it gives.
//
// It has the settings of http.DefaultTransport and connections of its own, which
// end with Close.
func openRemote(ctx context.Context, address string) (*remote, error) {
	if err := checkAddress(address); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport
	if t, ok := transport.(*http.Transport); ok {
		transport = t.Clone()
	}
	r := &remote{address: address, client: &http.Client{Transport: transport, CheckRedirect: follow}}
	r.ctx, r.cancel = context.WithCancel(ctx)
	for r.conn == nil && !r.ended {
		err := r.connect()
		if err != nil {
			err = r.retry(err)
		}
		if err != nil {
			return nil, &unopenedError{fmt.Sprintf("%s: %v", Name(address), err), errors.Join(err, r.Close())}
		}
	}
	return r, nil
}

// follow is the rule for redirects. Go would tell the next server the address of
// the last one, with its query.
func follow(r *http.Request, before []*http.Request) error {
	const most = 10
	if len(before) >= most {
		return fmt.Errorf("it redirects more than %d times", most)
	}
	r.Header.Del("Referer")
	return nil
}

// Read returns the bytes that come next.
func (r *remote) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		n, err := 0, r.failed
		if r.failed = nil; err == nil {
			n, err = r.read(p)
			r.offset += int64(n)
		}
		switch {
		case n > 0:
			r.tries, r.failed = 0, err
			return n, nil
		case err == nil, r.ended:
			return 0, err
		}
		if err := r.retry(err); err != nil {
			return 0, err
		}
	}
}

// read reads once.
func (r *remote) read(p []byte) (int, error) {
	if r.conn == nil && !r.ended {
		if err := r.connect(); err != nil {
			return 0, err
		}
	}
	if r.ended {
		return 0, io.EOF
	}
	n, err := r.conn.Read(p)
	if err == nil {
		return n, nil
	}
	r.disconnect()
	left := r.version.size - r.offset - int64(n)
	switch sized := r.version.size >= 0; {
	case sized && left > 0 && errors.Is(err, io.EOF):
		return n, &passingError{io.ErrUnexpectedEOF}
	case (!sized || left > 0) && !errors.Is(err, io.EOF):
		return n, &passingError{err}
	}
	r.ended = true
	return n, io.EOF
}

// Seek goes on at an offset from the start. It asks nothing of the server yet.
func (r *remote) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if whence != io.SeekStart || offset < 0 {
		return r.offset, fmt.Errorf("a URL is read from an offset from its start: %w", errors.ErrUnsupported)
	}
	r.disconnect()
	r.failed, r.offset, r.ended = nil, offset, r.version.size >= 0 && offset >= r.version.size
	return offset, nil
}

// Close breaks off what is under way.
func (r *remote) Close() error {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.disconnect()
	r.client.CloseIdleConnections()
	return nil
}

func (r *remote) disconnect() {
	if r.conn != nil {
		r.conn.close()
		r.conn = nil
	}
}

// connect asks for the bytes from the offset on.
func (r *remote) connect() error {
	c := newConnection(r.ctx)
	answer, err := r.ask(c.ctx) //nolint:bodyclose // the connection does
	c.idle.Stop()
	if err != nil {
		err = transportError(c.why(err), r.opened)
		c.close()
		return err
	}
	c.body = answer.Body
	if err := r.take(answer); err != nil || r.ended {
		c.close()
		return err
	}
	r.conn = c
	return nil
}

// ask sends the request.
func (r *remote) ask(ctx context.Context) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.address, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "poolfill")
	// The bytes as they are stored: those that are counted, hashed and gone on in.
	request.Header.Set("Accept-Encoding", "identity")
	if r.offset > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", r.offset))
		if condition := r.version.condition(); condition != "" {
			request.Header.Set("If-Range", condition)
		}
	}
	return r.client.Do(request)
}

// take looks at the head of an answer, and says why its body is not that which
// comes next.
func (r *remote) take(answer *http.Response) error {
	now, from := versionOf(answer)
	switch answer.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
	case http.StatusRequestedRangeNotSatisfiable:
		if r.offset > 0 && r.version.size < 0 && now.size == r.offset {
			r.ended = true // it broke behind the last byte
			return nil
		}
		return errRemoteChanged
	default:
		return &statusError{answer.StatusCode, answer.Status}
	}
	if !r.opened {
		if from != 0 {
			return &statusError{answer.StatusCode, answer.Status}
		}
		if endsWithConnection(answer) {
			return errNoEnd
		}
		r.opened, r.version = true, now
		r.seekable = strings.EqualFold(answer.Header.Get("Accept-Ranges"), "bytes") && now.known()
		return nil
	}
	switch {
	case r.version.changed(now):
		return errRemoteChanged
	case from != r.offset:
		return fmt.Errorf("the server can't send the file from byte %d on, where reading has to go on (it has no ranges): run the same command again, or download the file first", r.offset)
	}
	return nil
}

// endsWithConnection reports whether nothing tells the end of an answer from a
// connection that broke: neither a length, nor chunks, nor TLS.
func endsWithConnection(answer *http.Response) bool {
	return answer.ContentLength < 0 && len(answer.TransferEncoding) == 0 && answer.ProtoMajor == 1 && answer.TLS == nil
}

// versionOf returns what an answer says of the whole, and where its body begins.
func versionOf(answer *http.Response) (v version, from int64) {
	v = version{answer.ContentLength, answer.Header.Get("ETag"), answer.Header.Get("Last-Modified")}
	if answer.StatusCode == http.StatusOK {
		return v, 0
	}
	span, size, _ := strings.Cut(strings.TrimPrefix(answer.Header.Get("Content-Range"), "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	var err error
	if v.size, err = strconv.ParseInt(size, 10, 64); err != nil {
		v.size = -1
	}
	if from, err = strconv.ParseInt(first, 10, 64); err != nil {
		from = -1
	}
	return v, from
}

// known reports whether the server tells versions apart.
func (v version) known() bool { return v.etag != "" || v.modified != "" }

// condition is what If-Range takes: a strong ETag or a time. Empty where there is
// none.
func (v version) condition() string {
	if v.etag != "" && !strings.HasPrefix(v.etag, "W/") {
		return v.etag
	}
	return v.modified
}

// changed reports whether a later answer is of another version. A time may be
// left out of an answer to a condition.
func (v version) changed(now version) bool {
	switch {
	case v.size >= 0 && now.size >= 0 && v.size != now.size:
		return true
	case v.etag != "":
		return v.etag != now.etag
	}
	return now.modified != "" && v.modified != now.modified
}

// passingError is a failure that may not come again. It is never the io.EOF that
// ends an input well.
type passingError struct{ err error }

func (e *passingError) Error() string { return e.err.Error() }

func (e *passingError) Unwrap() error {
	if errors.Is(e.err, io.EOF) {
		return nil
	}
	return e.err
}

// Passing reports whether an error of Open, Identify or Cut is of a server that is
// down or overloaded, so that the same may succeed later. Of several errors, each
// has to be one.
func Passing(err error) bool {
	switch e := err.(type) { //nolint:errorlint // it walks the chain itself
	case nil:
		return false
	case *passingError:
		return true
	case *statusError:
		return e.passes()
	case interface{ Unwrap() []error }:
		parts := e.Unwrap()
		return len(parts) > 0 && !slices.ContainsFunc(parts, func(part error) bool { return !Passing(part) })
	}
	return Passing(errors.Unwrap(err))
}

// retry waits before the next try. An error is what the reading ends with.
func (r *remote) retry(err error) error {
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	var (
		passing *passingError
		status  *statusError
	)
	if !errors.As(err, &passing) && (!errors.As(err, &status) || !status.passes()) {
		return err
	}
	r.tries++
	switch {
	case r.offset > 0 && !r.version.known():
		return fmt.Errorf("the connection broke, and can't be gone on with, as the server gives neither ETag nor Last-Modified, by which a change of the file would be seen (%w): run the same command again, or download the file first", err)
	case !r.opened && r.tries == openTries && status != nil:
		return fmt.Errorf("it failed %d times, the last time as %w: try again later", r.tries, err)
	case !r.opened && r.tries == openTries:
		return fmt.Errorf("the server can't be reached (%w): check the address and the network", err)
	case r.tries == readTries:
		return fmt.Errorf("the connection broke at byte %d, and %d tries to go on failed (%w): run the same command again", r.offset, r.tries, err)
	}
	return backoff.Sleep(r.ctx, backoff.Delay(r.tries, backoff.Jitter()))
}

// errNoEnd refuses what might end in the middle without a sign.
var errNoEnd = errors.New("the server doesn't say how long the file is, so that a connection that breaks can't be told from its end: use https://, or download the file first")

// errRemoteChanged ends a reading in the middle.
var errRemoteChanged = errors.New("the file changed while it was read: run the same command again to upload what is new in it")

// transportError is an error without an answer, without the URL that Go puts into
// it. begun says that there was an answer before.
func transportError(err error, begun bool) error {
	var (
		failed  *url.Error
		unknown *net.DNSError
		trust   *tls.CertificateVerificationError
	)
	if errors.As(err, &failed) {
		err = failed.Err
		if strings.Contains(err.Error(), "Location header") { // which it quotes
			return errors.New("the server redirects to what is no URL")
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		err = errors.New("it hung up without an answer")
	case errors.As(err, &unknown) && unknown.IsNotFound && !begun:
		return fmt.Errorf("there is no server of this name: check the address (%w)", err)
	case errors.As(err, &trust):
		return fmt.Errorf("the server's certificate is not to be trusted: %w", err)
	}
	return &passingError{err}
}

// statusError is an answer without the file.
type statusError struct {
	code   int
	status string // with its words
}

// passes says that another answer may come.
func (e *statusError) passes() bool {
	switch e.code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return e.code >= http.StatusInternalServerError
}

func (e *statusError) Error() string {
	switch {
	case errors.Is(e, fs.ErrNotExist):
		return "the server has no such file (" + e.status + "): check the address"
	case errors.Is(e, fs.ErrPermission):
		return "the server doesn't let the file be read (" + e.status + "): check who may read it, and where the address is signed, make a new one, as it may have expired"
	case e.passes():
		return e.status
	}
	return "the server doesn't give the file (" + e.status + "): check the address"
}

// Is makes it the error of a file that isn't there or may not be read.
func (e *statusError) Is(target error) bool {
	switch e.code {
	case http.StatusNotFound, http.StatusGone:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == fs.ErrPermission
	}
	return false
}
