package toloka

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The states of a pool.
const (
	PoolOpen     = "OPEN"
	PoolClosed   = "CLOSED"
	PoolArchived = "ARCHIVED"
	PoolLocked   = "LOCKED"
)

// PoolTraining is the type of a training pool.
const PoolTraining = "TRAINING"

// Pool is what GET /pools/{id} answers, as far as it is used.
type Pool struct {
	ID          string `json:"id"`
	ProjectID   string `json:"project_id"`
	PrivateName string `json:"private_name"`
	Status      string `json:"status"`
	Type        string `json:"type"`
	// Created is the time in UTC as the server writes it, such as
	// 2026-01-31T12:00:00.123.
	Created string `json:"created"`
	// MixerConfig is empty or null where the pool has no smart mixing; tasks
	// can't be uploaded to such a pool.
	MixerConfig json.RawMessage `json:"mixer_config,omitempty"`
	Defaults    struct {
		OverlapForNewTasks int `json:"default_overlap_for_new_tasks"`
	} `json:"defaults"`
	// Reward is what a performer gets for one suite of tasks, in the account's
	// currency; an exact decimal, empty where the server doesn't name it.
	Reward json.Number `json:"reward_per_assignment,omitempty"`
}

// MixerConfig is of which tasks a suite is made.
type MixerConfig struct {
	General  int `json:"real_tasks_count"`
	Control  int `json:"golden_tasks_count"`
	Training int `json:"training_tasks_count"`
}

// Mixer reads the pool's mixer_config; and reports whether there is one. What
// can't be read of it is 0.
func (p Pool) Mixer() (m MixerConfig, ok bool) {
	if len(p.MixerConfig) == 0 || bytes.Equal(bytes.TrimSpace(p.MixerConfig), []byte("null")) {
		return m, false
	}
	_ = json.Unmarshal(p.MixerConfig, &m) // goes on after a value of another type
	return m, true
}

// Pool reads a pool.
func (c *Client) Pool(ctx context.Context, id string) (Pool, error) {
	return one(ctx, c, readingPool+id, poolPath(id), func(p Pool) string { return p.ID })
}

const readingPool = "reading pool "

// NotOpenedError says that a pool can't be opened as it is: the server took the
// request and then failed to carry it out.
type NotOpenedError struct {
	// Pool is the pool's id.
	Pool string

	details string // the server's own words, in brackets
}

func (e *NotOpenedError) Error() string {
	return fmt.Sprintf("opening pool %s failed: open it in the web interface to see what is missing%s", e.Pool, e.details)
}

// OpenPool opens a pool and waits until that has happened. A pool that is open
// already stays so. The error is an *Error, or a *NotOpenedError.
func (c *Client) OpenPool(ctx context.Context, id string) error {
	what := "opening pool " + id
	op, _, err := c.operate(ctx, &request{what: what, method: http.MethodPost, path: poolPath(id) + "/open", mayBeEmpty: true})
	if err != nil {
		return err
	}
	if op, err = c.await(ctx, what, op); err != nil {
		return err
	}
	if op.Status == OperationFail {
		return &NotOpenedError{id, op.Explain()}
	}
	return nil
}

// CloneInDoubtError says that it is not known whether a pool was cloned.
type CloneInDoubtError struct {
	// Pool is the one that was to be cloned.
	Pool string
	// Err is why that is not known.
	Err error
}

func (e *CloneInDoubtError) Error() string {
	return fmt.Sprintf("it is not known whether pool %s was cloned: look for the copy among the newest pools of its project before you clone it again (%v)", e.Pool, e.Err)
}

// Unwrap returns the cause.
func (e *CloneInDoubtError) Unwrap() error { return e.Err }

// ClonePool makes a copy of a pool, without its tasks, and returns the copy's id
// once it is there. It is closed.
//
// A clone that may have been carried out is never asked for again, as that would
// make a second copy: the error then is a *CloneInDoubtError. It comes with the
// copy's id where that is known, and only its end is not.
func (c *Client) ClonePool(ctx context.Context, id string) (string, error) {
	what := "cloning pool " + id
	op, _, err := c.operate(ctx, &request{what: what, method: http.MethodPost, path: poolPath(id) + "/clone", single: true})
	if failed, ok := errors.AsType[*Error](err); ok && failed.InDoubt {
		return "", &CloneInDoubtError{id, err}
	}
	switch {
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
	case op.Status == OperationFail:
		return "", fmt.Errorf("%s failed: clone it in the web interface to see why%s", what, op.Explain())
	case clone == "":
		return begun, &CloneInDoubtError{id, fmt.Errorf("operation %s doesn't tell the copy's id", op.ID)}
	}
	return clone, nil
}

// clonedTo returns the id of the copy that an operation makes, or nothing where its
// details have none. It is a string or a number.
func clonedTo(op Operation) string {
	var details struct {
		PoolID json.RawMessage `json:"pool_id"`
	}
	if json.Unmarshal(op.Details, &details) != nil || bytes.Equal(details.PoolID, []byte("null")) {
		return ""
	}
	return strings.Trim(string(details.PoolID), `"`)
}

// RenamePool gives a pool another private name, which only its requester sees.
// All else that the server says of the pool is sent back byte for byte. What
// somebody else changes in the pool at the same moment may be undone by that.
func (c *Client) RenamePool(ctx context.Context, id, name string) error {
	var renamed []byte
	err := c.read(ctx, readingPool+id, poolPath(id), func(r io.Reader) error {
		pool, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		renamed, err = withMember(pool, "private_name", name)
		return err
	})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, &request{what: "renaming pool " + id, method: http.MethodPut, path: poolPath(id), body: renamed, read: into(new(Pool))})
	return err
}

// withMember returns a JSON object in which a member has the value, and all else
// stands as it did.
func withMember(object []byte, name, value string) ([]byte, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	old, err := member(object, name)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, fmt.Errorf("the answer has no %s", name)
	}
	m := marked(object, old, anyText)
	return slices.Concat(object[:m.start], encoded, object[m.end:]), nil
}

// poolsPage is the most pools in one answer.
const poolsPage = 300

// clocksApart is what our clock and the server's may differ, where that does no harm.
const clocksApart = 2 * time.Minute

// Pools yields the pools of a project that were created since a time, and some that were
// a little before it, as clocks differ, in the order of their ids; zero means all times.
// An error ends it.
func (c *Client) Pools(ctx context.Context, project string, createdSince time.Time) iter.Seq2[Pool, error] {
	if !createdSince.IsZero() {
		createdSince = createdSince.Add(-clocksApart)
	}
	return list(ctx, c, listing[Pool]{
		what: "listing the pools of project " + project, path: poolsPath, noun: "pools", member: "project_id", of: project,
		from: From{Created: createdSince}, page: poolsPage,
		id: func(p Pool) string { return p.ID },
		read: func(answer io.Reader) ([]Pool, bool, error) {
			var page struct {
				Items []Pool `json:"items"`
				More  bool   `json:"has_more"`
			}
			err := into(&page)(answer)
			if err == nil && page.Items == nil {
				err = errNoItems
			}
			return page.Items, page.More, err
		},
	})
}
