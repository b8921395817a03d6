package toloka

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/url"
	"time"
)

// From is where a list begins. The zero value is its beginning.
type From struct {
	// After is an id: the list has what comes behind it.
	After string
	// Created is a time of the server's clock: the list has what was created then or
	// later.
	Created time.Time
}

// listing is a list of the API, which comes in pages.
type listing[T any] struct {
	what       string // for people, as a request has it
	path, noun string
	member, of string // what the list is of: "pool_id" and an id
	from       From
	page       int   // the most in one answer, where the server gives so many
	limit      int64 // of an answer in bytes
	id         func(T) string
	read       func(io.Reader) (page []T, more bool, err error)
}

// list yields what is listed, in the order of ids. An error ends it.
func list[T any](ctx context.Context, c *Client, l listing[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for after, more := l.from.After, true; more; {
			var page []T
			r := get(l.what, l.path, func(answer io.Reader) (err error) {
				page, more, err = l.read(answer)
				return err
			})
			r.limit = l.limit
			if err := c.turn(ctx, r, l.page, func(most int) url.Values {
				return listQuery(l.member, l.of, l.from.Created, after, most)
			}); err != nil {
				yield(none, err)
				return
			}
			for _, one := range page {
				if !yield(one, nil) {
					return
				}
			}
			if !more || len(page) == 0 {
				return
			}
			next := l.id(page[len(page)-1])
			if next == after {
				yield(none, c.Failure(KindUnexpected, l.what, fmt.Errorf("the list of %s doesn't go on after %s", l.noun, after)))
				return
			}
			after = next
		}
	}
}

// surePage is how much of a list any server gives at once. Some refuse to give more.
const surePage = 300

// turn reads a page of a list, whose query is that for so many things at the most. What a
// server has refused it is not asked for again.
func (c *Client) turn(ctx context.Context, r *request, page int, query func(most int) url.Values) error {
	if page > surePage && !c.smallPages.Load() {
		r.query = query(page)
		if _, err := c.do(ctx, r); KindOf(err) != KindInvalid {
			return err
		}
	}
	r.query = query(min(page, surePage))
	_, err := c.do(ctx, r)
	if err == nil && page > surePage {
		c.smallPages.Store(true)
	}
	return err
}
