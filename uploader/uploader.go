package uploader

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"poolfill/batcher"
	"poolfill/internal/contract"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// Mode says how a chunk is sent.
type Mode string

// The modes.
const (
	// Async sends each chunk as an operation, which the server takes only once
	// however often it comes: no task is ever created twice.
	Async Mode = "async"
	// Sync creates the tasks within the request. Where an answer is lost, the
	// chunk is looked for among the tasks created since, by content. That is
	// exact as long as nobody else uploads equal tasks to the same pool at the
	// same time, and the server has finished with a request within Config.Settle
	// after its connection was lost. A server that takes longer can create a
	// chunk twice.
	Sync Mode = "sync"
)

// The defaults of Config.
const (
	DefaultOperationTimeout = 30 * time.Minute
	DefaultSettle           = 3 * time.Second
)

// Config says what is uploaded and how.
type Config struct {
	// PoolID is the pool that the chunks are for. It must not be empty.
	PoolID string
	// Mode is Async or Sync; empty means Async.
	Mode Mode
	// SkipInvalid lets the valid rows of a chunk be created when others are
	// refused. When it is false, a chunk with a refused row creates nothing; but
	// where the server took the chunk only in parts (answer 413), the parts
	// before it have been created.
	SkipInvalid bool
	// RunKey tells this upload apart from others to the same pool: the same
	// chunk of the same RunKey is created once. It must not be empty in Async.
	RunKey string
	// OperationTimeout bounds the time that is waited for an operation; 0 means 30
	// minutes. The rows of one that takes longer end as Unsent and InDoubt.
	OperationTimeout time.Duration
	// Stop, once closed, keeps chunks from being sent of which nothing was sent
	// yet: their rows end as Unsent, instead of waiting for a quota. Upload's
	// error is canceled then. Nil never stops.
	Stop <-chan struct{}
	// Settle is how long a search of the pool waits, twice, for the server to
	// finish with what is in doubt, and five times as long where there was no
	// answer in time; 0 means 3 seconds.
	Settle time.Duration
	// Journal is told of everything before it is sent; nil means none.
	Journal Journal
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.PoolID == "" {
		errs = append(errs, errors.New("the pool's id is empty"))
	}
	switch c.Mode {
	case "", Async:
		if c.RunKey == "" {
			errs = append(errs, errors.New("the run's key is empty"))
		}
	case Sync:
	default:
		errs = append(errs, fmt.Errorf("the mode must be async or sync: %q", c.Mode))
	}
	if c.OperationTimeout < 0 {
		errs = append(errs, fmt.Errorf("the time for an operation is negative: %v", c.OperationTimeout))
	}
	if c.Settle < 0 {
		errs = append(errs, fmt.Errorf("the time to settle is negative: %v", c.Settle))
	}
	return errors.Join(errs...)
}

// Uploader uploads chunks. It is safe for concurrent use.
type Uploader struct {
	client *Client
	cfg    Config
	log    *zap.Logger
	recent recent // the tasks that were created lately

	mu      sync.Mutex
	typical time.Duration       // that an operation takes
	rows    [][]verdict.Verdict // of outcomes that were kept, cleared
}

// New returns an Uploader, or an error that says what is wrong with cfg. It
// sends nothing.
func New(client *Client, cfg Config) (*Uploader, error) {
	if client == nil {
		return nil, errors.New("there is no client")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Mode = cmp.Or(cfg.Mode, Async)
	cfg.OperationTimeout = cmp.Or(cfg.OperationTimeout, DefaultOperationTimeout)
	cfg.Settle = cmp.Or(cfg.Settle, DefaultSettle)
	return &Uploader{client: client, cfg: cfg, log: client.log, recent: newRecent()}, nil
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
	// Noted says that the Journal was told of a request, though it may never
	// have left.
	Noted bool
	// QuotaWait is the time that the requests to create tasks and to read logs
	// waited at the gate.
	QuotaWait time.Duration

	named []*named // of its tasks, what is remembered until Kept
	// Known says that the server knew the chunk already from an earlier upload
	// with the same RunKey.
	Known bool
}

// Kept says that an outcome is kept where the Prior.Named of later uploads finds
// it, so that its tasks need not be remembered here. Without that they are until
// no search can come across them any more, some ten seconds in general: 8 bytes
// a task. The outcome's rows must not be used any more: later ones take their
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
	last := len(u.rows) - 1
	if last < 0 {
		return make([]verdict.Verdict, n)
	}
	rows := u.rows[last]
	u.rows = u.rows[:last]
	if n > cap(rows) {
		return make([]verdict.Verdict, n)
	}
	return rows[:n]
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

// Reasons for rows that were not sent.
const (
	reasonInvalidBeside = "not created because the chunk has an invalid row"
	reasonNotNamed      = "the operation's log doesn't name this row"
	reasonNotAnswered   = "the server's answer doesn't name this row"
	reasonLogGone       = "the operation succeeded, but its log is no longer kept and the pool doesn't show the task"
	reasonLogGoneSkip   = "the operation succeeded, but its log is no longer kept and the pool doesn't have the task: the server may have refused the row"
	reasonInDoubt       = "the upload ended before the server's answer was known"
	reasonNotSent       = "the upload ended before this row was created"
	reasonIDMissing     = "created, but the server didn't give the task's id"
)

// Upload brings a chunk into the pool. It takes as long as the chunk takes,
// retries and waiting for the quota included. Of a chunk whose earlier upload
// was broken off, prior tells what is known; what became of the rest is found
// out before anything is sent.
//
// An error (an *APIError, or one that wraps it) means that the run can't go on,
// or that ctx ended; then Upload returns at once. In any case the Outcome says
// what is known of each row.
func (u *Uploader) Upload(ctx context.Context, chunk *batcher.Chunk, prior Prior) (Outcome, error) {
	j := &job{
		Uploader: u,
		prior:    prior,
		out:      Outcome{Chunk: chunk, Rows: u.newRows(chunk)},
		retries:  budget{left: u.client.cfg.RetryFor},
	}
	defer u.recent.end(&j.flight)
	defer j.clear()
	var err error
	if chunk.Len() > 0 {
		err = j.run(ctx)
	}
	return j.out, err
}

// job is one call of Upload.
type job struct {
	*Uploader
	prior   Prior
	asked   map[string]toloka.Operation // of the earlier upload, those that exist
	out     Outcome
	retries budget // for operations that fail with nothing done

	flight flight
	exit   func() // lets others search the pool; nil where they may
	noted  string // the operation that the Journal was told of last
}

// part is what of a chunk goes into one request.
type part struct {
	chunk *batcher.Chunk
	rows  []int // indexes into the chunk, ascending
	body  []byte
	sum   batcher.Key
	// generation counts the operations of just these rows that failed with
	// nothing done.
	generation int
}

// has reports whether a row belongs to the part.
func (p part) has(row int) bool {
	if row >= 0 && row < len(p.rows) && p.rows[row] == row {
		return true // it is a whole chunk, as nearly always
	}
	_, found := slices.BinarySearch(p.rows, row)
	return found
}

// inputs gives the member input_values of a row of the chunk; nil where there is
// no such row.
func (p part) inputs(row int) []byte {
	if row < 0 || row >= p.chunk.Len() {
		return nil
	}
	return p.chunk.Inputs(row)
}

func whole(chunk *batcher.Chunk) part {
	p := part{chunk: chunk, rows: make([]int, chunk.Len()), body: chunk.Body(), sum: chunk.Sum()}
	for i := range p.rows {
		p.rows[i] = i
	}
	return p
}

func partOf(chunk *batcher.Chunk, rows []int) part {
	size := 2
	for _, row := range rows {
		size += len(chunk.Task(row)) + 1
	}
	body := append(make([]byte, 0, size), '[')
	for i, row := range rows {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, chunk.Task(row)...)
	}
	body = append(body, ']')
	keys := make([]batcher.Key, len(rows))
	for i, row := range rows {
		keys[i] = chunk.Keys()[row]
	}
	return part{chunk: chunk, rows: rows, body: body, sum: batcher.SumOf(keys)}
}

// part gives the part of these rows.
func (j *job) part(rows []int) part {
	if len(rows) == j.out.Chunk.Len() {
		return whole(j.out.Chunk)
	}
	return partOf(j.out.Chunk, rows)
}

// String is for people, who know of rows and not of chunks.
func (p part) String() string {
	if len(p.rows) == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", len(p.rows))
}

// run sends the chunk, and what remains of it, until each row has its status.
func (j *job) run(ctx context.Context) error {
	deliver := j.async
	if j.cfg.Mode == Sync {
		deliver = j.sync
	}
	queue, err := j.resume(ctx)
	if err != nil {
		for i := range j.out.Rows {
			j.unsent(i, reasonInDoubt, true)
		}
		return err
	}
	for len(queue) > 0 {
		p := queue[0]
		rest, inDoubt, err := deliver(ctx, p)
		if err != nil {
			j.leave(p.rows, inDoubt)
			for i := range j.out.Rows {
				j.unsent(i, reasonNotSent, false)
			}
			return err
		}
		queue = append(rest, queue[1:]...)
		if !j.cfg.SkipInvalid && j.out.Count(verdict.Rejected) > 0 {
			queue = nil
		}
	}
	for i := range j.out.Rows {
		j.unsent(i, reasonInvalidBeside, false)
	}
	return nil
}

// leave marks the rows that were being sent when the upload ended.
func (j *job) leave(rows []int, inDoubt bool) {
	for _, row := range rows {
		if inDoubt {
			j.unsent(row, reasonInDoubt, true)
		}
	}
}

// unsent gives a row its reason, where it has no status yet.
func (j *job) unsent(row int, reason string, inDoubt bool) {
	if j.open(row) {
		r := &j.out.Rows[row]
		r.Reason, r.InDoubt = reason, inDoubt
	}
}

// open reports whether nothing is known yet of a row.
func (j *job) open(row int) bool {
	r := &j.out.Rows[row]
	return r.Status == verdict.Unsent && r.Reason == ""
}

// reopen forgets what is known of a row.
func (j *job) reopen(row int) {
	if !j.open(row) {
		j.out.Rows[row] = verdict.Verdict{Position: j.out.Rows[row].Position}
	}
}

func (j *job) created(row int, id string) {
	j.reopen(row)
	r := &j.out.Rows[row]
	if r.Status, r.TaskID = verdict.Created, id; id == "" {
		r.Reason = reasonIDMissing
	}
}

func (j *job) rejected(row int, findings []verdict.Finding) {
	if r := &j.out.Rows[row]; r.Status == verdict.Unsent {
		j.reopen(row)
		r.Status, r.Findings, r.Raw = verdict.Rejected, findings, j.out.Chunk.Raw(row)
	}
}

// opens gives the rows of a part of which nothing is known yet.
func (j *job) opens(p part) []int {
	n := 0
	for _, row := range p.rows {
		if j.open(row) {
			n++
		}
	}
	if n == len(p.rows) {
		return p.rows
	}
	open := make([]int, 0, n)
	for _, row := range p.rows {
		if j.open(row) {
			open = append(open, row)
		}
	}
	return open
}

// post is the request that creates the tasks of a part.
func (j *job) post(p part) *call {
	query := url.Values{
		"allow_defaults":     {"true"},
		"async_mode":         {strconv.FormatBool(j.cfg.Mode == Async)},
		"skip_invalid_items": {strconv.FormatBool(j.cfg.SkipInvalid)},
	}
	return &call{
		what:   "sending " + p.String(),
		method: http.MethodPost,
		path:   "/tasks",
		query:  query,
		body:   p.body,
		tasks:  len(p.rows),
		stop:   j.cfg.Stop,
	}
}

// tooLarge halves a part that the server finds too large. A single row that is
// too large is refused.
func (j *job) tooLarge(p part, err *APIError) []part {
	if n := len(p.rows); n > 1 {
		j.log.Warn("a request was too large and is sent in halves", zap.Int("chunk", p.chunk.Number), zap.Int("rows", n))
		return []part{partOf(p.chunk, p.rows[:n/2]), partOf(p.chunk, p.rows[n/2:])}
	}
	j.rejected(p.rows[0], []verdict.Finding{{
		Stage:   verdict.StageServer,
		Code:    cmp.Or(err.Code, "REQUEST_TOO_LARGE"),
		Message: fmt.Sprintf("the server finds even this row alone too large (%d bytes): shorten it", len(p.body)),
	}})
	return nil
}

// refused takes an answer that says that nothing was created, gives what is to
// be sent instead, and fails where that is no matter of single rows.
func (j *job) refused(p part, failed *APIError) (rest []part, inDoubt bool, err error) {
	switch {
	case failed.Kind == KindTooLarge && !failed.InDoubt:
		return j.tooLarge(p, failed), false, nil
	case failed.Kind == KindInvalid && failed.Code == contract.CodeValidationError:
		return j.invalid(p, failed), false, nil
	}
	return nil, failed.InDoubt, failed
}

// invalid takes the reasons why the server refuses rows. Rows that it doesn't
// name are sent again without the others, unless one invalid row stops all.
func (j *job) invalid(p part, failed *APIError) []part {
	byItem, flat := itemErrors(failed.Payload)
	for i, errs := range byItem {
		if i < len(p.rows) {
			if len(errs) == 0 {
				errs = fieldFindings(nil)
			}
			j.rejected(p.rows[i], errs)
		}
	}
	open := j.opens(p)
	if len(open) < len(p.rows) {
		if len(open) == 0 || !j.cfg.SkipInvalid {
			return nil
		}
		return []part{partOf(p.chunk, open)}
	}
	if len(flat) == 0 {
		flat = []verdict.Finding{{Stage: verdict.StageServer, Code: failed.Code, Message: cmp.Or(failed.Message, "the server gave no reason")}}
	}
	if len(p.rows) > 1 {
		for i := range flat {
			flat[i].Message += fmt.Sprintf(" (the server refused all %d rows of the request together)", len(p.rows))
		}
	}
	for _, row := range p.rows {
		j.rejected(row, flat)
	}
	return nil
}
