package uploader

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"poolfill/uploader/toloka"
)

// poolsPage is the most pools in one answer.
const poolsPage = 300

// CloneInDoubtError says that it is not known whether a pool was cloned.
type CloneInDoubtError struct {
	// Pool is the one that was to be cloned.
	Pool string
	Err  error
}

func (e *CloneInDoubtError) Error() string {
	return fmt.Sprintf("it is not known whether pool %s was cloned: look for the copy among the newest pools of its project before you clone it again (%v)", e.Pool, e.Err)
}

// Unwrap gives the cause.
func (e *CloneInDoubtError) Unwrap() error { return e.Err }

// ClonePool makes a copy of a pool, without its tasks, and gives the copy's id
// once it is there. It is closed.
//
// A clone that may have been carried out is never asked for again, as that would
// make a second copy: the error then is a *CloneInDoubtError. It comes with the
// copy's id where that is known, and only its end is not.
func (c *Client) ClonePool(ctx context.Context, id string) (string, error) {
	what := "cloning pool " + id
	var op toloka.Operation
	err := c.do(ctx, &call{
		what: what, method: http.MethodPost, path: "/pools/" + url.PathEscape(id) + "/clone", single: true,
		read: func(r io.Reader) error {
			var err error
			op, err = c.decode.operation(r)
			return err
		},
	})
	switch {
	case err != nil && err.InDoubt:
		return "", &CloneInDoubtError{id, err}
	case err != nil:
		return "", err
	case op.ID == "":
		return "", &CloneInDoubtError{id, errors.New("the server named no operation")}
	}
	begun := clonedTo(op)
	if op, err = c.await(ctx, what, op); err != nil {
		return begun, &CloneInDoubtError{id, err}
	}
	clone := clonedTo(op)
	switch {
	case op.Status == toloka.OperationFail:
		return "", fmt.Errorf("%s failed: clone it in the web interface to see why%s", what, details(op))
	case clone == "":
		return begun, &CloneInDoubtError{id, fmt.Errorf("operation %s doesn't tell the copy's id", op.ID)}
	}
	return clone, nil
}

// clonedTo gives the id of the copy that an operation makes, or nothing where it
// doesn't tell. It is a string or a number.
func clonedTo(op toloka.Operation) string {
	var told struct {
		PoolID json.RawMessage `json:"pool_id"`
	}
	if json.Unmarshal(op.Details, &told) != nil || bytes.Equal(told.PoolID, []byte("null")) {
		return ""
	}
	return strings.Trim(string(told.PoolID), `"`)
}

// RenamePool gives a pool another private name, which only its requester sees.
// All else that the server tells of the pool is sent back byte for byte. What
// somebody else changes in the pool at the same moment may be undone by that.
func (c *Client) RenamePool(ctx context.Context, id, name string) error {
	path := "/pools/" + url.PathEscape(id)
	var renamed []byte
	err := c.do(ctx, &call{what: "reading pool " + id, method: http.MethodGet, path: path, read: func(r io.Reader) error {
		pool, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		renamed, err = withMember(pool, "private_name", name)
		return err
	}})
	if err != nil {
		return err
	}
	if err := c.do(ctx, &call{what: "renaming pool " + id, method: http.MethodPut, path: path, body: renamed}); err != nil {
		return err
	}
	return nil
}

// withMember gives a JSON object in which a member has the value, and all else
// stands as it did.
func withMember(object []byte, name, value string) ([]byte, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(object))
	open, err := d.Token()
	if err != nil {
		return nil, err
	}
	if open != json.Delim('{') {
		return nil, errors.New("the answer is no object")
	}
	var out []byte
	kept := int64(0) // how much of the object is in out
	found := false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var old json.RawMessage
		if err := d.Decode(&old); err != nil {
			return nil, err
		}
		if key == name {
			end := d.InputOffset()
			out = append(append(out, object[kept:end-int64(len(old))]...), encoded...)
			kept, found = end, true
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("the answer has no %s", name)
	}
	return append(out, object[kept:]...), nil
}

// Pools gives the pools of a project that were created since a time of the
// server's clock, less what the clocks may differ, in the order of their ids; zero
// means all times. An error ends it.
func (c *Client) Pools(ctx context.Context, project string, createdSince time.Time) iter.Seq2[toloka.Pool, error] {
	what := "listing the pools of project " + project
	query := url.Values{"project_id": {project}, "sort": {"id"}, "limit": {strconv.Itoa(poolsPage)}}
	if !createdSince.IsZero() {
		query.Set("created_gte", createdSince.Add(-c.clockMargin()).UTC().Format(createdLayout))
	}
	return func(yield func(toloka.Pool, error) bool) {
		query := maps.Clone(query)
		for after, more := "", true; more; {
			var page struct {
				Items []toloka.Pool `json:"items"`
				More  bool          `json:"has_more"`
			}
			failed := c.do(ctx, &call{what: what, method: http.MethodGet, path: "/pools", query: query, read: func(r io.Reader) error {
				body, err := io.ReadAll(r)
				if err != nil {
					return err
				}
				page.Items, page.More = nil, false
				return json.Unmarshal(body, &page)
			}})
			if failed != nil {
				yield(toloka.Pool{}, failed)
				return
			}
			for _, pool := range page.Items {
				if !yield(pool, nil) {
					return
				}
			}
			if more = page.More && len(page.Items) > 0; !more {
				return
			}
			next := page.Items[len(page.Items)-1].ID
			if next == after {
				yield(toloka.Pool{}, &APIError{
					Kind: KindUnexpected, What: what, Host: c.base.Host,
					cause: fmt.Errorf("the list of pools doesn't go on after %s", after),
				})
				return
			}
			after = next
			query.Set("id_gt", after)
		}
	}
}
