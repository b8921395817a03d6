package emulator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
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
	cfg     Config
	mux     *http.ServeMux
	uploads sync.Pool // of *upload

	// mu guards what the server knows. The file is appended to under it and
	// read without it: what was written once never changes.
	mu    sync.RWMutex
	state *state
	quota *quota
	store *store

	// logs is what the script did to operations' logs.
	logs logFates

	// luck decides on faults and delays.
	luckMu sync.Mutex
	luck   *rand.Rand

	stats statistics

	// gate is held for reading by every request, so that Close can wait.
	gate     sync.RWMutex
	isClosed bool
	closed   chan struct{}
}

// New starts a server, with what Config.State remembers. The error says what is
// wrong with the configuration or the state file.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{
		cfg:    cfg,
		state:  newState(),
		quota:  newQuota(cfg.Limits),
		luck:   rand.New(rand.NewPCG(cfg.Seed, 0)),
		stats:  newStatistics(),
		logs:   newLogFates(),
		closed: make(chan struct{}),
	}
	s.uploads.New = func() any { return new(upload) }
	store, err := openStore(cfg.State, func(e *entry, data section) error {
		if e.Batch != nil && e.Batch.Created > 0 {
			s.quota.tasks(e.Batch.At.time(), int(e.Batch.Created))
		}
		return s.state.apply(e, data)
	})
	if err != nil {
		return nil, err
	}
	s.store = store
	s.quota.minute.peak = 0
	if err := s.makeDemo(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.mux = s.routes()
	return s, nil
}

// Close ends hanging requests, waits for the others, flushes the state file and
// removes a temporary one. Requests that come later get a 503. Closing again
// does nothing.
func (s *Server) Close() error {
	if !s.beginClose() {
		return nil
	}
	s.gate.Lock()
	defer s.gate.Unlock()
	s.isClosed = true
	return s.store.close()
}

func (s *Server) beginClose() (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return false
	default:
		close(s.closed)
		return true
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// handler answers a request that was let in. An *apiError is the answer itself;
// any other error is the server's own failure.
type handler func(w http.ResponseWriter, r *http.Request) error

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
		{"POST /api/v1/pools", scopePool, s.createPool},
		{"GET /api/v1/pools", scopePool, s.listPools},
		{"GET /api/v1/pools/{id}", scopePool, s.getPool},
		{"PUT /api/v1/pools/{id}", scopePool, s.updatePool},
		{"POST /api/v1/pools/{id}/{action}", scopePool, s.actOnPool},
		{"POST /api/v1/projects", scopeProject, s.createProject},
		{"GET /api/v1/projects", scopeProject, s.listProjects},
		{"GET /api/v1/projects/{id}", scopeProject, s.getProject},
		{"PUT /api/v1/projects/{id}", scopeProject, s.updateProject},
		{"GET /api/v1/requester", scopeOther, s.getRequester},
		{"/", scopeOther, s.noSuchPath},
	} {
		mux.HandleFunc(route.pattern, func(w http.ResponseWriter, r *http.Request) {
			s.gate.RLock()
			defer s.gate.RUnlock()
			s.serve(w, r, route.scope, route.handle)
		})
	}
	mux.HandleFunc("GET /emulator/stats", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Stats())
	})
	return mux
}

func (s *Server) noSuchPath(_ http.ResponseWriter, r *http.Request) error {
	return refuse(http.StatusNotFound, codeDoesNotExist, "the emulator has no %s %s", r.Method, r.URL.Path)
}

func (s *Server) getRequester(w http.ResponseWriter, _ *http.Request) error {
	writeRaw(w, http.StatusOK, []byte(`{"id":"requester-1","balance":1000.00,"public_name":{"EN":"Emulator"},`+
		`"company":{"id":"1","superintendent_id":"requester-1"}}`))
	return nil
}

// serve lets one request in, or not, and sees it fail where the script says so.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, scope string, handle handler) {
	requestID := s.stats.begin(scope)
	out := &statusWriter{ResponseWriter: w}
	fault, delay, err := s.admit(r, scope)
	if err == nil {
		err = s.sleep(r.Context(), delay)
	}
	if err == nil {
		s.stats.faulted(fault)
		err = s.serveFaulty(out, r, fault, handle, requestID)
	}
	if err != nil {
		s.fail(out, r, err, requestID)
	}
	s.stats.answered(out.status)
}

// admit checks what comes before the request itself and draws its luck.
func (s *Server) admit(r *http.Request, scope string) (Fault, time.Duration, error) {
	if s.isClosed {
		return Fault{}, 0, refuse(http.StatusServiceUnavailable, codeRemoteUnavailable, "the emulator is closed")
	}
	if err := s.authenticate(r.Header.Get("Authorization")); err != nil {
		return Fault{}, 0, err
	}
	s.mu.Lock()
	admitted := s.quota.request(time.Now())
	s.mu.Unlock()
	if !admitted {
		return Fault{}, 0, refuse(http.StatusTooManyRequests, codeTooManyRequests, "more than %d requests in a second",
			s.cfg.Limits.RequestsPerSecond)
	}
	s.luckMu.Lock()
	defer s.luckMu.Unlock()
	fault := s.cfg.Faults.draw(scope, s.luck)
	if fault.ownScope() == scopePost && r.URL.Query().Get("async_mode") != "true" {
		fault = Fault{} // a synchronous request has no operation
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

// serveFaulty carries the request out as far as its fault allows.
func (s *Server) serveFaulty(w *statusWriter, r *http.Request, fault Fault, handle handler, requestID string) error {
	if status, html, ok := fault.status(); ok {
		if html {
			drain(r)
			writeHTML(w, status)
			return nil
		}
		return refuse(status, statusCode(status), "the fault %s of the emulator's script", fault.Name)
	}
	switch fault.Name {
	case FaultLost:
		s.discard(r, handle, requestID)
		panic(http.ErrAbortHandler)
	case FaultTrunc:
		s.truncate(w, s.discard(r, handle, requestID))
		panic(http.ErrAbortHandler)
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
	case FaultSlow:
		held := s.discard(r, handle, requestID)
		if err := s.sleep(r.Context(), cmp.Or(fault.Delay, DefaultSlowDelay)); err != nil {
			return err
		}
		held.send(w, held.body.Len())
		return nil
	case Fault429:
		return s.tooManyRequests()
	case Fault429Min:
		return tooManyTasks("MIN")
	case Fault429Hour:
		return tooManyTasks("HOUR")
	case Fault429Day:
		return tooManyTasks("DAY")
	case FaultOpFail, FaultOpStuck, FaultOpVanish:
		return s.createTasksWith(w, r, fault)
	case FaultLogArchived, FaultLogLacks:
		return s.getOperationLogWith(w, r, fault)
	}
	return handle(w, r)
}

// discard carries the request out and gives its answer instead of sending it.
func (s *Server) discard(r *http.Request, handle handler, requestID string) *heldAnswer {
	held := &heldAnswer{header: make(http.Header)}
	out := &statusWriter{ResponseWriter: held}
	if err := handle(out, r); err != nil {
		s.fail(out, r, err, requestID)
	}
	return held
}

// truncate sends half of an answer under the length of the whole.
func (s *Server) truncate(w http.ResponseWriter, held *heldAnswer) {
	held.send(w, held.body.Len()/2)
	// An error means that the client is gone already.
	_ = http.NewResponseController(w).Flush()
}

func (s *Server) tooManyRequests() error {
	e := refuse(http.StatusTooManyRequests, codeTooManyRequests, "the fault %s of the emulator's script", Fault429)
	s.luckMu.Lock()
	defer s.luckMu.Unlock()
	if s.luck.IntN(2) == 0 {
		e.retryAfter = "1"
	}
	return e
}

// fail answers with an error, or breaks off an answer that has begun.
func (s *Server) fail(w *statusWriter, r *http.Request, err error, requestID string) {
	if w.status != 0 || errors.Is(err, errGone) {
		panic(http.ErrAbortHandler)
	}
	drain(r)
	var refused *apiError
	if !errors.As(err, &refused) {
		refused = refuse(http.StatusInternalServerError, codeInternal, "%v", err)
	}
	refused.write(w, requestID)
}

// errGone says that nobody waits for the answer any more.
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
// gives where the connection can do so.
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

func writeHTML(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	text := http.StatusText(status)
	_, _ = fmt.Fprintf(w, "<html>\r\n<head><title>%d %s</title></head>\r\n<body>\r\n<center><h1>%d %s</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
		status, text, status, text)
}

// statusWriter remembers whether and how an answer began.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// heldAnswer is an answer that is not sent, or not yet.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heldAnswer) Header() http.Header { return h.header }

func (h *heldAnswer) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

func (h *heldAnswer) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(p)
}

// send sends the first n bytes of the answer.
func (h *heldAnswer) send(w http.ResponseWriter, n int) {
	for key, values := range h.header {
		w.Header()[key] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(h.body.Len()))
	w.WriteHeader(h.status)
	_, _ = w.Write(h.body.Bytes()[:n])
}

// readJSON reads a small body, such as a project's.
func readJSON(r *http.Request, into any) error {
	if err := checkContentType(r); err != nil {
		return err
	}
	raw, err := readBody(nil, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return malformed("the body is no JSON of the expected form: %v", err)
	}
	return nil
}

// maxBodyBytes bounds a request's body. It is over what all documented limits
// together allow, and is there to protect the memory.
const maxBodyBytes = 64 << 20

// readBody reads the whole body, into buf where it fits.
func readBody(buf []byte, r *http.Request) ([]byte, error) {
	buf = buf[:0]
	if n := r.ContentLength; n >= int64(cap(buf)) && n <= maxBodyBytes {
		buf = make([]byte, 0, n+1) // one more, so that the end is seen without growing
	}
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > maxBodyBytes {
			return buf, refuse(http.StatusRequestEntityTooLarge, codeTooLarge, "the body is over %d bytes", maxBodyBytes)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return buf, malformed("the body broke off: %v", err)
		}
	}
	if len(bytes.TrimSpace(buf)) == 0 {
		return buf, malformed("the request has no body")
	}
	return buf, nil
}

func checkContentType(r *http.Request) error {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return refuse(http.StatusUnsupportedMediaType, codeUnsupportedMediaType, "the Content-Encoding %q is not supported", encoding)
	}
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(mediaType), "application/json") {
		return refuse(http.StatusUnsupportedMediaType, codeUnsupportedMediaType, "the Content-Type is %q and not application/json", mediaType)
	}
	return nil
}

// now gives the moment of a change, which is never before an earlier one. It
// needs s.mu.
func (s *Server) now() (time.Time, stamp) {
	now := time.Now()
	return now, max(stampOf(now), s.state.last)
}

// commit writes down what a request changed and makes it so. It needs s.mu.
func (s *Server) commit(e *entry, data ...[]byte) error {
	written, err := s.store.append(e, data...)
	if err != nil {
		return err
	}
	return s.state.apply(e, written)
}
