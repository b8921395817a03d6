package toloka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"

	"poolfill/internal/contract"
	"poolfill/internal/identity"
)

// Entity is a kind of things that a pool holds: what the API calls them in its paths,
// logs and answers.
type Entity struct {
	path          string // where they are created and listed
	createEntry   string // the types of a log's entries about one of them
	validateEntry string
	idMember      string // of the output of such an entry
	plural        string // for people

	defaults identity.Defaults // of the pool
}

// Tasks are single tasks.
func Tasks() Entity {
	return Entity{path: "/tasks", createEntry: "TASK_CREATE", validateEntry: "TASK_VALIDATE", idMember: "task_id", plural: "tasks"}
}

// WithOverlap returns the entity for a pool with this overlap for new tasks; 0 is
// unknown. By it a task without an overlap of its own is known again.
func (e Entity) WithOverlap(overlap int) Entity {
	e.defaults.Overlap = overlap
	return e
}

// key returns the key of one, in the API's JSON.
func (e Entity) key(raw []byte) (identity.Key, error) { return identity.Of(raw, e.defaults) }

// Batch is what is created by one request.
type Batch struct {
	// Body is the JSON array of them, and Len their number.
	Body []byte
	Len  int
	// Name is what errors call them, such as "3 rows".
	Name string
	// SkipInvalid lets the valid ones be created when others are refused.
	SkipInvalid bool
	// Inputs returns the member input_values of one of them just as it was sent, by
	// the index that the answer names; nil for an index that none has. It saves time,
	// as most servers repeat that to the letter; nil knows of none.
	Inputs func(index int) []byte
}

// request describes the creation of a batch, under an operation's id or without.
func (b Batch) request(e Entity, operation string, hooks Hooks) *request {
	return &request{
		what: "sending " + b.Name, method: http.MethodPost, path: e.path, query: createQuery(b, operation),
		body: b.Body, tasks: b.Len, hooks: hooks,
	}
}

// limit bounds the length of an answer about the batch: each task comes in a few
// entries, written with more escapes than it was sent with.
func (b Batch) limit() int64 { return 1<<20 + 32*int64(len(b.Body)) + 4<<10*int64(b.Len) }

func (b Batch) inputs() inputs {
	if b.Inputs == nil {
		return func(int) []byte { return nil }
	}
	return b.Inputs
}

// Submit has a batch created by an operation with the given id, which the server takes
// once however often it comes: an answer that was lost is no matter.
//
// An operation that existed is an error with the code OPERATION_ALREADY_EXISTS. An
// answer about another operation is one of KindUnexpected, with the batch in doubt: a
// server that doesn't take the id would create the batch each time that it is sent.
func (c *Client) Submit(ctx context.Context, e Entity, b Batch, operation string, hooks Hooks) (Operation, Effort, error) {
	r := b.request(e, operation, hooks)
	var found Operation
	r.look = func(ctx context.Context, failed *Error) bool {
		if failed.Status != http.StatusConflict || failed.Kind != KindMalformed {
			return false
		}
		// Most likely something on the way has put a page in place of the API's word
		// that the operation exists.
		var err error
		found, err = c.Operation(ctx, operation)
		return err == nil
	}
	op, effort, err := c.operate(ctx, r)
	switch {
	case err != nil:
		return op, effort, err
	case op.Status == "":
		return found, effort, nil
	case op.ID != "" && op.ID != operation:
		other := c.Failure(KindUnexpected, r.what, fmt.Errorf("the rows were sent as operation %s, and the server answers about operation %s: such a server can only be used synchronously", operation, op.ID))
		other.Status, other.Attempts, other.InDoubt = http.StatusAccepted, effort.Attempts, true
		return Operation{}, effort, other
	}
	return op, effort, nil
}

// Create has a batch created within the request. Once the answer is known to be whole,
// take gets what it says of the batch; an item's Index is its place in Body.
//
// An attempt that may have been carried out though there is no answer is not repeated.
// Instead settle is called with its failure, to find out what was created, and returns
// what is still to be: Len is 0 where that is nothing. An error of settle ends the
// call, and is returned.
func (c *Client) Create(ctx context.Context, e Entity, b Batch, hooks Hooks,
	take func(iter.Seq[Item]), settle func(context.Context, *Error) (rest Batch, err error),
) (Effort, error) {
	var unsettled error
	var describe func(Batch) *request
	describe = func(b Batch) *request {
		r := b.request(e, "", hooks)
		r.limit = b.limit()
		r.read = func(answer io.Reader) error { return c.decode.answer(answer, b.Len, b.inputs(), take) }
		r.settle = func(ctx context.Context, failed *Error) (again *request, ok bool) {
			var rest Batch
			if rest, unsettled = settle(ctx, failed); unsettled != nil || rest.Len == 0 {
				return nil, unsettled == nil
			}
			return describe(rest), true
		}
		return r
	}
	effort, err := c.do(ctx, describe(b))
	if unsettled != nil {
		err = unsettled
	}
	return effort, err
}

// Log reads the log of an operation that creates a batch. Once it is known to be whole,
// take gets what it says of the batch; an item's Index is what the log names.
func (c *Client) Log(ctx context.Context, e Entity, operation string, b Batch, take func(iter.Seq[Item])) (Effort, error) {
	r := logOf(operation, func(answer io.Reader) error { return c.decode.log(answer, e, b.Len, b.inputs(), take) })
	r.limit = b.limit()
	return c.do(ctx, r)
}

// maxList bounds an answer whose length nobody knows beforehand, in bytes.
const maxList = 1 << 30

// Created returns the tasks that an operation has created according to its log, in no
// order.
func (c *Client) Created(ctx context.Context, e Entity, operation string) (tasks []Task, err error) {
	r := logOf(operation, func(answer io.Reader) error {
		return c.decode.log(answer, e, 0, Batch{}.inputs(), func(items iter.Seq[Item]) {
			for item := range items {
				if item.Created {
					tasks = append(tasks, Task{ID: item.ID, Key: item.Key})
				}
			}
		})
	})
	r.limit = maxList
	_, err = c.do(ctx, r)
	return tasks, err
}

func logOf(operation string, read func(io.Reader) error) *request {
	return get("reading the log of operation "+operation, operationPath(operation)+"/log", read)
}

// NoLog reports whether an error of Log or Created means that the server has no log of
// the operation, and whether that is so for good.
func NoLog(err error) (gone, forGood bool) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false, false
	}
	forGood = e.Code == contract.CodeOperationLogsArchived && e.Kind != KindNotFound
	return forGood || e.Kind == KindNotFound, forGood
}

// tasksPage is the most tasks in one answer.
const tasksPage = 1000

// Newest returns what of a pool has the highest id, and reports whether it holds anything.
func (c *Client) Newest(ctx context.Context, e Entity, pool string) (newest Task, found bool, err error) {
	r := get(e.listing(pool), e.path, func(answer io.Reader) error {
		found = false
		_, err := c.decode.page(answer, e, func(t Task) { newest, found = t, true })
		return err
	})
	r.query = url.Values{"pool_id": {pool}, "sort": {"-id"}, "limit": {"1"}}
	_, err = c.do(ctx, r)
	return newest, found, err
}

// listing says what is asked for, where nobody says what for.
func (e Entity) listing(pool string) string {
	return fmt.Sprintf("listing the %s of pool %s", e.plural, pool)
}

// List yields what a pool holds from a point on, in the order of ids. what says in
// errors what for, such as "listing the tasks of pool 12"; empty says just that. An
// error ends it.
func (c *Client) List(ctx context.Context, e Entity, pool string, from From, what string) iter.Seq2[Task, error] {
	if what == "" {
		what = e.listing(pool)
	}
	return list(ctx, c, listing[Task]{
		what: what, path: e.path, noun: e.plural, member: "pool_id", of: pool, from: from, page: tasksPage, limit: maxList,
		id: func(t Task) string { return t.ID },
		read: func(answer io.Reader) (page []Task, more bool, err error) {
			more, err = c.decode.page(answer, e, func(t Task) { page = append(page, t) })
			return page, more, err
		},
	})
}

// Count counts what a pool holds by listing it, as the server names the number nowhere:
// one request for each 1,000, or for each 300 where the server gives no more.
func (c *Client) Count(ctx context.Context, e Entity, pool string) (int64, error) {
	var n int64
	for _, err := range c.List(ctx, e, pool, From{}, "") {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}
