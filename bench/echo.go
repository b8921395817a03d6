package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// echo serves as much of Toloka's API as an upload asks for, checks nothing and
// limits nothing. Its first line is its address.
func echo(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flagSet("echo", log)
	listen := flags.String("listen", "127.0.0.1:0", "the address; port 0 picks a free one")
	spec := flags.String("spec", "", "the spec of its project; by default the one of plain rows")
	latency := flags.Duration("latency", 0, "the delay of each answer")
	operationTime := flags.Duration("operation-time", 0, "how long an operation takes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s := &echoServer{spec: json.RawMessage(plainSpec), latency: *latency, operationTime: *operationTime}
	if *spec != "" {
		var err error
		if s.spec, err = os.ReadFile(*spec); err != nil {
			return err
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s\n", listener.Addr())
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// echoServer answers uploads. Of a request it holds the body until it is
// answered; of an operation, until its log was read.
type echoServer struct {
	spec          json.RawMessage
	latency       time.Duration
	operationTime time.Duration

	buffers    sync.Pool // of *bytes.Buffer
	operations sync.Map  // of *operation by id
	tasks      atomic.Int64
	requests   atomic.Int64
	first      atomic.Int64 // when the first request came, in Unix nanoseconds
}

// operation is an asynchronous upload.
type operation struct {
	body *bytes.Buffer
	ends time.Time
}

// serverStats are what the echo server and the emulator count, under the
// emulator's names.
type serverStats struct {
	Requests        int64 `json:"requests"`
	Tasks           int64 `json:"tasks"`
	TooManyRequests int64 `json:"too_many_requests"`
	// TasksLastDay counts tasks as they are taken, before an operation creates
	// them; only the emulator has it.
	TasksLastDay int64 `json:"tasks_last_day"`
	// FirstRequest is when the first request came, in Unix nanoseconds; the
	// emulator has none.
	FirstRequest int64 `json:"first_request"`
}

func (s *echoServer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/tasks", s.createTasks)
	// It keeps no tasks: to whoever asks for the newest one, the pool is empty.
	mux.HandleFunc("GET /api/v1/tasks", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"items":[],"has_more":false}`)
	})
	mux.HandleFunc("GET /api/v1/operations/{id}", s.getOperation)
	mux.HandleFunc("GET /api/v1/operations/{id}/log", s.getLog)
	mux.HandleFunc("GET /api/v1/pools/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, fmt.Appendf(nil, `{"id":%q,"project_id":"1","private_name":"bench","status":"OPEN","type":"REGULAR",`+
			`"mixer_config":{"real_tasks_count":10},"defaults":{"default_overlap_for_new_tasks":1}}`, r.PathValue("id")))
	})
	mux.HandleFunc("GET /api/v1/projects/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, fmt.Appendf(nil, `{"id":%q,"public_name":"bench","task_spec":%s}`, r.PathValue("id"), s.spec))
	})
	mux.HandleFunc("GET /api/v1/requester", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, []byte(`{"id":"bench","balance":1000,"public_name":{"EN":"bench"}}`))
	})

	outer := http.NewServeMux()
	outer.HandleFunc("GET /emulator/stats", func(w http.ResponseWriter, _ *http.Request) {
		raw, err := json.Marshal(serverStats{Requests: s.requests.Load(), Tasks: s.tasks.Load(), FirstRequest: s.first.Load()})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, http.StatusOK, raw)
	})
	outer.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.first.CompareAndSwap(0, time.Now().UnixNano())
		s.requests.Add(1)
		if s.latency > 0 {
			select {
			case <-time.After(s.latency):
			case <-r.Context().Done():
			}
		}
		mux.ServeHTTP(w, r)
	})
	return outer
}

func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone is no matter here
}

// buffer returns an empty buffer.
func (s *echoServer) buffer() *bytes.Buffer {
	b, ok := s.buffers.Get().(*bytes.Buffer)
	if !ok {
		return new(bytes.Buffer)
	}
	b.Reset()
	return b
}

func (s *echoServer) createTasks(w http.ResponseWriter, r *http.Request) {
	body := s.buffer()
	body.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead) // the end is seen without growing
	if _, err := body.ReadFrom(r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.URL.Query().Get("async_mode") != "true" {
		s.answerTasks(w, http.StatusCreated, body, itemsForm())
		return
	}
	id := r.URL.Query().Get("operation_id")
	op := &operation{body, time.Now().Add(s.operationTime)}
	if _, exists := s.operations.LoadOrStore(id, op); exists {
		answer(w, http.StatusConflict, []byte(`{"code":"OPERATION_ALREADY_EXISTS","message":"it exists"}`))
		return
	}
	answer(w, http.StatusAccepted, operationJSON(id, "PENDING"))
}

// taskForm is how an answer writes tasks.
type taskForm struct {
	opening, closing string
	// one writes the task with a position, up to its id, and end what follows it.
	one func(dst []byte, position int, task []byte) []byte
	end string
}

// itemsForm returns the form of a synchronous upload's answer: each task with an id.
func itemsForm() taskForm {
	return taskForm{`{"items":{`, `}}`, func(dst []byte, position int, task []byte) []byte {
		dst = strconv.AppendInt(append(dst, '"'), int64(position), 10)
		dst = append(append(dst, `":`...), task[:len(task)-1]...)
		return append(dst, `,"id":"`...)
	}, `"}`}
}

// logForm returns the form of the log of an operation that created all tasks.
func logForm() taskForm {
	return taskForm{`[`, `]`, func(dst []byte, _ int, task []byte) []byte {
		dst = append(append(dst, `{"type":"TASK_CREATE","success":true,"input":`...), task...)
		return append(dst, `,"output":{"task_id":"`...)
	}, `"}}`}
}

// answerTasks answers with the tasks of a body, which is not needed afterwards.
func (s *echoServer) answerTasks(w http.ResponseWriter, status int, body *bytes.Buffer, form taskForm) {
	out := append(s.buffer().AvailableBuffer(), form.opening...)
	n := 0
	for task := range tasksOf(body.Bytes()) {
		if n > 0 {
			out = append(out, ',')
		}
		out = form.one(out, n, task)
		out = appendID(out, s.tasks.Add(1))
		out = append(out, form.end...)
		n++
	}
	answer(w, status, append(out, form.closing...))
	s.buffers.Put(bytes.NewBuffer(out))
	s.buffers.Put(body)
}

// tasksOf returns the objects of a JSON array, which all have the first's first
// key as theirs, and no object with that key first in them. It is exact for
// those: within a string, the key's quote would have a backslash before it.
func tasksOf(body []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		begin := bytes.IndexByte(body, '{')
		if begin < 0 {
			return
		}
		body = body[begin : bytes.LastIndexByte(body, '}')+1]
		opening := body[:bytes.IndexByte(body, ':')+1]
		for len(body) > 0 {
			next := bytes.Index(body[1:], opening) + 1
			if next == 0 {
				yield(body)
				return
			}
			if !yield(body[:bytes.LastIndexByte(body[:next], '}')+1]) {
				return
			}
			body = body[next:]
		}
	}
}

// appendID appends a task's id, which has the form of Toloka's.
func appendID(dst []byte, n int64) []byte {
	const pattern = "0000000000--6911aa02c0de4f00d5eed000"
	dst = append(dst, pattern...)
	for i := len(dst) - len(pattern) + 9; n > 0; i, n = i-1, n>>4 {
		dst[i] = "0123456789abcdef"[n&15]
	}
	return dst
}

func operationJSON(id, status string) []byte {
	return fmt.Appendf(nil, `{"id":%q,"type":"TASK.BATCH_CREATE","status":%q,"submitted":"2025-01-01T00:00:00","parameters":{}}`, id, status)
}

func (s *echoServer) getOperation(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	op, ok := s.operations.Load(id)
	switch {
	case !ok:
		answer(w, http.StatusNotFound, []byte(`{"code":"DOES_NOT_EXIST","message":"there is none"}`))
	case time.Now().Before(op.(*operation).ends):
		answer(w, http.StatusOK, operationJSON(id, "RUNNING"))
	default:
		answer(w, http.StatusOK, operationJSON(id, "SUCCESS"))
	}
}

// getLog answers with the log of an operation, once.
func (s *echoServer) getLog(w http.ResponseWriter, r *http.Request) {
	op, ok := s.operations.LoadAndDelete(r.PathValue("id"))
	if !ok {
		answer(w, http.StatusNotFound, []byte(`{"code":"DOES_NOT_EXIST","message":"there is none"}`))
		return
	}
	s.answerTasks(w, http.StatusOK, op.(*operation).body, logForm())
}
