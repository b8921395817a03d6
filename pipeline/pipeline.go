package pipeline

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"poolfill/batcher"
	"poolfill/internal/concurrency"
	"poolfill/internal/ledger"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// ErrNoRows is wrapped in the *SetupError of a run whose inputs have no row.
var ErrNoRows = errors.New("there is nothing to upload")

// ErrInterrupted says that a run was stopped before it sent anything.
var ErrInterrupted = errors.New("interrupted before anything was sent")

// Pipeline is one run. It is used once.
type Pipeline struct {
	cfg      Config
	account  *accountBook // nil without a ledger
	gate     *ratelimit.Gate
	client   *toloka.Client     // nil where nothing is asked of the server
	uploader *uploader.Uploader // nil in a check
	batcher  *batcher.Batcher
	places   *concurrency.Limiter
	stdin    *reader.Reader
	print    *bufio.Writer // nil where tasks are not printed
	progress counters
	history  history
	pool     toloka.Pool // empty where the server was not asked about it

	inputs    []string                 // the names of the files, then of the sources
	sources   map[string]reader.Source // by name
	run       *ledger.Run              // nil without a ledger
	resumed   bool                     // the run goes on with an earlier attempt
	unchanged map[int]string           // the finished runs that have uploaded a file as it is, by its number
	guard     rowGuard                 // used by the producer alone
	numbers   map[string]int           // of the inputs, by name

	stopOnce sync.Once
	stopping chan struct{} // closed when no further row is taken

	infoMu sync.Mutex
	infos  map[string]reader.Info // of the inputs that were opened, by path

	mu       sync.Mutex // guards what follows
	strays   known      // tasks of this run whose rows are not known
	tally    *tally
	files    []File
	warnings []Warning
	chunks   int64
	unread   bool  // an input was not read to its end
	earlier  int64 // created rows of chunks that the server knew already
	state    State
	err      error     // why the run ended early
	until    time.Time // when a parked run can go on

	// The producer's own.
	taken        int64 // rows of the open input that are not counted yet
	valid        int64 // those of them that a check found valid
	bytes        byteScale
	pending      []Result
	pendingBytes int
}

// New prepares a run without I/O. Its error joins everything that is wrong with
// the configuration.
func New(cfg Config) (*Pipeline, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	p := &Pipeline{
		cfg:       cfg,
		stopping:  make(chan struct{}),
		tally:     newTally(),
		infos:     make(map[string]reader.Info),
		inputs:    cfg.inputs(),
		sources:   make(map[string]reader.Source),
		numbers:   make(map[string]int),
		unchanged: make(map[int]string),
		state:     Finished,
		history:   history{sampler: newSampler()},
	}
	for i, path := range p.inputs {
		p.numbers[path] = i
	}
	for _, s := range cfg.Sources {
		p.sources[s.Name] = s
	}
	var err error
	if p.places, err = concurrency.New(cfg.places()); err != nil {
		return nil, err
	}
	if cfg.usesAPI() {
		cfg.API.Connections = cmp.Or(cfg.API.Connections, cfg.Workers, concurrency.DefaultMax)
		observe := cfg.API.Observe
		cfg.API.Observe = func(e toloka.Exchange) {
			if e.Overloaded() {
				p.places.Overload(e.Sent)
			}
			if observe != nil {
				observe(e)
			}
		}
		if cfg.Ledger != nil || cfg.OpenLedger != nil {
			p.account = &accountBook{p: p}
			cfg.Limits.Book = p.account
		}
		if p.gate, err = ratelimit.New(cfg.Limits); err != nil {
			return nil, err
		}
		cfg.API.Gate = p.gate
		if p.client, err = toloka.NewClient(cfg.API); err != nil {
			return nil, err
		}
	}
	if !cfg.Check {
		// Its key may turn out to be that of an earlier run; what else can be
		// wrong with the settings shows now.
		if err := p.newUploader(cmp.Or(cfg.RunKey, cfg.firstKey())); err != nil {
			return nil, err
		}
	}
	if err := p.newBatcher(); err != nil {
		return nil, err
	}
	if cfg.PrintTasks != nil {
		p.print = bufio.NewWriterSize(cfg.PrintTasks, 64<<10)
	}
	return p, nil
}

// newBatcher makes the batcher, with what is known of the pool.
func (p *Pipeline) newBatcher() (err error) {
	p.batcher, err = batcher.New(batcher.Config{
		PoolID:         cmp.Or(p.cfg.PoolID, "0"), // a check without a pool cuts the same chunks
		MaxTasks:       chunkTasks(p.cfg.ChunkSize, p.cfg.Limits),
		ItemIndex:      p.cfg.Mode == uploader.Async,
		Buffers:        p.cfg.Buffers,
		DefaultOverlap: p.pool.Defaults.OverlapForNewTasks,
	})
	return err
}

// newUploader makes the uploader with the key of the run.
func (p *Pipeline) newUploader(key string) error {
	var journal uploader.Journal
	if p.cfg.Ledger != nil {
		journal = p
	}
	var err error
	p.uploader, err = uploader.New(p.client, uploader.Config{
		PoolID:      p.cfg.PoolID,
		Mode:        p.cfg.Mode,
		SkipInvalid: p.cfg.OnInvalid == SkipInvalid,
		Stop:        p.stopping,
		RunKey:      key,
		Journal:     journal,

		DefaultOverlap: p.pool.Defaults.OverlapForNewTasks,
	})
	return err
}

// Stop ends the reading. Chunks in flight finish; the rows that were read and
// not yet sent end as Unsent. It may be called at any time and more than once.
func (p *Pipeline) Stop() { p.stop(Interrupted, nil) }

// RunID is the name of the run. It is settled before the Recorder's first
// Input: a run that is continued keeps the name that it began with.
func (p *Pipeline) RunID() string { return p.cfg.RunID }

// Begun is when the run's first attempt began, settled like RunID.
func (p *Pipeline) Begun() time.Time {
	if p.run != nil {
		return p.run.Started
	}
	return time.Now()
}

// stop ends the reading; the first caller decides the state and the cause.
func (p *Pipeline) stop(state State, cause error) {
	p.stopOnce.Do(func() {
		p.mu.Lock()
		p.state, p.err = state, cause
		p.mu.Unlock()
		close(p.stopping)
	})
}

func (p *Pipeline) stopped() bool {
	select {
	case <-p.stopping:
		return true
	default:
		return false
	}
}

// Run carries the run out. Cancelling ctx leaves at once: requests in flight
// are broken off, and the rows in them end as Unsent with a reason that says
// that the server may have them.
//
// The report is complete whatever the error. A *SetupError means that nothing
// was sent; the report is empty then. Rejected rows are no error.
func (p *Pipeline) Run(ctx context.Context) (Report, error) {
	release := context.AfterFunc(ctx, p.Stop)
	defer release()
	if p.client != nil {
		defer p.client.Close()
	}
	if err := p.prepare(ctx); err != nil {
		if p.stopped() {
			return Report{}, ErrInterrupted
		}
		return Report{}, err
	}
	started := time.Now()
	if p.cfg.Ledger != nil {
		more, err := p.enter(ctx)
		switch {
		case err != nil && p.stopped() && p.cause() == nil:
			return Report{}, errors.Join(ErrInterrupted, p.abandon())
		case err != nil:
			return Report{}, errors.Join(err, p.abandon())
		case !more && p.cfg.Part != "":
			return p.retell(ctx)
		case !more:
			if err := p.openPool(ctx); err != nil {
				p.stop(Failed, err)
			}
			return p.report(started)
		}
		if err := p.newUploader(p.run.Key); err != nil {
			return Report{}, errors.Join(err, p.abandon())
		}
	}
	p.progress.started.Store(started.UnixNano())
	stopHistory, stopTelling := p.keepHistory(), p.tellProgress()

	var group errgroup.Group
	group.Go(func() error {
		taking, release := p.untilStop(ctx)
		defer release()
		return p.produce(ctx, taking, func(c *batcher.Chunk) error { return p.send(ctx, taking, c, &group) })
	})
	// Every failure goes through stop as well, which keeps the first one.
	if err := group.Wait(); err != nil {
		p.stop(Failed, err)
	}
	if p.account != nil {
		// The uploads have ended, even where the run was left at once.
		closed := p.account.close(context.WithoutCancel(ctx))
		if err := cmp.Or(p.gate.Err(), closed); err != nil {
			p.stop(Failed, err)
		}
	}
	if !p.stopped() {
		if err := p.openPool(ctx); err != nil {
			p.stop(Failed, err)
		}
	}
	stopHistory()
	stopTelling()
	report, err := p.report(started)
	var setup *SetupError
	if errors.As(err, &setup) {
		return report, errors.Join(err, p.abandon())
	}
	report, failed := p.conclude(ctx, report)
	if failed != nil {
		report.State = Failed
		if !errors.Is(err, failed) { // else it is what Record has said already
			err = errors.Join(err, failed)
		}
	}
	return report, errors.Join(err, p.close(report))
}

// openPool opens the pool, where that is asked for.
func (p *Pipeline) openPool(ctx context.Context) error {
	if !p.cfg.OpenPool {
		return nil
	}
	if err := p.client.OpenPool(ctx, p.cfg.PoolID); err != nil {
		return fmt.Errorf("every row is accounted for, but the pool was not opened: %w", err)
	}
	return nil
}

// untilStop gives a context that also ends when the run takes no further rows.
// release must be called; it waits for nothing.
func (p *Pipeline) untilStop(ctx context.Context) (taking context.Context, release context.CancelFunc) {
	taking, release = context.WithCancel(ctx)
	go func() {
		select {
		case <-p.stopping:
			release()
		case <-taking.Done():
		}
	}()
	return taking, release
}

// produce reads all inputs, until taking ends, and sends the chunks.
func (p *Pipeline) produce(ctx, taking context.Context, send func(*batcher.Chunk) error) error {
	var rows int64
	for i, path := range p.inputs {
		if p.unchanged[i] != "" {
			continue
		}
		if p.stopped() {
			p.leaveUnread()
			break
		}
		n, err := p.readInput(taking, path, send)
		rows += n
		if err != nil {
			return errors.Join(p.fail(err), p.leave(ctx), p.flush())
		}
	}
	if rows == 0 && len(p.unchanged) == 0 && !p.stopped() {
		return errors.Join(p.fail(p.noRows()), p.flush())
	}
	p.enforceMaxRejected(true)
	if p.stopped() {
		return errors.Join(p.leave(ctx), p.flush())
	}
	last := p.batcher.Flush()
	if p.cfg.Check {
		p.show(last)
	} else if last != nil {
		if err := send(last); err != nil {
			return err
		}
	}
	return p.flush()
}

// show gives a chunk of a check to the one who asked for them.
func (p *Pipeline) show(c *batcher.Chunk) {
	if c == nil {
		return
	}
	p.cfg.Chunks(c)
	p.batcher.Recycle(c)
}

// fail makes err the run's end, unless it already has one, and returns it.
func (p *Pipeline) fail(err error) error {
	p.stop(Failed, err)
	return err
}

// readInput reads one input and gives its chunks to send. It returns the number
// of rows that it read.
func (p *Pipeline) readInput(ctx context.Context, path string, send func(*batcher.Chunk) error) (rows int64, err error) {
	r, err := p.open(ctx, path)
	if err != nil {
		return 0, p.unlessLeft(ctx, err)
	}
	info := r.Info()
	p.infoMu.Lock()
	p.infos[path] = info
	p.infoMu.Unlock()
	if err := p.announce(info); err != nil {
		return 0, errors.Join(err, r.Close())
	}
	p.bytes = newByteScale(info)
	ended := false
	defer func() {
		if !ended {
			p.leaveUnread()
		}
		p.count(path, nil)
		err = errors.Join(err, p.closeInput(ctx, r))
	}()
	for !p.stopped() {
		batch, err := r.NextBatch()
		var empty *reader.InputError
		switch {
		case errors.Is(err, io.EOF):
			ended = true
			return rows, nil
		case errors.As(err, &empty) && empty.Findings[0].Code == reader.CodeNoRows:
			// A header alone is only worth an error where no other input has rows.
			p.warn(path, reader.Warning{Code: reader.CodeNoRows, Message: empty.Findings[0].Message, Count: 1})
			ended = true
			return rows, nil
		case err != nil:
			return rows, p.unlessLeft(ctx, err)
		}
		p.bytes.learn(r.Info(), &batch.Rows[len(batch.Rows)-1])
		n, err := p.takeAll(batch.Rows, path, send)
		rows += n
		if n > 0 {
			p.count(path, &batch.Rows[n-1])
		}
		ended = n == int64(len(batch.Rows)) && r.Info().SHA256 != ""
		batch.Release()
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// leaveUnread notes that an input was not read to its end.
func (p *Pipeline) leaveUnread() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unread = true
}

// unlessLeft gives an error of reading; none where the reading was broken off by
// ctx, as the run takes no further rows.
func (p *Pipeline) unlessLeft(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		p.Stop() // if it is ctx that came first
		return nil
	}
	return err
}

// takeAll moves rows on until the run is stopped, and gives their number.
func (p *Pipeline) takeAll(rows []reader.Row, path string, send func(*batcher.Chunk) error) (taken int64, err error) {
	for i := range rows {
		if p.stopped() {
			return int64(i), nil
		}
		if err := p.take(&rows[i], path, send); err != nil {
			return int64(i) + 1, err
		}
	}
	return int64(len(rows)), nil
}

// count adds the rows that were taken, up to last, to the totals. It comes before
// anything that looks at these, or that can give one of the rows its outcome.
func (p *Pipeline) count(path string, last *reader.Row) {
	if p.taken == 0 && p.valid == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tally.read(path, p.taken)
	p.tally.pass(path, p.valid)
	if last != nil {
		p.progress.openBytes = max(p.progress.openBytes, p.bytes.until(last)) // the scale may have changed
	}
	p.taken, p.valid = 0, 0
}

// take moves one row on: into a chunk, or to the rejections.
func (p *Pipeline) take(row *reader.Row, path string, send func(*batcher.Chunk) error) error {
	p.taken++
	if row.Err != nil {
		p.count(path, row)
		return p.reject(row.Err)
	}
	if rejected := p.trainsNobody(&row.Task); rejected != nil {
		p.count(path, row)
		return p.reject(rejected)
	}
	if !p.guard.empty() {
		if id, found := p.guard.claim(p.batcher.Key(&row.Task)); found {
			p.count(path, row)
			return p.putAside(Result{Position: row.Task.Position, Status: Duplicate, TaskID: id})
		}
	}
	if p.cfg.Check {
		return p.pass(row, path)
	}
	full, rejected := p.batcher.Add(row.Task)
	if full != nil {
		p.count(path, row)
		if err := send(full); err != nil {
			return err
		}
	}
	if rejected != nil {
		p.count(path, row)
		return p.reject(rejected)
	}
	return p.printTask(&row.Task)
}

// pass gives a task of a check its outcome. It makes chunks only where they are
// asked for.
func (p *Pipeline) pass(row *reader.Row, path string) error {
	t := &row.Task
	var rejected *reader.RowError
	if p.cfg.Chunks == nil {
		rejected = p.batcher.Judge(t)
	} else {
		var full *batcher.Chunk
		full, rejected = p.batcher.Add(*t)
		p.show(full)
	}
	if rejected != nil {
		p.count(path, row)
		return p.reject(rejected)
	}
	p.valid++
	r := p.waiting() // without a copy, as there are millions
	r.Position, r.Status = t.Position, Valid
	if err := p.flushMany(); err != nil {
		return err
	}
	return p.printTask(t)
}

// printTask writes a task as it would be sent.
func (p *Pipeline) printTask(t *reader.Task) error {
	if p.print == nil {
		return nil
	}
	line := p.print.AvailableBuffer()
	line = append(line, '{')
	if p.cfg.PoolID != "" {
		line = append(line, `"pool_id":`...)
		line = appendJSONString(line, p.cfg.PoolID)
		line = append(line, ',')
	}
	line = append(line, t.JSON...)
	line = append(line, '}', '\n')
	if _, err := p.print.Write(line); err != nil {
		return fmt.Errorf("the tasks can't be printed: %w", err)
	}
	return nil
}

// closeInput keeps what is known of an input at its end.
func (p *Pipeline) closeInput(ctx context.Context, r *reader.Reader) error {
	info := r.Info()
	err := r.Close()
	p.mu.Lock()
	if info.SHA256 != "" { // it was read to its end
		p.progress.openBytes = info.Bytes
	}
	p.progress.doneBytes += p.progress.openBytes
	p.progress.openBytes = 0
	p.mu.Unlock()
	for _, w := range r.Warnings() {
		p.warn(info.File, w)
	}
	if p.run != nil {
		err = errors.Join(err, p.cfg.Ledger.Opened(p.run.ID, p.numbers[info.File], info), p.watchChange(ctx, info.File))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files = append(p.files, File{
		Path:        info.File,
		SHA256:      info.SHA256,
		Bytes:       info.Bytes,
		Compression: info.Compression,
		Encoding:    info.Encoding,
		Delimiter:   string(rune(info.Delimiter)),
	})
	return err
}

func (p *Pipeline) warn(file string, w reader.Warning) {
	p.cfg.Log.Warn(w.Message, zap.String("file", file), zap.String("code", w.Code),
		zap.Int64("count", w.Count), zap.Int64s("lines", w.Lines))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.warnings = append(p.warnings, Warning{
		File: file, Code: w.Code, Message: w.Message, Count: w.Count, Lines: w.Lines, Column: w.Column,
	})
}

func (p *Pipeline) noRows() error {
	files := "the input has"
	if len(p.inputs) > 1 {
		files = "the inputs have"
	}
	return &SetupError{fmt.Errorf("%s no rows after the header: %w", files, ErrNoRows)}
}

// send uploads a chunk in a goroutine of the group, as soon as there is a place.
// With StopAtInvalid it waits for the outcome, so that no later row is even
// looked at before.
func (p *Pipeline) send(ctx, taking context.Context, c *batcher.Chunk, group *errgroup.Group) error {
	p.enforceMaxRejected(false)
	if p.resumed {
		done, err := p.replay(ctx, c)
		if done || err != nil {
			return err
		}
	}
	switch {
	case p.stopped():
		return p.discard(ctx, c)
	case p.cfg.OnInvalid == StopAtInvalid:
		_, err := p.upload(ctx, c)
		return err
	}
	place, err := p.places.Acquire(taking, int64(c.Memory()))
	if err != nil {
		return p.discard(ctx, c) // the run was stopped
	}
	group.Go(func() error {
		waited, err := p.upload(ctx, c)
		if err != nil || p.stopped() {
			place.Cancel() // it tells nothing of how long uploads take
		} else {
			place.Done(waited)
		}
		return err
	})
	return nil
}

// upload sends one chunk and records what became of its rows. It tells how much
// of the time it waited for the quota.
func (p *Pipeline) upload(ctx context.Context, c *batcher.Chunk) (waited time.Duration, err error) {
	prior, claimed, err := p.prior(ctx, c)
	if err != nil {
		return 0, p.fail(err)
	}
	p.progress.inFlight.Add(int64(c.Len()))
	outcome, err := p.uploader.Upload(ctx, c, prior)
	p.progress.inFlight.Add(-int64(c.Len()))
	p.mu.Lock()
	p.chunks++
	if outcome.Known {
		p.earlier += int64(outcome.Count(verdict.Created))
	}
	p.mu.Unlock()

	rows := p.resultsOf(outcome)
	var recordErr error
	if p.run == nil {
		recordErr = p.record(rows)
	} else {
		t := newTally()
		recordErr = p.keep(outcome, t.counting(rows), claimed)
		p.merge(t)
	}
	p.cfg.Log.Debug("a chunk is done", zap.Int("chunk", c.Number), zap.Int("rows", c.Len()), zap.Int("attempts", outcome.Attempts))
	var quotaUsed *ratelimit.DayQuotaError
	switch {
	case isCanceled(err):
		// Left at once, or stopped while the chunk waited for the quota: the run
		// has its cause already.
		err = nil
	case errors.As(err, &quotaUsed):
		p.mu.Lock()
		p.until = quotaUsed.Until
		p.mu.Unlock()
		p.stop(Parked, quotaUsed)
		err = nil
	case err != nil:
		err = p.fail(err)
	case p.cfg.OnInvalid == StopAtInvalid:
		for r := range rows {
			if r.Status == Rejected {
				p.stopAt(r)
				break
			}
		}
	}
	if recordErr != nil {
		return 0, errors.Join(err, p.fail(recordErr))
	}
	if p.run != nil {
		p.uploader.Kept(outcome)
	}
	if err == nil {
		p.batcher.Recycle(c)
	}
	return outcome.QuotaWait, err
}

func isCanceled(err error) bool {
	var api *toloka.Error
	return errors.As(err, &api) && api.Kind == toloka.KindCanceled
}

// stopAt ends the run at its first invalid row.
func (p *Pipeline) stopAt(r *Result) {
	p.stop(Stopped, fmt.Errorf("stopped at the first invalid row, %s:%d (%s): mend it and run the same command again, or use --on-invalid skip",
		r.Position.File, r.Position.Line, r.Findings[0].Code))
}

// enforceMaxRejected stops the run when too many rows are rejected.
func (p *Pipeline) enforceMaxRejected(atEnd bool) {
	p.mu.Lock()
	totals := p.tally.totals
	p.mu.Unlock()
	if p.cfg.MaxRejected.exceeded(totals.Rejected, totals.Rows, atEnd) {
		p.stop(Stopped, fmt.Errorf("stopped: more rows were rejected than --max-rejected %s allows: %d of %d; mend them in the input, as rejected.tsv says, or allow more, and run the command again",
			p.cfg.MaxRejected, totals.Rejected, totals.Rows))
	}
}
