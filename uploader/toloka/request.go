package toloka

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// request describes a call of the API. Sending it changes nothing in it: what became of
// it is a result.
type request struct {
	what   string // for people, after "while": "reading pool 12"
	method string
	path   string // below the API's path
	query  url.Values
	body   []byte // nil has none
	tasks  int    // how many it creates
	limit  int64  // of a 2xx answer, in bytes; 0 means maxAnswer
	// read takes a 2xx answer; nil ignores it. It may run once an attempt.
	read func(io.Reader) error
	// mayBeEmpty means that a 204 is an answer too. It is for nothing else: a body that
	// should be there says what became of the request.
	mayBeEmpty bool
	// single means that the request does harm when it comes twice: it is not
	// repeated once an attempt may have been carried out.
	single bool
	hooks  Hooks
	// settle, where not nil, is called when an attempt may have been carried out. It
	// returns what is to be sent instead of a repetition, with nothing in doubt; nil
	// for nothing. It reports false where it can't know, which ends the call.
	settle func(context.Context, *Error) (again *request, ok bool)
	// look, where not nil, is called before a repetition, and reports whether the request
	// turns out to be carried out: then that is the end.
	look func(context.Context, *Error) (done bool)
}

// once reports whether it takes more than a repetition to fix a lost answer.
func (r *request) once() bool { return r.single || r.settle != nil }

// attempt is one try at a request.
type attempt struct {
	*request
	number  int  // from 1; those that never left don't count
	inDoubt bool // an earlier one may have been carried out
}

// result is what became of an attempt.
type result struct {
	sent   time.Time     // zero where it never left
	took   time.Duration // from then until the answer was read
	waited time.Duration // at the gate
	pause  time.Duration // that the gate makes after a refusal for want of quota
	status int           // of HTTP; 0 where there was no answer
	err    *Error
}

// doer makes one attempt at a request. transport does it, and others stand around it.
type doer interface {
	do(ctx context.Context, a attempt) result
}

// The paths of the API, and the query of what takes one.

func poolPath(id string) string      { return "/pools/" + url.PathEscape(id) }
func projectPath(id string) string   { return "/projects/" + url.PathEscape(id) }
func operationPath(id string) string { return "/operations/" + url.PathEscape(id) }

const (
	poolsPath     = "/pools"
	requesterPath = "/requester"
)

// createQuery asks for a batch to be created within the request, or as an operation
// where that has an id.
func createQuery(b Batch, operation string) url.Values {
	q := url.Values{
		"allow_defaults":     {"true"},
		"async_mode":         {strconv.FormatBool(operation != "")},
		"skip_invalid_items": {strconv.FormatBool(b.SkipInvalid)},
	}
	if operation != "" {
		q.Set("operation_id", operation)
	}
	return q
}

// createdLayout is the API's form of a time, in UTC.
const createdLayout = "2006-01-02T15:04:05"

// listQuery asks for a page of a list in the order of ids, from a time on and behind
// an id. Zero and empty ask for all.
func listQuery(member, of string, since time.Time, after string, page int) url.Values {
	q := url.Values{member: {of}, "sort": {"id"}, "limit": {strconv.Itoa(page)}}
	if !since.IsZero() {
		q.Set("created_gte", since.UTC().Format(createdLayout))
	}
	if after != "" {
		q.Set("id_gt", after)
	}
	return q
}

// get describes a request that reads.
func get(what, path string, read func(io.Reader) error) *request {
	return &request{what: what, method: http.MethodGet, path: path, read: read}
}

// into reads an answer into a value.
func into(value any) func(io.Reader) error {
	return func(r io.Reader) error {
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return json.Unmarshal(body, value)
	}
}
