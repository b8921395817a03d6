package toloka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"poolfill/internal/identity"
)

// Identified is a task of a pool, by all that it was sent with.
type Identified struct {
	ID  string
	Key identity.Key
}

// Identities yields the tasks of a pool that has these defaults, in the order of their
// ids. An error ends it.
func (c *Client) Identities(ctx context.Context, pool string, defaults identity.Defaults) iter.Seq2[Identified, error] {
	return list(ctx, c, listing[Identified]{
		what: "listing the tasks of pool " + pool, path: Tasks().path, noun: "tasks", member: "pool_id", of: pool, page: tasksPage, limit: maxList,
		id: func(t Identified) string { return t.ID },
		read: func(answer io.Reader) (page []Identified, more bool, err error) {
			err = c.decode.read(answer, func(d *decoder) error {
				listed := false
				err := d.object(func(key []byte) (err error) {
					switch string(key) {
					case "has_more":
						raw, err := d.raw()
						more = string(raw) == "true"
						return err
					case "items":
						listed = true
						return d.array(func() error {
							t, err := d.identified(defaults)
							page = append(page, t)
							return err
						})
					}
					return d.skip()
				})
				if err == nil && !listed {
					err = errors.New("the list has no items")
				}
				return err
			})
			return page, more, err
		},
	})
}

func (d *decoder) identified(defaults identity.Defaults) (t Identified, err error) {
	raw, err := d.raw()
	if err != nil {
		return t, err
	}
	value, err := member(raw, "id")
	if err != nil {
		return t, err
	}
	id, err := text(value)
	if err != nil || len(id) == 0 {
		return t, fmt.Errorf("a task has no id: %w", errors.Join(err))
	}
	t.ID = string(id)
	t.Key, err = identity.Of(raw, defaults)
	return t, err
}
