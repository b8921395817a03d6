// Package report writes the files of a run.
//
// What goes in: the inputs and the results of a run, as a pipeline.Recorder,
// and at the end its pipeline.Report. What comes out, in one folder:
//
//	report.json    the report
//	report.html    the same as a page for people
//	results.tsv    one line for each row, in the order of the input
//	rejected.tsv   the rejected rows as they stood, with what is wrong with them
//
// Each file is written under a temporary name and renamed, so that a file that
// is there is whole.
//
// Memory: a fixed buffer for each file; a page is bounded, whatever the report.
package report

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// The names of the files that a run writes.
const (
	ReportFile   = "report.json"
	PageFile     = "report.html"
	ResultsFile  = "results.tsv"
	RejectedFile = "rejected.tsv"
)

// Writer writes the files of a run. It implements pipeline.Recorder for runs
// whose rows come in the order of the inputs. It is not safe for concurrent use.
type Writer struct {
	dir     string
	run     string
	made    []string // the folders that Create made, the innermost first
	several bool     // more than one input: a line number alone says too little

	inputs   map[string]*input
	shapes   []*shape
	results  *file
	rejected map[*shape]*file
	outputs  map[string]string
	failed   error // of the first line that couldn't be written

	// The row that came last.
	last   *input
	record int64
	// The numbers of its line and record, as they stand in results.tsv.
	line, number counter
}

// input is one of the run's inputs.
type input struct {
	cell  []byte // its name as a cell of results.tsv
	shape *shape
	begun bool // a row of it was written; its rows come together
}

// Create makes the folder dir. run is the name of the run, and inputs the number
// of its inputs. Either Finish or Discard ends the Writer.
func Create(dir, run string, inputs int) (*Writer, error) {
	var made []string
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, os.ErrNotExist) {
			break
		}
		made = append(made, d)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the folder for the report can't be made, name another with --out: %w", err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err == nil {
		err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	if err != nil {
		return nil, fmt.Errorf("the folder for the report can't be written to, name another with --out: %w", err)
	}
	return &Writer{
		dir: dir, run: run, made: made, several: inputs > 1,
		inputs: make(map[string]*input), rejected: make(map[*shape]*file), outputs: make(map[string]string),
	}, nil
}

// Input announces an input. It is part of pipeline.Recorder.
func (w *Writer) Input(info reader.Info) error {
	w.inputs[info.File] = &input{cell: appendResultCell(nil, info.File), shape: w.shapeOf(info)}
	return nil
}

// shapeOf returns the shape of an input; inputs with the same header and dialect
// share one, and so one file of rejected rows.
func (w *Writer) shapeOf(info reader.Info) *shape {
	s := newShape(info)
	for _, known := range w.shapes {
		if known.sameAs(s) {
			return known
		}
	}
	w.shapes = append(w.shapes, s)
	return s
}

// Record writes results. It is part of pipeline.Recorder.
func (w *Writer) Record(results []verdict.Verdict) error {
	for i := range results {
		if err := w.write(&results[i]); err != nil {
			return w.fail(err)
		}
	}
	return nil
}

// fail returns the error that the Writer's methods return from now on.
func (w *Writer) fail(err error) error {
	if w.failed == nil {
		w.failed = fmt.Errorf("the report's files can't be written to %s; make space there, or name another folder with --out (%w)", w.dir, err)
	}
	return w.failed
}

// write writes the line of a row, and the row itself where it is rejected.
func (w *Writer) write(r *verdict.Verdict) error {
	in := w.last
	if in == nil || len(w.inputs) > 1 {
		var ok bool
		if in, ok = w.inputs[r.Position.File]; !ok {
			return fmt.Errorf("a result for %s, which was not announced", r.Position.File)
		}
	}
	if in == w.last && r.Position.Record <= w.record || in != w.last && in.begun {
		return fmt.Errorf("a result for row %d of %s is out of order", r.Position.Record, r.Position.File)
	}
	w.last, w.record, in.begun = in, r.Position.Record, true
	if err := w.openResults(); err != nil {
		return err
	}
	w.line.set(r.Position.Line)
	w.number.set(r.Position.Record)
	line := appendResult(w.results.AvailableBuffer(), in.cell, w.line.text, w.number.text, r)
	if _, err := w.results.Write(line); err != nil || r.Status != verdict.Rejected {
		return err
	}
	f, err := w.openRejected(in.shape)
	if err != nil {
		return err
	}
	_, err = f.Write(in.shape.render(r, w.several))
	return err
}

func (w *Writer) openResults() (err error) {
	if w.results != nil {
		return nil
	}
	path := filepath.Join(w.dir, ResultsFile)
	if w.results, err = w.create(path); err != nil {
		return err
	}
	w.outputs["results"] = path
	_, err = w.results.WriteString(resultsHeader)
	return err
}

// openRejected returns the file of the rejected rows of a shape.
func (w *Writer) openRejected(s *shape) (*file, error) {
	if f, ok := w.rejected[s]; ok {
		return f, nil
	}
	kind, path := "rejected", filepath.Join(w.dir, RejectedFile)
	if n := len(w.rejected); n > 0 {
		kind = fmt.Sprintf("rejected_%d", n+1)
		path = strings.TrimSuffix(path, ".tsv") + fmt.Sprintf("-%d.tsv", n+1)
	}
	f, err := w.create(path)
	if err != nil {
		return nil, err
	}
	w.rejected[s], w.outputs[kind] = f, path
	_, err = f.Write(s.header())
	return f, err
}

// Finish renames all files, writes the report, and returns it with
// their paths in Outputs.
func (w *Writer) Finish(r pipeline.Report) (pipeline.Report, error) {
	defer w.abandon()
	AddHints(&r)
	if w.failed != nil {
		return r, w.failed
	}
	err := w.openResults()
	for _, f := range w.rejected {
		err = errors.Join(err, f.commit())
	}
	if err == nil {
		err = w.results.commit()
	}
	if err != nil {
		return r, w.fail(err)
	}
	page, path := filepath.Join(w.dir, PageFile), filepath.Join(w.dir, ReportFile)
	w.outputs["html"], w.outputs["report"] = page, path
	whole := r
	whole.Outputs = w.outputs
	err = errors.Join(w.writeWhole(page, whole, Page), w.writeWhole(path, whole, Encode))
	if err != nil {
		return r, fmt.Errorf("the report can't be written: %w", err)
	}
	return whole, nil
}

// writeWhole writes a report in the way of form.
func (w *Writer) writeWhole(path string, r pipeline.Report, form func(io.Writer, pipeline.Report) error) error {
	f, err := w.create(path)
	if err != nil {
		return err
	}
	defer f.abandon()
	if err := form(f, r); err != nil {
		return err
	}
	return f.commit()
}

// abandon removes the files that have no name yet.
func (w *Writer) abandon() {
	if w.results != nil {
		w.results.abandon()
	}
	for _, f := range w.rejected {
		f.abandon()
	}
}

// Discard removes what the Writer made, except for folders that others have put
// something into.
func (w *Writer) Discard() error {
	w.abandon()
	for _, dir := range w.made {
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 0 {
			return err
		}
		if err := os.Remove(dir); err != nil {
			return err
		}
	}
	return nil
}

// file is a file that gets its name when it is whole.
type file struct {
	*bufio.Writer
	f    *os.File // nil once it has its name or is gone
	path string
}

// writeSize is how much of a file is written at once, in bytes.
const writeSize = 128 << 10

// create makes a file under a name that only this run uses, and uses again when
// it is gone on with after it was killed.
func (w *Writer) create(path string) (*file, error) {
	f, err := os.OpenFile(filepath.Join(w.dir, "."+filepath.Base(path)+"-"+w.run), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &file{bufio.NewWriterSize(f, writeSize), f, path}, nil
}

// commit renames the file, after its content has reached the disk.
func (f *file) commit() error {
	err := f.Flush()
	if err == nil {
		err = f.f.Chmod(0o644)
	}
	if err == nil {
		err = f.f.Sync()
	}
	if err != nil {
		return err
	}
	if err := f.f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.f.Name(), f.path); err != nil {
		return err
	}
	f.f = nil
	return nil
}

// abandon removes a file that did not get its name. The error that led here
// is the one to report.
func (f *file) abandon() {
	if f.f == nil {
		return
	}
	_ = f.f.Close()
	_ = os.Remove(f.f.Name())
	f.f = nil
}
