package reader

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"poolfill/reader/table"
)

// mostParallel bounds the goroutines that parse unless the user names a number:
// beyond it, finding the records and hashing the file are what takes the time.
const mostParallel = 8

// Reader turns the records of one input into rows.
//
// It is not safe for concurrent use, but for Bytes and the release of batches.
// Where Config.Parallel allows for it, goroutines of its own read and parse
// ahead from the first row on, until the end of the input or Close.
//
// Memory: as the package says.
type Reader struct {
	origin   origin
	format   string
	table    table.Table
	finder   *finder
	cfg      Config
	mapping  *mapping
	parallel int
	pool     blockPool

	parser *parser // where there are no goroutines
	ahead  *ahead  // what they do; nil until they are started

	// What was given so far.
	batch    *Batch     // of Next
	next     int        // in batch
	line     int64      // of the last row, or of the header
	odd      warningLog // of records
	warnings warningLog
	bytes    atomic.Int64
	sum      string
	prefix   string
	end      Mark
	err      error
	closed   bool
}

// Batch is rows of an input that stand one after the other.
type Batch struct {
	// Rows has at least one row. All that they hold is valid until Release,
	// but for Row.Err, which is the caller's to keep.
	Rows []Row

	block *block
	pool  blockPool
}

// Release returns the memory of the rows back for those that come later. A batch
// that is never released is left to the garbage collector. It is safe to call
// it from another goroutine than the reader's, and twice from the same one.
func (b *Batch) Release() {
	if b.block != nil {
		b.pool.put(b.block)
		b.Rows, b.block = nil, nil
	}
}

// Open opens a file, a URL (http:// or https://), or standard input where path is
// "-", and reads its header.
//
// A URL is read as it arrives. Where the connection breaks, or stays
// silent for a minute, reading goes on with another one, from the byte that comes
// next; the file having changed meanwhile is an error. A URL with a user and a
// password is refused, and what stands behind the ? of one is part of no message,
// see Name. The connections have the settings of http.DefaultTransport.
//
// ctx is that of all the reading of a URL, and not of Open alone. Files and standard
// input don't look at it.
//
// A header that doesn't fit, or an input that can't be read as text, is an
// *InputError with all findings. A failure of the file itself is a *ReadError
// or the error of opening it. An invalid cfg is the error of Config.Validate.
// The caller closes the Reader.
func Open(ctx context.Context, path string, stdin io.Reader, cfg Config) (*Reader, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	in, err := openInput(ctx, path, stdin, cfg.Encoding)
	if err != nil {
		return nil, err
	}
	return start(in, cfg)
}

// New is Open for any io.Reader; name stands for it in messages. Closing the
// Reader doesn't close r.
func New(name string, r io.Reader, cfg Config) (*Reader, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	in, err := newInput(name, r, cfg.Encoding)
	if err != nil {
		return nil, err
	}
	return start(in, cfg)
}

// start opens the table of an input. It closes the input where that fails.
func start(in *input, cfg Config) (*Reader, error) {
	for _, f := range cfg.formats() {
		if !f.Sniff(in.start, in.name) {
			continue
		}
		t, err := f.Open(in, cfg.options())
		if err != nil {
			return nil, closing(in, err)
		}
		r, err := newReader(in, f.Name(), t, cfg)
		if err != nil {
			return nil, closing(in, err)
		}
		return r, nil
	}
	return nil, closing(in, table.Refuse(in.name, table.CodeNotText, 0, "the file has none of the formats that can be read"))
}

// closing closes what can't be used because of an error, which it returns.
func closing(c io.Closer, err error) error {
	if failed := c.Close(); failed != nil {
		return errors.Join(err, failed)
	}
	return err
}

func newReader(from origin, format string, t table.Table, cfg Config) (*Reader, error) {
	r := &Reader{origin: from, format: format, table: t, cfg: cfg, parallel: cfg.Parallel}
	if r.parallel == 0 {
		r.parallel = min(runtime.GOMAXPROCS(0), mostParallel)
	}
	if from.whole() {
		r.parallel = 1
	}
	if err := r.mapHeader(from.describe().File); err != nil {
		return nil, closing(t, err)
	}
	if cfg.From != nil {
		if err := t.Seek(*cfg.From); err != nil {
			return nil, closing(t, err)
		}
	}
	r.finder = &finder{from: from, skip: cfg.SkipRows, limit: cfg.LimitRows, most: blockRows, mark: cfg.From}
	r.pool = newBlockPool(r.parallel, t)
	bytes, sum := from.progress()
	r.bytes.Store(bytes)
	r.sum = sum
	return r, nil
}

// mapHeader finds out what the columns fill.
func (r *Reader) mapHeader(file string) error {
	header := r.table.Header()
	names := headerNames(header.Cells)
	if len(header.Findings) > 0 {
		return &InputError{File: file, Findings: nameFields(slices.Clone(header.Findings), names)}
	}
	r.line = header.Position.Line
	m, findings := mapHeader(names, header.Position.Line, &r.cfg, &r.warnings)
	if len(findings) > 0 {
		return &InputError{File: file, Findings: findings}
	}
	r.mapping = m
	return nil
}

// Next returns the next row. A row that can't become a task is no error: it is a
// Row with Err. The task's JSON and Raw are valid until the next call.
//
// The error is io.EOF after the last row, a *ReadError where the input breaks
// off, and an *InputError with CodeNoRows at the end of an input that has a
// header only. After an error every call returns the same one.
func (r *Reader) Next() (Row, error) {
	if r.batch == nil || r.next == len(r.batch.Rows) {
		if r.batch != nil {
			r.batch.Release()
			r.batch = nil
		}
		batch, err := r.NextBatch()
		if err != nil {
			return Row{}, err
		}
		r.batch, r.next = batch, 0
	}
	row := r.batch.Rows[r.next]
	r.next++
	return row, nil
}

// NextBatch returns the rows that come next, in the order of the input: up to a
// few thousand, whatever was read of them at once. Their release lets the
// memory be used again. After calls of Next it returns the rows that Next has not
// given. The errors are those of Next; the rows before an error come first.
func (r *Reader) NextBatch() (*Batch, error) {
	if batch := r.batch; batch != nil {
		r.batch = nil
		if batch.Rows = batch.Rows[r.next:]; len(batch.Rows) > 0 {
			return batch, nil
		}
		batch.Release()
	}
	if r.err != nil {
		return nil, r.err
	}
	b := r.nextBlock()
	r.odd.mergeAll(b.odd.list)
	r.odd.mergeAll(b.records.Warnings())
	r.warnings.mergeAll(b.warnings.list)
	r.bytes.Store(b.bytes)
	r.sum, r.prefix, r.err = b.sum, b.prefix, b.err
	if b.end.Record > 0 {
		r.end = b.end
	}
	if len(b.rows) == 0 {
		r.pool.put(b)
		return nil, r.err
	}
	if last := &b.rows[len(b.rows)-1]; last.Err != nil {
		r.line = last.Err.Position.Line
	} else {
		r.line = last.Task.Position.Line
	}
	return &Batch{Rows: b.rows, block: b, pool: r.pool}, nil
}

// nextBlock returns the next block with its rows.
func (r *Reader) nextBlock() *block {
	if r.parallel > 1 {
		if r.ahead == nil {
			r.ahead = startAhead(r.parallel, r.finder, r.pool, r.newParser)
		}
		return r.ahead.next()
	}
	if r.parser == nil {
		r.parser = r.newParser()
	}
	b := r.pool.get()
	r.finder.find(b)
	r.parser.parse(b)
	return b
}

func (r *Reader) newParser() *parser {
	return &parser{mapping: r.mapping, builder: newRowBuilder(r.mapping, &r.cfg, nil)}
}

// Bytes counts the stored bytes that were read for the rows given so far,
// before decompression. It is safe for concurrent use.
func (r *Reader) Bytes() int64 { return r.bytes.Load() }

// Info describes the input as far as its rows were given.
func (r *Reader) Info() Info {
	info, layout := r.origin.describe(), r.table.Layout()
	info.Format, info.Delimiter, info.Quotes = r.format, layout.Delimiter, layout.Quotes
	info.Header, info.HeaderRaw = slices.Clone(r.mapping.names), string(r.table.Header().Raw)
	info.Targets = slices.Clone(r.mapping.targets)
	info.Bytes, info.SHA256 = r.Bytes(), r.sum
	info.Prefix, info.End = r.prefix, r.end
	return info
}

// Warnings lists what was odd and stopped no row, in the rows given so far and
// in the others of their batch.
func (r *Reader) Warnings() []Warning {
	odd := r.odd.clone()
	slices.SortFunc(odd, func(a, b Warning) int { return strings.Compare(a.Code, b.Code) })
	return append(r.warnings.clone(), odd...)
}

// Close closes the file or connection and ends the reader's goroutines. It is safe to call it
// twice. Rows that were given stay valid; later calls of NextBatch fail.
//
// A call of Read on standard input, or on the reader that was given to New,
// can't be broken off: where one is under way in a goroutine, Close doesn't
// wait for it. The goroutine ends when the call returns, and reads no more.
func (r *Reader) Close() error {
	busy, err := r.origin.stop()
	if !r.closed {
		err = errors.Join(err, r.table.Close())
		if r.err == nil {
			r.err = &ReadError{File: r.origin.describe().File, Line: r.line, Err: fs.ErrClosed}
		}
	}
	r.closed = true
	if r.ahead == nil {
		r.origin.release()
		return err
	}
	r.ahead.stop()
	if !busy {
		r.ahead.wait()
	}
	return err
}
