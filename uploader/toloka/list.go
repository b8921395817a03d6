package toloka

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"
)

// listing is a list of the API, which comes in pages.
type listing[T any] struct {
	what       string // for people, as a request has it
	path, noun string
	member, of string    // what the list is of: "pool_id" and an id
	since      time.Time // by the server's clock; zero means all times
	page       int       // the most in one answer
	limit      int64     // of an answer in bytes
	id         func(T) string
	read       func(io.Reader) (page []T, more bool, err error)
}

// list yields what is listed, in the order of ids. An error ends it.
func list[T any](ctx context.Context, c *Client, l listing[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for after, more := "", true; more; {
			var page []T
			r := get(l.what, l.path, func(answer io.Reader) (err error) {
				page, more, err = l.read(answer)
				return err
			})
			r.query, r.limit = listQuery(l.member, l.of, l.since, after, l.page), l.limit
			if _, err := c.do(ctx, r); err != nil {
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

// margin is a time from which on a list is asked for, so that nothing lacks that was
// created since, though the clocks differ. Zero stays zero.
func (c *Client) margin(since time.Time) time.Time {
	if since.IsZero() {
		return since
	}
	return since.Add(-c.ClockMargin())
}
