package referee

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Fate is what becomes of one request: what the server does with it, and what the client
// hears. The zero value is that of a fair server on a good line.
type Fate struct {
	Done  Done
	Heard Heard
	// After is when the request is carried out, where that is Later.
	After time.Duration
	// Status is that of a Page or a Failure, and Code the code of a Failure.
	Status int
	Code   string
	// Interval is the payload.interval of a Failure, RetryAfter the header of that name;
	// empty leaves each of them out.
	Interval, RetryAfter string
}

// Done says what the server does with a request.
type Done int

// What is done. An operation that fails, or a synchronous request, which then is
// answered by 500, has created nothing, or every second of its tasks.
const (
	Now Done = iota
	Never
	Later
	Twice
	FailsEmpty
	FailsHalf
)

// Heard says what the client hears.
type Heard int

// What is heard.
const (
	// Answer is the answer as it is.
	Answer Heard = iota
	// Nothing: the connection ends. Reset: it is reset.
	Nothing
	Reset
	// Cut is the answer without its second half.
	Cut
	// Page is a proxy's HTML, Failure an error of the API, NoContent a 204.
	Page
	Failure
	NoContent
	// Fewer is an answer that lacks the last of the items, and SameIDs one whose items
	// have all the same id.
	Fewer
	SameIDs
	// ForeignOperation is an operation by another name than the one asked for.
	ForeignOperation
	// NoIndex is a log without __item_idx, HalfLog one that lacks every second entry,
	// NullLog is null, and ArchivedLog an error.
	NoIndex
	HalfLog
	NullLog
	ArchivedLog
)

// errLost is a connection that ended.
var errLost = errors.New("the connection was closed before the answer")

// hear makes of an answer what the client hears.
func (s *Server) hear(r *http.Request, a answer, f Fate, now time.Time) (*http.Response, error) {
	switch f.Heard {
	case Nothing:
		return nil, errLost
	case Reset:
		return nil, fmt.Errorf("read: %w", syscall.ECONNRESET)
	case Page:
		return s.respond(r, f.Status, http.Header{"Content-Type": {"text/html"}}, fmt.Appendf(nil, "<html><body><h1>%d %s</h1></body></html>", f.Status, http.StatusText(f.Status)), now), nil
	case NoContent:
		return s.respond(r, http.StatusNoContent, http.Header{}, nil, now), nil
	case Failure:
		var payload any
		if f.Interval != "" {
			payload = map[string]any{"interval": f.Interval}
		}
		a = failure(f.Status, f.Code, "The referee says so", payload)
		if f.RetryAfter != "" {
			a.header = http.Header{"Retry-After": {f.RetryAfter}}
		}
	case Answer, Cut:
	default:
		if a.status < 300 {
			a = bend(a, f.Heard)
		}
	}
	if f.Done == Never && f.Heard == Answer || a.status == 0 {
		return nil, errLost
	}
	var body []byte
	header := a.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if a.body != nil {
		var err error
		if body, err = json.Marshal(a.body); err != nil {
			return nil, err
		}
		header.Set("Content-Type", "application/json")
	}
	response := s.respond(r, a.status, header, body, now)
	if f.Heard == Cut {
		response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), broken{}))
	}
	return response, nil
}

// broken is the rest of an answer that is cut.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (s *Server) respond(r *http.Request, status int, header http.Header, body []byte, now time.Time) *http.Response {
	if !s.cfg.Ways.NoDate {
		header.Set("Date", now.Add(s.cfg.Ways.Date).UTC().Format(http.TimeFormat))
	}
	return &http.Response{
		StatusCode: status, Status: strconv.Itoa(status) + " " + http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

// bend makes a wrong answer of a right one; one that it doesn't concern stays.
func bend(a answer, how Heard) answer {
	switch body := a.body.(type) {
	case created:
		last := strconv.Itoa(len(body.Items) - 1)
		items := map[string]any{}
		for position, item := range body.Items {
			switch {
			case how == Fewer && position == last:
			case how == SameIDs:
				items[position] = with(item.(map[string]any), "id", "same")
			default:
				items[position] = item
			}
		}
		body.Items = items
		a.body = body
	case map[string]any:
		if _, ok := body["progress"]; ok && how == ForeignOperation {
			a.body = with(body, "id", "00000000-0000-4000-8000-000000000000")
		}
	case []entry:
		switch how {
		case NullLog:
			return answer{status: a.status, body: json.RawMessage("null")}
		case ArchivedLog:
			return failure(http.StatusConflict, "OPERATION_LOGS_ARCHIVED", "The log is archived", nil)
		case HalfLog:
			half := []entry{}
			for i := 0; i < len(body); i += 2 {
				half = append(half, body[i])
			}
			a.body = half
		case NoIndex:
			plain := slices.Clone(body)
			for i := range plain {
				plain[i].Input = with(plain[i].Input, "__item_idx", nil)
			}
			a.body = plain
		case SameIDs:
			same := slices.Clone(body)
			for i := range same {
				if _, ok := same[i].Output["task_id"]; ok {
					same[i].Output = with(same[i].Output, "task_id", "same")
				}
			}
			a.body = same
		}
	}
	return a
}

// with is a copy of an object with another value, or without it where that is nil.
func with(object map[string]any, key string, value any) map[string]any {
	copied := make(map[string]any, len(object))
	for k, v := range object {
		copied[k] = v
	}
	copied[key] = value
	if value == nil {
		delete(copied, key)
	}
	return copied
}

// KindOf names what a request asks for: "create", "create async", "list", "operation",
// "log", "open", "clone", and "other".
func KindOf(r *http.Request) string {
	path := strings.TrimPrefix(r.URL.Path, "/api/v1/")
	switch {
	case path == "tasks" && r.Method == http.MethodPost && r.URL.Query().Get("async_mode") == "true":
		return "create async"
	case path == "tasks" && r.Method == http.MethodPost:
		return "create"
	case path == "tasks":
		return "list"
	case strings.HasSuffix(path, "/log"):
		return "log"
	case strings.HasPrefix(path, "operations/"):
		return "operation"
	case strings.HasSuffix(path, "/open"):
		return "open"
	case strings.HasSuffix(path, "/clone"):
		return "clone"
	}
	return "other"
}
