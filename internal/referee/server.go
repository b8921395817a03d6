package referee

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says what server there is.
type Config struct {
	// Now is the true time, from which each clock has its offset. It must not be nil.
	Now func() time.Time
	// Pools are those that exist. The ids must be different.
	Pools []Pool
	// Spec is that of every pool's project. A nil map of fields takes any values.
	Spec Spec
	// Rule says what is wrong with a task beyond the Spec that a project shows, which may
	// be that of another version: the field, empty where it is fine, and a code. nil has
	// no such rule.
	Rule func(task map[string]any) (field, code string)
	// Ways are the server's lasting ways.
	Ways Ways
	// Decide picks the fate of a request that comes through RoundTrip or ServeHTTP; nil
	// is fair to all of them. It is called by several goroutines at once.
	Decide func(*http.Request) Fate
}

// Ways are the lasting ways of a server. The zero value is a fair server that carries
// out operations at once.
type Ways struct {
	// Created is how far the clock ahead is that dates tasks and operations, Date that of
	// the Date header, which a proxy writes.
	Created, Date time.Duration
	// NoDate leaves the Date header out.
	NoDate bool
	// Normalises trims strings and lower-cases the hosts of URLs in what is kept.
	Normalises bool
	// Scattered gives tasks ids that don't rise.
	Scattered bool
	// Operation is how long an operation takes.
	Operation time.Duration
	// Failures says how the log writes down what is wrong with a task.
	Failures FailureForm
	// FlatPayload has the errors of a request of one task without its position.
	FlatPayload bool
	// ListLimit is the most objects that a list gives; above it the answer is 400. 0
	// means 300.
	ListLimit int
	// Quota are the limits of the account.
	Quota Quota
}

// FailureForm says how an operation's log writes down what is wrong with a task.
type FailureForm int

// The forms: {field: {code, message}}, and {code, message, payload: {field: …}}.
const (
	ByField FailureForm = iota
	InPayload
)

// Server is a stand-in of the API. It is safe for concurrent use.
type Server struct {
	cfg Config

	mu         sync.Mutex
	pools      map[string]*Pool
	tasks      []*Task // in the order of their creation
	operations map[string]*operation
	later      []event
	quota      use
	serial     int // of ids
	requests   int
}

// event is something that the server does by itself at a time.
type event struct {
	at time.Time
	do func(at time.Time)
}

// New returns a server with no tasks.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, pools: map[string]*Pool{}, operations: map[string]*operation{}}
	for _, p := range cfg.Pools {
		s.pools[p.ID] = &p
	}
	return s
}

// RoundTrip answers as a transport, by the fate that Config.Decide picks.
func (s *Server) RoundTrip(r *http.Request) (*http.Response, error) {
	return s.Do(r, s.fate(r))
}

// ServeHTTP answers as a handler, by the fate that Config.Decide picks. An answer that is
// lost ends the connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := s.Do(r, s.fate(r))
	if err != nil {
		panic(http.ErrAbortHandler) //nolint:forbidigo // the one way to break a connection off
	}
	defer answer.Body.Close() //nolint:errcheck // it is in memory
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	if answer.Header.Get("Date") == "" {
		w.Header()["Date"] = nil
	}
	w.WriteHeader(answer.StatusCode)
	if _, err := io.Copy(w, answer.Body); err != nil {
		panic(http.ErrAbortHandler) //nolint:forbidigo // the one way to break a connection off
	}
}

func (s *Server) fate(r *http.Request) Fate {
	if s.cfg.Decide == nil {
		return Fate{}
	}
	return s.cfg.Decide(r)
}

// Do does with a request what its fate says. The error is the one of the connection.
func (s *Server) Do(r *http.Request, f Fate) (*http.Response, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	s.settle(now)
	q := request{method: r.Method, path: r.URL.Path, query: r.URL.Query(), header: r.Header.Clone(), body: body}
	var a answer
	switch f.Done {
	case Never:
	case Later:
		s.schedule(now.Add(f.After), func(at time.Time) { s.handle(q, at) })
	case Twice:
		s.handle(q, now)
		a = s.handle(q, now)
	case Now:
		a = s.handle(q, now)
	case FailsEmpty, FailsHalf:
		q.fails = f.Done
		a = s.handle(q, now)
	}
	return s.hear(r, a, f, now)
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(r.Body)
	if closing := r.Body.Close(); err == nil {
		err = closing
	}
	return body, err
}

func (s *Server) schedule(at time.Time, do func(time.Time)) {
	i, _ := slices.BinarySearchFunc(s.later, at, func(e event, at time.Time) int {
		if e.at.After(at) {
			return 1
		}
		return -1
	})
	s.later = slices.Insert(s.later, i, event{at, do})
}

// settle does what has become due.
func (s *Server) settle(now time.Time) {
	for len(s.later) > 0 && !s.later[0].at.After(now) {
		e := s.later[0]
		s.later = s.later[1:]
		e.do(e.at)
	}
}

// request is what came in.
type request struct {
	method, path string
	query        url.Values
	header       http.Header
	body         []byte
	fails        Done // FailsEmpty or FailsHalf, or neither
}

// answer is what goes out.
type answer struct {
	status int
	header http.Header
	body   any // nil for none
}

// failure is the API's answer that something is wrong.
func failure(status int, code, message string, payload any) answer {
	body := map[string]any{"request_id": "referee", "code": code, "message": message}
	if payload != nil {
		body["payload"] = payload
	}
	return answer{status: status, body: body}
}

// The answers that come from several places.
func absent(what string) answer {
	return failure(http.StatusNotFound, "DOES_NOT_EXIST", "There is no such "+what, nil)
}

func badRequest(message string) answer {
	return failure(http.StatusBadRequest, "VALIDATION_ERROR", message, nil)
}

// handle carries a request out.
func (s *Server) handle(q request, now time.Time) answer {
	s.requests++
	if !strings.HasPrefix(q.header.Get("Authorization"), "ApiKey ") && !strings.HasPrefix(q.header.Get("Authorization"), "OAuth ") {
		return failure(http.StatusUnauthorized, "AUTHENTICATION_ERROR", "The token is absent", nil)
	}
	if a, full := s.quota.request(s.cfg.Ways.Quota, now); full {
		return a
	}
	parts := strings.Split(strings.TrimPrefix(q.path, "/api/v1/"), "/")
	id := ""
	if len(parts) > 1 {
		id = parts[1]
		parts[1] = "*"
	}
	switch q.method + " " + strings.Join(parts, "/") {
	case "POST tasks":
		return s.create(q, now)
	case "GET tasks":
		return s.list(q)
	case "GET tasks/*":
		return s.task(id)
	case "GET operations/*":
		return s.operation(id)
	case "GET operations/*/log":
		return s.log(id)
	case "GET pools/*":
		return s.pool(id, false)
	case "GET trainings/*":
		return s.pool(id, true)
	case "POST pools/*/open", "POST trainings/*/open":
		return s.open(id, now)
	case "POST pools/*/clone", "POST trainings/*/clone":
		return s.clone(id, now)
	case "GET projects/*":
		return s.project(id)
	case "GET requester":
		return answer{status: http.StatusOK, body: map[string]any{"id": "566ec2b0ff0deeaae5f9d500629de162", "balance": 121.3, "public_name": map[string]string{"EN": "Referee"}}}
	}
	return absent("resource")
}

// stamp is a time as the server's own clock has it.
func (s *Server) stamp(t time.Time) string {
	return t.Add(s.cfg.Ways.Created).UTC().Format("2006-01-02T15:04:05.000")
}

// decode reads JSON as it stands, numbers included.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return io.ErrUnexpectedEOF
	}
	return nil
}
