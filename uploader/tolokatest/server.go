// Package tolokatest starts a local Toloka for the tests of Go programs, as
// net/http/httptest starts a web server.
//
// What goes in: a Config with the fields of a project and what is to go wrong.
// What comes out: a Server with one open pool, and the tasks that were created in
// it. It has Toloka's paths, limits, errors and operations, as the command
// "poolfill emulator" has.
//
// Memory: a few dozen bytes a task. The tasks are in a temporary file, which goes
// when the server is closed.
package tolokatest

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"poolfill/internal/emulator"
	"poolfill/uploader/toloka"
)

// Config says how a Server behaves. The zero value is Toloka without faults and
// delays, and a project with the input fields image (a url, required), title,
// weight and tags (an array), and the output field result.
type Config struct {
	// Spec is the task_spec of the project, {"input_spec": {…}, "output_spec": {…}};
	// nil means the fields above.
	Spec json.RawMessage
	// Faults says what goes wrong how often, from 0 to 1: name=probability, separated
	// by commas, as in "lost=0.1,429=0.05,post:500=0.1". They are those of poolfill
	// emulator --faults. Seed makes them the same for the same order of requests.
	Faults string
	Seed   uint64
	// MinLatency and MaxLatency bound the delay of each answer; zero means none.
	MinLatency, MaxLatency time.Duration
	// OperationTime is how long an asynchronous operation takes; zero means that it
	// has ended when it is first asked for.
	OperationTime time.Duration
	// RequestsPerSecond, TasksPerMinute and TasksPerDay are the quotas; 0 means
	// those that Toloka documents, a negative number none. Minute and Day are how
	// long theirs last; 0 means what they say.
	RequestsPerSecond, TasksPerMinute, TasksPerDay int
	Minute, Day                                    time.Duration
}

// Server is a local Toloka on a port of this machine. It is safe for concurrent
// use.
type Server struct {
	// URL is the address of the API.
	URL string
	// Token is the only one that is accepted.
	Token string
	// PoolID is the pool that takes tasks.
	PoolID string

	toloka   *emulator.Server
	listener *httptest.Server
}

// New starts a server that is closed at the test's end. It fails the test where
// that can't be done.
func New(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Start starts a server outside of a test. The error says what is wrong with the
// configuration, or why no port or temporary file could be had. The caller closes
// the server.
func Start(cfg Config) (*Server, error) {
	const token = "tolokatest"
	faults, err := emulator.ParseFaults(cfg.Faults)
	if err != nil {
		return nil, err
	}
	toloka, err := emulator.New(emulator.Config{
		Spec: cfg.Spec, Token: token, Faults: faults, Seed: cfg.Seed,
		MinLatency: cfg.MinLatency, MaxLatency: cfg.MaxLatency, OperationTime: cfg.OperationTime,
		Limits: emulator.Limits{
			RequestsPerSecond: max(cfg.RequestsPerSecond, emulator.NoLimit),
			TasksPerMinute:    max(cfg.TasksPerMinute, emulator.NoLimit),
			TasksPerDay:       max(cfg.TasksPerDay, emulator.NoLimit),
			Minute:            cfg.Minute, Day: cfg.Day,
		},
	})
	if err != nil {
		return nil, err
	}
	// httptest.NewServer would panic where there is no port.
	port, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is there at once
	if err != nil {
		return nil, errors.Join(err, toloka.Close())
	}
	listener := &httptest.Server{Listener: port, Config: &http.Server{Handler: toloka, ReadHeaderTimeout: time.Minute}}
	listener.Start()
	return &Server{URL: listener.URL, Token: token, PoolID: toloka.DemoPool(), toloka: toloka, listener: listener}, nil
}

// Close ends hanging requests, waits for the others, and closes the port. Closing
// again does nothing.
func (s *Server) Close() error {
	err := s.toloka.Close()
	s.listener.Close()
	return err
}

// API is how an toloka.Client or a pipeline reaches the server.
func (s *Server) API() toloka.Config {
	return toloka.Config{BaseURL: s.URL, Token: s.Token}
}

// Task is a task of the pool.
type Task struct {
	ID string
	// JSON is the task as Toloka's GET /tasks/{id} answers it.
	JSON json.RawMessage
}

// Tasks returns all tasks of the pool in the order of their creation. The error is
// one of reading the temporary file.
func (s *Server) Tasks() ([]Task, error) {
	var all []Task
	for t, err := range s.toloka.Tasks(s.PoolID) {
		if err != nil {
			return nil, err
		}
		all = append(all, Task{ID: t.ID, JSON: t.JSON})
	}
	return all, nil
}
