package uploader

import (
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"poolfill/batcher"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// Uploader uploads chunks. It is safe for concurrent use.
type Uploader struct {
	client *toloka.Client
	entity toloka.Entity
	cfg    Config
	log    *zap.Logger
	recent recent // the tasks that were created, and the rows in doubt
	marks  marks

	mu      sync.Mutex
	typical time.Duration       // that an operation takes
	rows    [][]verdict.Verdict // of outcomes that were kept, cleared
}

// New returns an Uploader, or an error that says what is wrong with cfg. It
// sends nothing.
func New(client *toloka.Client, cfg Config) (*Uploader, error) {
	if client == nil {
		return nil, errors.New("there is no client")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Uploader{
		client: client, entity: toloka.Tasks().WithOverlap(cfg.DefaultOverlap), cfg: cfg.withDefaults(),
		log: client.Config().Log, recent: newRecent(), marks: newMarks(),
	}, nil
}

// Outcome is what became of a chunk.
type Outcome struct {
	Chunk *batcher.Chunk
	// Rows has one entry for each task of the chunk, in its order: Created,
	// Rejected or Unsent. A Rejected one has at least one Finding of StageServer,
	// with Path, Code and Message alone, and its Raw is the chunk's.
	Rows []verdict.Verdict
	// Operation is the id of the last operation, and Generation its generation.
	// Both are empty in Sync.
	Operation  string
	Generation int
	// Attempts counts the requests that were sent to create tasks.
	Attempts int
	// Noted means that the Journal heard of a request, though it may never have
	// left.
	Noted bool
	// QuotaWait is the time that the requests to create tasks and to read logs
	// waited at the gate.
	QuotaWait time.Duration
	// Known means that the server knew the chunk already from an earlier upload
	// with the same RunKey.
	Known bool

	// Resent means that rows were sent again in Sync, as the pool didn't show tasks of an
	// attempt whose answer was lost. A server that was very slow may have them twice.
	Resent bool

	named []*named // of its tasks, what is remembered until Kept
}

// Count returns the number of rows with a status.
func (o Outcome) Count(s verdict.Status) int {
	n := 0
	for i := range o.Rows {
		if o.Rows[i].Status == s {
			n++
		}
	}
	return n
}

// RefusedAlike returns why the server refused all rows, where they are more than a few and
// the reason is the same: then it will likely refuse those of other chunks as well.
func (o Outcome) RefusedAlike() (why verdict.Finding, alike bool) {
	const few = 10
	if len(o.Rows) <= few {
		return why, false
	}
	for i := range o.Rows {
		r := &o.Rows[i]
		if r.Status != verdict.Rejected || len(r.Findings) == 0 {
			return why, false
		}
		f := r.Findings[0]
		if i == 0 {
			why = f
		}
		if f.Path != why.Path || f.Code != why.Code {
			return why, false
		}
	}
	return why, true
}

// Kept declares that an outcome is kept where the Prior.Named of later uploads finds
// it, so that its tasks need not be remembered here, which takes 8 bytes a task. The
// outcome's rows must not be used any more: later ones take their
// place.
func (u *Uploader) Kept(o Outcome) {
	u.recent.forget(o.named)
	clear(o.Rows)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rows = append(u.rows, o.Rows)
}

// newRows returns a chunk's rows, of which only the position is known.
func (u *Uploader) newRows(chunk *batcher.Chunk) []verdict.Verdict {
	rows := u.spareRows(chunk.Len())
	for i := range rows {
		rows[i].Position = chunk.Position(i)
	}
	return rows
}

// spareRows returns so many rows that are all zero.
func (u *Uploader) spareRows(n int) []verdict.Verdict {
	u.mu.Lock()
	defer u.mu.Unlock()
	if last := len(u.rows) - 1; last >= 0 {
		rows := u.rows[last]
		u.rows = u.rows[:last]
		if n <= cap(rows) {
			return rows[:n]
		}
	}
	return make([]verdict.Verdict, n)
}
