package toloka

import (
	"context"
	"encoding/json"

	"poolfill/reader"
)

// Project is what GET /projects/{id} answers, as far as it is used.
type Project struct {
	ID         string      `json:"id"`
	PublicName string      `json:"public_name"`
	TaskSpec   reader.Spec `json:"task_spec"`
}

// Project reads a project.
func (c *Client) Project(ctx context.Context, id string) (p Project, err error) {
	err = c.read(ctx, "reading project "+id, projectPath(id), into(&p))
	return p, err
}

// Requester is what GET /requester answers about the token's account, as far as it
// is used.
type Requester struct {
	ID         string            `json:"id"`
	Balance    json.Number       `json:"balance"`
	PublicName map[string]string `json:"public_name"`
}

// Requester reads the account that the token belongs to.
func (c *Client) Requester(ctx context.Context) (r Requester, err error) {
	err = c.read(ctx, "reading the account", requesterPath, into(&r))
	return r, err
}
