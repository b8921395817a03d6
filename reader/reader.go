package reader

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

// Reader turns the records of one input into rows.
//
// It is not safe for concurrent use, Info and Warnings included.
//
// Memory: as the package says, and one task's JSON, which is at most about six
// times the record's bytes, since a character may need six bytes as JSON.
type Reader struct {
	in       *input
	records  *RecordReader
	cfg      Config
	dialect  Dialect
	header   Record
	mapping  *mapping
	builder  *rowBuilder
	warnings warningLog

	read  int64 // data rows read, skipped ones included
	given int64 // rows given
}

// Open opens a file, or standard input where path is "-", and reads its header.
//
// A header that doesn't fit, or an input that can't be read as text, is an
// *InputError with all findings. A failure of the file itself is a *ReadError
// or the error of opening it. An invalid cfg is the error of Config.Validate.
// The caller closes the Reader.
func Open(path string, stdin io.Reader, cfg Config) (*Reader, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	in, err := openInput(path, stdin, cfg)
	if err != nil {
		return nil, err
	}
	return start(in, path, cfg)
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
	r := &Reader{in: in, cfg: cfg}
	err := r.readHeader(name)
	if err == nil {
		return r, nil
	}
	if closing := in.Close(); closing != nil {
		err = errors.Join(err, closing)
	}
	return nil, err
}

func (r *Reader) readHeader(name string) error {
	var err error
	if r.dialect, err = detectDialect(name, r.in.head(), r.cfg); err != nil {
		return err
	}
	r.records = NewRecordReader(name, r.in, r.dialect)
	rec, err := r.records.Read()
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
	r.header = Record{Position: rec.Position, Raw: bytes.Clone(rec.Raw)}
	m, findings := mapHeader(names, rec.Position.Line, &r.cfg, &r.warnings)
	if len(findings) > 0 {
		return &InputError{File: name, Findings: findings}
	}
	r.mapping = m
	r.builder = newRowBuilder(m, &r.cfg, &r.warnings)
	return nil
}

// Next gives the next row. A row that can't become a task is no error: it is a
// Row with Err.
//
// The error is io.EOF after the last row, a *ReadError where the input breaks
// off, and an *InputError with CodeNoRows at the end of an input that has a
// header only. After an error every call gives the same one.
func (r *Reader) Next() (Row, error) {
	if r.cfg.LimitRows > 0 && r.given == r.cfg.LimitRows {
		return Row{}, io.EOF
	}
	for {
		rec, err := r.records.Read()
		if errors.Is(err, io.EOF) && r.read == 0 {
			return Row{}, inputError(r.header.Position.File, CodeNoRows, 0, "the file has a header and no row after it: there is nothing to upload")
		}
		if err != nil {
			return Row{}, err
		}
		if r.read++; r.read <= r.cfg.SkipRows {
			continue
		}
		r.given++
		return r.row(&rec), nil
	}
}

// row makes a row of a record.
func (r *Reader) row(rec *Record) Row {
	var findings []Finding
	var task Task
	switch {
	case len(rec.Findings) > 0:
		findings = nameFields(slices.Clone(rec.Findings), r.mapping.names)
	case len(rec.Cells) != len(r.mapping.names):
		findings = []Finding{r.mapping.countFinding(rec.Position.Line, rec.Cells)}
	default:
		task, findings = r.builder.build(rec.Position.Line, rec.Cells)
	}
	if len(findings) > 0 {
		return Row{Err: &RowError{Position: rec.Position, Findings: findings, Raw: bytes.Clone(rec.Raw)}}
	}
	task.Position, task.Raw = rec.Position, rec.Raw
	return Row{Task: task}
}

// nameFields fills the names of the columns into the findings of a record.
func nameFields(findings []Finding, names []string) []Finding {
	for i := range findings {
		f := &findings[i]
		if f.Column > 0 && f.Column <= len(names) && f.Code != CodeColumnCount {
			f.Field = names[f.Column-1]
		}
	}
	return findings
}

// Info describes the input as far as it was read.
func (r *Reader) Info() Info {
	info := Info{
		Delimiter: r.dialect.Delimiter,
		Quotes:    r.dialect.Quotes,
		Header:    slices.Clone(r.mapping.names),
		HeaderRaw: string(r.header.Raw),
		Targets:   slices.Clone(r.mapping.targets),
	}
	r.in.describe(&info)
	return info
}

// Warnings lists what was odd so far and stopped no row.
func (r *Reader) Warnings() []Warning {
	list := r.warnings.clone()
	return append(list, r.records.Warnings()...)
}

// Close closes the file. It is safe to call it twice.
func (r *Reader) Close() error { return r.in.Close() }
