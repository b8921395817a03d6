package uploader

import (
	"context"
	"time"

	"poolfill/batcher"
	"poolfill/reader/verdict"
)

// Journal keeps, durably, what is about to be sent. It is called by several
// goroutines at once.
type Journal interface {
	// Sending is called before the first request of an operation (Async), or
	// before the first attempt at rows (Sync), and again before rows are sent
	// again after the pool was searched for them. It returns once that survives a
	// crash. Its error ends Upload; nothing of what it heard of was sent.
	Sending(ctx context.Context, a Attempt) error
}

// noJournal keeps nothing.
type noJournal struct{}

func (noJournal) Sending(context.Context, Attempt) error { return nil }

// Attempt is what is about to be sent.
type Attempt struct {
	Chunk *batcher.Chunk
	// Rows are the indexes of the chunk's tasks that are sent, ascending. They
	// must not be changed.
	Rows []int
	// Operation is the id of the operation; empty in Sync.
	Operation string
	// Generation counts the operations of just these rows that failed before.
	Generation int
	// Mark is where a search for these tasks begins; the zero value in Async.
	Mark Mark
	// At is the time by our clock.
	At time.Time
}

// Prior is what is known of a chunk from an earlier upload with the same
// settings that was broken off, or that left rows. The zero value knows nothing.
type Prior struct {
	// Rows is empty or has one entry a row. Rows that are Created stay so and are not
	// sent; their Position is taken from the chunk. All others are sent, also those
	// that the server refused, since the reason may be gone; in Async, those that are
	// InDoubt are looked for in the pool before. Any other length is an error.
	Rows []verdict.Verdict
	// Mark is that of the earliest Attempt at the chunk whose end isn't known. In Sync,
	// all rows that are not Created are then looked for in the pool before they are sent.
	Mark Mark
	// Since is the At of that Attempt; zero where there is none, or in Async where it
	// isn't known. In Sync it does what Mark does, for an Attempt without one: the whole
	// pool is listed before anything is sent again.
	Since time.Time
	// Operations are the ids of all Attempts. They are asked for before anything
	// is sent; only those that the server doesn't know are sent.
	Operations []string
	// Named knows which tasks belong to other rows; nil knows of none. It is called
	// by one goroutine at a time, and only where the pool is searched. Its error
	// ends Upload.
	Named Named
	// Doubted counts the rows of other chunks, not under way, whose tasks the pool may
	// have, by their keys: a search leaves the tasks to them. Nil has none. It is not
	// changed.
	Doubted map[batcher.Key]int
}

// inDoubt reports whether there was an attempt whose end isn't known.
func (p Prior) inDoubt() bool { return p.Mark.Known() || !p.Since.IsZero() }

// Named returns which of the tasks with these ids are known to belong to rows.
type Named func(ids []string) (map[string]bool, error)
