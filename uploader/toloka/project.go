package toloka

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"poolfill/reader"
)

// Project is what GET /projects/{id} answers, as far as it is used.
type Project struct {
	ID         string      `json:"id"`
	PublicName string      `json:"public_name"`
	TaskSpec   reader.Spec `json:"task_spec"`
}

// Project reads a project.
func (c *Client) Project(ctx context.Context, id string) (Project, error) {
	return one(ctx, c, "reading project "+id, projectPath(id), func(p Project) string { return p.ID })
}

// Requester is what GET /requester answers about the token's account, as far as it
// is used.
type Requester struct {
	ID         string            `json:"id"`
	Balance    json.Number       `json:"balance"`
	PublicName map[string]string `json:"public_name"`
}

// Requester reads the account that the token belongs to.
func (c *Client) Requester(ctx context.Context) (Requester, error) {
	return one(ctx, c, "reading the account", requesterPath, func(r Requester) string { return r.ID })
}

// one reads one thing that has an id: other JSON, such as a portal's, has none.
func one[T any](ctx context.Context, c *Client, what, path string, id func(T) string) (value T, err error) {
	err = c.read(ctx, what, path, func(answer io.Reader) error {
		var read T // anew for each attempt
		if err := into(&read)(answer); err != nil {
			return err
		}
		if id(read) == "" {
			return errNoID
		}
		value = read
		return nil
	})
	return value, err
}

var errNoID = errors.New("the answer has no id")
