// Package report writes the files of a run.
//
// What goes in: the inputs and the results of a run, as a pipeline.Recorder,
// and at the end its pipeline.Report. What comes out, in one folder:
//
//	report.json    the report
//	results.tsv    one line for each row, in the order of the input
//	rejected.tsv   the rejected rows as they stood, with what is wrong with them
//
// Accumulating and rendering are apart: results come in any order and go to a
// journal on disk; Finish merges them into the order of the input. Each file is
// written under a temporary name and renamed, so that a file that is there is
// whole.
//
// Memory: a fixed buffer, and 32 bytes for each call of Record.
package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"poolfill/pipeline"
	"poolfill/reader"
)

// The names of the files that a run writes.
const (
	ReportFile   = "report.json"
	ResultsFile  = "results.tsv"
	RejectedFile = "rejected.tsv"
)

// Writer collects the results of a run and writes its files. It implements
// pipeline.Recorder.
type Writer struct {
	dir  string
	made []string // the folders that Create made, the innermost first

	mu      sync.Mutex
	journal *journal
	inputs  map[string]*input
	shapes  []*shape
	several bool // more than one input: a line number alone says too little
}

// input is one of the run's inputs.
type input struct {
	index int
	shape *shape
}

// Create makes the folder dir and begins to collect. inputs is the number of
// inputs of the run. Either Finish or Discard ends the Writer.
func Create(dir string, inputs int) (*Writer, error) {
	var made []string
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, os.ErrNotExist) {
			break
		}
		made = append(made, d)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the folder for the report can't be made: %w", err)
	}
	j, err := newJournal(dir)
	if err != nil {
		return nil, fmt.Errorf("the folder for the report can't be written to: %w", err)
	}
	return &Writer{
		dir: dir, made: made, journal: j,
		inputs: make(map[string]*input), several: inputs > 1,
	}, nil
}

// Input announces an input. It is part of pipeline.Recorder.
func (w *Writer) Input(info reader.Info) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inputs[info.File] = &input{index: len(w.inputs), shape: w.shapeOf(info)}
	return nil
}

// shapeOf gives the shape of an input; inputs with the same header and dialect
// share one, and so one file of rejected rows.
func (w *Writer) shapeOf(info reader.Info) *shape {
	s := newShape(info, len(w.shapes))
	for _, known := range w.shapes {
		if known.sameAs(s) {
			return known
		}
	}
	w.shapes = append(w.shapes, s)
	return s
}

// Record takes results. It is part of pipeline.Recorder and safe for
// concurrent use.
func (w *Writer) Record(results []pipeline.Result) error {
	if len(results) == 0 {
		return nil
	}
	// Rendering is the work; only the journal itself needs the lock.
	lines, err := renderResults(results)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.journal.begin()
	for i := range results {
		r := &results[i]
		in, ok := w.inputs[r.Position.File]
		if !ok {
			return fmt.Errorf("a result for %s, which was not announced", r.Position.File)
		}
		e := entry{file: in.index, record: r.Position.Record, line: lines[i]}
		if r.Status == pipeline.Rejected {
			e.shape = in.shape.index + 1
			e.rejected = in.shape.render(r, w.several)
		}
		w.journal.add(e)
	}
	if err := w.journal.end(); err != nil {
		return fmt.Errorf("the results can't be kept: %w", err)
	}
	return nil
}

// Finish writes all files and returns the report with their paths in Outputs.
func (w *Writer) Finish(r pipeline.Report) (pipeline.Report, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	outputs, err := w.writeRows()
	err = errors.Join(err, w.journal.remove())
	if err != nil {
		return r, fmt.Errorf("the report's files can't be written to %s: %w", w.dir, err)
	}
	path := filepath.Join(w.dir, ReportFile)
	outputs["report"] = path
	r.Outputs = outputs
	err = writeFile(path, func(out io.Writer) error {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(r)
	})
	if err != nil {
		return r, fmt.Errorf("the report can't be written: %w", err)
	}
	return r, nil
}

// Discard removes everything that the Writer made.
func (w *Writer) Discard() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.journal.remove()
	for _, dir := range w.made {
		err = errors.Join(err, os.Remove(dir))
	}
	return err
}

// writeRows merges the journal into results.tsv and the files of rejected rows.
func (w *Writer) writeRows() (map[string]string, error) {
	outputs := map[string]string{"results": filepath.Join(w.dir, ResultsFile)}
	results, err := create(outputs["results"])
	if err != nil {
		return nil, err
	}
	defer results.abandon()
	rejected := make(map[int]*file) // by shape
	defer func() {
		for _, f := range rejected {
			f.abandon()
		}
	}()
	if _, err := results.WriteString(resultsHeader); err != nil {
		return nil, err
	}
	err = w.journal.merge(func(e entry) error {
		if _, err := results.Write(e.line); err != nil {
			return err
		}
		if e.shape == 0 {
			return nil
		}
		f, ok := rejected[e.shape]
		if !ok {
			kind, path := "rejected", filepath.Join(w.dir, RejectedFile)
			if len(rejected) > 0 {
				kind = fmt.Sprintf("rejected_%d", len(rejected)+1)
				path = strings.TrimSuffix(path, ".tsv") + fmt.Sprintf("-%d.tsv", len(rejected)+1)
			}
			var err error
			if f, err = create(path); err != nil {
				return err
			}
			rejected[e.shape] = f
			outputs[kind] = path
			if _, err := f.Write(w.shapes[e.shape-1].header()); err != nil {
				return err
			}
		}
		_, err := f.Write(e.rejected)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, f := range rejected {
		if err := f.commit(); err != nil {
			return nil, err
		}
	}
	return outputs, results.commit()
}

// file is a file that gets its name when it is whole.
type file struct {
	*bufio.Writer
	f    *os.File // nil once it has its name or is gone
	path string
}

func create(path string) (*file, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	return &file{bufio.NewWriterSize(f, 128<<10), f, path}, nil
}

// commit gives the file its name, after its content has reached the disk.
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

func writeFile(path string, write func(io.Writer) error) error {
	f, err := create(path)
	if err != nil {
		return err
	}
	defer f.abandon()
	if err := write(f); err != nil {
		return err
	}
	return f.commit()
}
