package reader

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"sync/atomic"

	"poolfill/reader/verdict"
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
	in       *input
	finder   *finder
	cfg      Config
	dialect  Dialect
	header   Record
	mapping  *mapping
	parallel int
	pool     blockPool

	parser *parser // where there are no goroutines
	ahead  *ahead  // what they do; nil until they are started

	// What was given so far.
	batch    *Batch // of Next
	next     int    // in batch
	line     int64  // of the last row, or of the header
	odd      recordWarnings
	warnings warningLog
	bytes    atomic.Int64
	sum      string
	err      error
	closed   bool
	source   bool // the input is a Source
}

// Batch is rows of an input that stand one after the other.
type Batch struct {
	// Rows has at least one row. All that they hold is valid until Release,
	// but for Row.Err, which is the caller's to keep.
	Rows []Row

	block *block
	pool  blockPool
}

// Release gives the memory of the rows back for those that come later. A batch
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
// What a URL gives is read as it arrives. Where the connection breaks, or stays
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
	in, err := openInput(ctx, path, stdin, cfg)
	if err != nil {
		return nil, err
	}
	return start(in, in.name, cfg)
}

// New is Open for any io.Reader; name stands for it in messages. Closing the
// Reader doesn't close r.
func New(name string, r io.Reader, cfg Config) (*Reader, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	in, err := newInput(name, r, cfg)
	if err != nil {
		return nil, err
	}
	return start(in, name, cfg)
}

// start reads the header. It closes the input where that fails.
func start(in *input, name string, cfg Config) (*Reader, error) {
	r, err := newReader(in, name, cfg, blockSize{bytes: firstBuffer, rows: blockRows})
	if err == nil {
		return r, nil
	}
	if closing := in.Close(); closing != nil {
		err = errors.Join(err, closing)
	}
	return nil, err
}

func newReader(in *input, name string, cfg Config, size blockSize) (*Reader, error) {
	r := &Reader{in: in, cfg: cfg, parallel: cfg.Parallel}
	if r.parallel == 0 {
		r.parallel = min(runtime.GOMAXPROCS(0), mostParallel)
	}
	if in.whole() {
		r.parallel = 1
	}
	var err error
	if r.dialect, err = detectDialect(name, in.head(), cfg); err != nil {
		return nil, err
	}
	records := NewRecordReader(name, in, r.dialect)
	records.size = size.bytes
	if err := r.readHeader(name, records); err != nil {
		return nil, err
	}
	r.odd, records.warnings = records.warnings, recordWarnings{}
	if cfg.From != nil {
		if err := records.goTo(*cfg.From, in); err != nil {
			return nil, err
		}
	}
	r.finder = &finder{
		in: in, records: records, skip: cfg.SkipRows, limit: cfg.LimitRows, most: size.rows,
		from: cfg.From, first: records.records,
	}
	r.pool = newBlockPool(r.parallel)
	r.bytes.Store(in.stored.bytes)
	r.sum = in.stored.sum
	return r, nil
}

func (r *Reader) readHeader(name string, records *RecordReader) error {
	rec, err := records.Read()
	if errors.Is(err, io.EOF) {
		return inputError(name, CodeEmptyFile, 0, "the file is empty: it needs a header and rows after it")
	}
	if err != nil {
		return err
	}
	names := headerNames(rec.Cells)
	if len(rec.Findings) > 0 {
		return &InputError{File: name, Findings: nameFields(slices.Clone(rec.Findings), names)}
	}
	r.line = rec.Position.Line
	r.header = Record{Position: rec.Position, Raw: bytes.Clone(rec.Raw)}
	m, findings := mapHeader(names, rec.Position.Line, &r.cfg, &r.warnings)
	if len(findings) > 0 {
		return &InputError{File: name, Findings: findings}
	}
	r.mapping = m
	return nil
}

// Next gives the next row. A row that can't become a task is no error: it is a
// Row with Err. The task's JSON and Raw are valid until the next call.
//
// The error is io.EOF after the last row, a *ReadError where the input breaks
// off, and an *InputError with CodeNoRows at the end of an input that has a
// header only. After an error every call gives the same one.
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

// NextBatch gives the rows that come next, in the order of the input: up to a
// few thousand, whatever was read of them at once. Their release lets the
// memory be used again. After calls of Next it gives the rows that Next has not
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
	r.odd.merge(&b.odd)
	r.warnings.merge(&b.warnings)
	r.bytes.Store(b.bytes)
	r.sum, r.err = b.sum, b.err
	if len(b.rows) == 0 {
		r.pool.put(b)
		return nil, r.err
	}
	r.line = b.pieces[len(b.pieces)-1].line
	return &Batch{Rows: b.rows, block: b, pool: r.pool}, nil
}

// nextBlock gives the next block with its rows.
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
	return &parser{
		file:    r.in.name,
		cutter:  cutter{dialect: r.dialect.withDefaults(), replaced: r.in.lossy},
		mapping: r.mapping,
		builder: newRowBuilder(r.mapping, &r.cfg, nil),
		source:  r.source,
	}
}

// Bytes counts the stored bytes that were read for the rows given so far,
// before decompression. It is safe for concurrent use.
func (r *Reader) Bytes() int64 { return r.bytes.Load() }

// Info describes the input as far as its rows were given.
func (r *Reader) Info() Info {
	return Info{
		File:        r.in.name,
		Compression: r.in.kind,
		Encoding:    r.in.charset.name,
		Delimiter:   r.dialect.Delimiter,
		Quotes:      r.dialect.Quotes,
		Header:      slices.Clone(r.mapping.names),
		HeaderRaw:   string(r.header.Raw),
		Targets:     slices.Clone(r.mapping.targets),
		Bytes:       r.Bytes(),
		Size:        r.in.stored.size,
		SHA256:      r.sum,
	}
}

// Warnings lists what was odd and stopped no row, in the rows given so far and
// in the others of their batch.
func (r *Reader) Warnings() []Warning {
	return append(r.warnings.clone(), r.odd.list()...)
}

// Close closes the file or connection and ends the reader's goroutines. It is safe to call it
// twice. Rows that were given stay valid; later calls of NextBatch fail.
//
// A call of Read on standard input, or on the reader that was given to New,
// can't be broken off: where one is under way in a goroutine, Close doesn't
// wait for it. The goroutine ends when the call returns, and reads no more.
func (r *Reader) Close() error {
	busy := r.in.stored.stop()
	if !r.closed && r.err == nil {
		r.err = &ReadError{File: r.in.name, Line: r.line, Err: fs.ErrClosed}
	}
	r.closed = true
	if r.ahead == nil {
		return r.in.Close()
	}
	// Where a connection or a file of another kind keeps a call of Read waiting,
	// closing it ends the call.
	err := r.in.closeFile()
	r.ahead.stop()
	if !busy || r.in.lasting {
		r.ahead.wait()
	}
	return err
}

// nameFields fills the names of the columns into the findings of a record.
func nameFields(findings []verdict.Finding, names []string) []verdict.Finding {
	for i := range findings {
		f := &findings[i]
		if f.Column > 0 && f.Column <= len(names) && f.Code != CodeColumnCount {
			f.Field = names[f.Column-1]
		}
	}
	return findings
}
