package emulator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Server is a local Toloka. It serves Toloka's paths under /api/v1, and its
// statistics as JSON under /emulator/stats, which needs no token and is never
// delayed or refused. All methods are safe for concurrent use.
//
// The faults that break a connection off panic with http.ErrAbortHandler, as
// net/http asks of a handler, so the server must be run by net/http or by
// something that knows this value.
type Server struct {
	*account
	mux *http.ServeMux

	// luck decides on faults and delays. Like the statistics it is guarded by
	// the account's lock.
	luck  *rand.Rand
	stats Stats // as far as they are of requests

	// gate is held for reading by every request, so that Close can wait.
	gate    sync.RWMutex
	closing sync.Once
	closed  chan struct{}
}

// New starts a server, with what Config.State remembers. The error says what is
// wrong with the configuration or the state file.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	account, err := openAccount(cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{
		account: account,
		luck:    rand.New(rand.NewPCG(cfg.Seed, 0)),
		stats:   newStats(),
		closed:  make(chan struct{}),
	}
	s.mux = s.routes()
	return s, nil
}

// Close ends hanging requests, waits for the others, flushes the state file and
// removes a temporary one. Requests that come later get a 503. Closing again
// does nothing.
func (s *Server) Close() (err error) {
	s.closing.Do(func() {
		close(s.closed)
		s.gate.Lock()
		defer s.gate.Unlock()
		err = s.store.close()
	})
	return err
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// call is a request that was let in, with the fault that it meets.
type call struct {
	*http.Request
	fault Fault
}

// handler answers a request. An *apiError is the answer itself; any other error
// is the server's own failure.
type handler func(r call) (reply, error)

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, route := range []struct {
		pattern string
		scope   string
		handle  handler
	}{
		{"POST /api/v1/tasks", scopePost, s.createTasks},
		{"GET /api/v1/tasks", scopeList, s.listTasks},
		{"GET /api/v1/tasks/{id}", scopeList, s.getTask},
		{"GET /api/v1/operations", scopeOperation, s.listOperations},
		{"GET /api/v1/operations/{id}", scopeOperation, s.getOperation},
		{"GET /api/v1/operations/{id}/log", scopeLog, s.getOperationLog},
		{"POST /api/v1/pools", scopePool, s.savePool},
		{"GET /api/v1/pools", scopePool, s.listPools},
		{"GET /api/v1/pools/{id}", scopePool, s.getPool},
		{"PUT /api/v1/pools/{id}", scopePool, s.savePool},
		{"POST /api/v1/pools/{id}/{action}", scopePool, s.actOnPool},
		{"POST /api/v1/projects", scopeProject, s.saveProject},
		{"GET /api/v1/projects", scopeProject, s.listProjects},
		{"GET /api/v1/projects/{id}", scopeProject, s.getProject},
		{"PUT /api/v1/projects/{id}", scopeProject, s.saveProject},
		{"GET /api/v1/requester", scopeOther, getRequester},
		{"/", scopeOther, noSuchPath},
	} {
		mux.HandleFunc(route.pattern, func(w http.ResponseWriter, r *http.Request) {
			s.gate.RLock()
			defer s.gate.RUnlock()
			s.serve(w, r, route.scope, route.handle)
		})
	}
	mux.HandleFunc("GET /emulator/stats", func(w http.ResponseWriter, _ *http.Request) {
		a, err := jsonReply(http.StatusOK, s.Stats())
		if err != nil || a.send(w) != nil {
			panic(http.ErrAbortHandler)
		}
	})
	return mux
}

func noSuchPath(r call) (reply, error) {
	return reply{}, refuse(http.StatusNotFound, codeDoesNotExist, "the emulator has no %s %s", r.Method, r.URL.Path)
}

func getRequester(call) (reply, error) {
	return jsonReply(http.StatusOK, json.RawMessage(`{"id":"requester-1","balance":1000.00,"public_name":{"EN":"Emulator"},`+
		`"company":{"id":"1","superintendent_id":"requester-1"}}`))
}

// serve lets one request in, or not, and sees it fail where the script says so.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, scope string, handle handler) {
	requestID := s.begin(scope)
	fault, delay, err := s.admit(r, scope)
	if err == nil {
		err = s.sleep(r.Context(), delay)
	}
	var a reply
	if err == nil {
		a, err = s.carryOut(w, r, fault, handle)
	}
	if err != nil {
		drain(r)
		if a, err = failure(err, requestID); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	if fault.Name == FaultTrunc {
		// An error means that the client is gone already.
		_ = a.truncate(w)
		panic(http.ErrAbortHandler)
	}
	s.answered(a.status)
	if a.send(w) != nil {
		panic(http.ErrAbortHandler)
	}
}

// admit checks what comes before the request itself and draws its luck.
func (s *Server) admit(r *http.Request, scope string) (Fault, time.Duration, error) {
	select {
	case <-s.closed:
		return Fault{}, 0, refuse(http.StatusServiceUnavailable, codeRemoteUnavailable, "the emulator is closed")
	default:
	}
	if err := s.authenticate(r.Header.Get("Authorization")); err != nil {
		return Fault{}, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.quota.request(time.Now()) {
		return Fault{}, 0, refuse(http.StatusTooManyRequests, codeTooManyRequests, "more than %d requests in a second",
			s.cfg.Limits.RequestsPerSecond)
	}
	fault := s.cfg.Faults.draw(scope, s.luck)
	if fault.ownScope() == scopePost && r.URL.Query().Get("async_mode") != "true" {
		fault = Fault{} // a synchronous request has no operation
	}
	if fault.Name != "" {
		s.stats.Faults[fault.Name]++
	}
	delay := s.cfg.MinLatency
	if spread := s.cfg.MaxLatency - s.cfg.MinLatency; spread > 0 {
		delay += time.Duration(s.luck.Int64N(int64(spread) + 1))
	}
	return fault, delay, nil
}

// authenticate takes both schemes that Toloka knows.
func (s *Server) authenticate(header string) error {
	scheme, token, _ := strings.Cut(header, " ")
	if (scheme != "ApiKey" && scheme != "OAuth") || token == "" {
		return refuse(http.StatusUnauthorized, codeAuthentication, "the request needs the header Authorization: ApiKey or OAuth with a token")
	}
	if s.cfg.Token != "" && token != s.cfg.Token {
		return refuse(http.StatusUnauthorized, codeAuthentication, "the token is not the one that the emulator was started with")
	}
	return nil
}

// carryOut carries the request out as far as its fault allows.
func (s *Server) carryOut(w http.ResponseWriter, r *http.Request, fault Fault, handle handler) (reply, error) {
	if status, html, ok := fault.status(); ok && html {
		drain(r)
		return htmlReply(status), nil
	} else if ok {
		return reply{}, refuse(status, statusCode(status), "the fault %s of the emulator's script", fault.Name)
	}
	switch fault.Name {
	case FaultReset:
		reset(w)
		panic(http.ErrAbortHandler)
	case FaultHang:
		drain(r) // only then net/http notices that the client has gone
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
		panic(http.ErrAbortHandler)
	case Fault429:
		return reply{}, s.tooManyRequests()
	case Fault429Min:
		return reply{}, tooManyTasks("MIN")
	case Fault429Hour:
		return reply{}, tooManyTasks("HOUR")
	case Fault429Day:
		return reply{}, tooManyTasks("DAY")
	}
	a, err := handle(call{r, fault})
	switch fault.Name {
	case FaultLost:
		panic(http.ErrAbortHandler)
	case FaultSlow:
		if gone := s.sleep(r.Context(), cmp.Or(fault.Delay, DefaultSlowDelay)); gone != nil {
			return reply{}, gone
		}
	}
	return a, err
}

func (s *Server) tooManyRequests() error {
	e := refuse(http.StatusTooManyRequests, codeTooManyRequests, "the fault %s of the emulator's script", Fault429)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.luck.IntN(2) == 0 {
		e.retryAfter = "1"
	}
	return e
}

// failure returns the answer that an error is, or errGone.
func failure(err error, requestID string) (reply, error) {
	var refused *apiError
	switch {
	case errors.Is(err, errGone):
		return reply{}, err
	case !errors.As(err, &refused):
		refused = refuse(http.StatusInternalServerError, codeInternal, "%v", err)
	}
	return refused.reply(requestID)
}

// errGone means that nobody waits for the answer any more.
var errGone = errors.New("the client or the server is gone")

func (s *Server) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errGone
	case <-s.closed:
		return errGone
	}
}

// reset closes the connection at once, with the TCP reset that a lost peer
// sends where the connection can do so.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the caller breaks off in the ordinary way
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Without it the connection is closed in the ordinary way.
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// drain reads what is left of a body. A server that answers without reading
// closes the connection, and the client may then never see the answer.
func drain(r *http.Request) {
	if r.Body != nil {
		_, _ = io.CopyN(io.Discard, r.Body, maxBodyBytes)
	}
}

// readJSON reads a small body, such as a project's.
func readJSON(r call, into any) error {
	var body bytes.Buffer
	if err := readBody(&body, r); err != nil {
		return err
	}
	if err := json.Unmarshal(body.Bytes(), into); err != nil {
		return malformed("the body is no JSON of the expected form: %v", err)
	}
	return nil
}

// maxBodyBytes bounds a request's body. It is over what all documented limits
// together allow, and is there to protect the memory.
const maxBodyBytes = 64 << 20

// readBody reads the whole body into an empty buffer.
func readBody(into *bytes.Buffer, r call) error {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return refuse(http.StatusUnsupportedMediaType, codeUnsupportedMediaType, "the Content-Encoding %q is not supported", encoding)
	}
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(mediaType), "application/json") {
		return refuse(http.StatusUnsupportedMediaType, codeUnsupportedMediaType, "the Content-Type is %q and not application/json", mediaType)
	}
	// The end is seen without growing.
	into.Grow(int(min(max(r.ContentLength, 0), maxBodyBytes)) + bytes.MinRead)
	if _, err := into.ReadFrom(io.LimitReader(r.Body, maxBodyBytes+1)); err != nil {
		return malformed("the body broke off: %v", err)
	}
	switch {
	case into.Len() > maxBodyBytes:
		return tooLarge("the body is over %d bytes", maxBodyBytes)
	case len(bytes.TrimSpace(into.Bytes())) == 0:
		return malformed("the request has no body")
	}
	return nil
}
