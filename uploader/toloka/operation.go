package toloka

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"poolfill/internal/backoff"
	"poolfill/internal/visible"
)

// The states of an operation.
const (
	OperationPending = "PENDING"
	OperationRunning = "RUNNING"
	OperationSuccess = "SUCCESS"
	OperationFail    = "FAIL"
)

// Operation is a running or finished job of the server. Its details have
// several undocumented shapes, so nothing is counted from them.
type Operation struct {
	ID      string
	Type    string
	Status  string
	Details json.RawMessage
}

// Done reports whether the operation has reached its end.
func (o Operation) Done() bool {
	return o.Status == OperationSuccess || o.Status == OperationFail
}

// Explain returns the details in brackets after a blank, cut to some hundred bytes;
// nothing where there are none.
func (o Operation) Explain() string {
	if text := string(o.Details); text != "" && text != "{}" {
		return " (" + visible.Cut(text, maxText) + ")"
	}
	return ""
}

// maxDetails bounds what is kept of an operation's details.
const maxDetails = 4 << 10

// operation reads an operation. A member that is no text counts as empty.
func (p *decoders) operation(r io.Reader) (op Operation, err error) {
	texts := map[string]*string{"id": &op.ID, "type": &op.Type, "status": &op.Status}
	err = p.read(r, func(d *decoder) error {
		return d.object(func(key []byte) error {
			name := string(key)
			raw, err := d.raw()
			if field := texts[name]; field != nil && err == nil {
				var value []byte
				value, err = text(raw)
				*field = visible.Cut(string(value), maxText)
			}
			if name == "details" && len(raw) <= maxDetails && string(raw) != "null" {
				op.Details = bytes.Clone(raw)
			}
			return err
		})
	})
	if err == nil && op.Status == "" {
		err = errors.New("the answer is no operation")
	}
	return op, err
}

// operate sends a request that is answered by an operation.
func (c *Client) operate(ctx context.Context, r *request) (op Operation, effort Effort, err error) {
	r.read = func(answer io.Reader) error {
		var err error
		op, err = c.decode.operation(answer)
		return err
	}
	effort, err = c.do(ctx, r)
	return op, effort, err
}

// Operation reads an operation.
func (c *Client) Operation(ctx context.Context, id string) (op Operation, err error) {
	err = c.read(ctx, "reading operation "+id, operationPath(id), func(answer io.Reader) error {
		var err error
		if op, err = c.decode.operation(answer); err == nil && op.ID != "" && op.ID != id {
			err = fmt.Errorf("it is about operation %q", op.ID) // an answer to somebody else, mixed up on the way
		}
		return err
	})
	return op, err
}

// await polls an operation until its end. One without an id has none.
func (c *Client) await(ctx context.Context, what string, op Operation) (Operation, error) {
	for n := 0; op.ID != "" && !op.Done(); n++ {
		if backoff.Sleep(ctx, backoff.Poll(n, 0, backoff.Jitter())) != nil {
			return op, Canceled(ctx, what, nil)
		}
		now, err := c.Operation(ctx, op.ID)
		if err != nil {
			return op, err
		}
		op = now
	}
	return op, nil
}
