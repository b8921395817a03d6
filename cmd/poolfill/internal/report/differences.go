package report

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"poolfill/pipeline"
)

// VerifyFile is the name of the file with what a verification has found.
const VerifyFile = "verify.tsv"

const differencesHeader = "difference\tfile\tline\trecord\ttask_id\n"

// WriteDifferences writes the file with what a verification finds into a folder, which it
// makes, and returns its path. find gets what takes each difference; where it fails, no
// file is left. name is the verification's, as for Create.
func WriteDifferences(dir, name string, find func(tell func(pipeline.Difference) error) error) (path string, err error) {
	w, err := Create(dir, name, 0)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, VerifyFile)
	f, err := w.create(path)
	if err != nil {
		return "", errors.Join(w.fail(err), w.Discard())
	}
	defer func() {
		f.abandon()
		if err != nil {
			err = errors.Join(err, w.Discard())
		}
	}()
	if _, err := f.WriteString(differencesHeader); err != nil {
		return "", w.fail(err)
	}
	var line []byte
	err = find(func(d pipeline.Difference) error {
		line = appendDifference(line[:0], d)
		if _, err := f.Write(line); err != nil {
			return w.fail(err)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if err := f.commit(); err != nil {
		return "", w.fail(err)
	}
	return path, nil
}

// appendDifference appends the line of a difference. One of no row has no place.
func appendDifference(dst []byte, d pipeline.Difference) []byte {
	dst = append(append(dst, d.Kind...), '\t')
	dst = append(appendResultCell(dst, d.File), '\t')
	if d.Line > 0 {
		dst = strconv.AppendInt(dst, d.Line, 10)
	}
	dst = append(dst, '\t')
	if d.Record > 0 {
		dst = strconv.AppendInt(dst, d.Record, 10)
	}
	dst = append(dst, '\t')
	return append(appendResultCell(dst, d.TaskID), '\n')
}

// verifiedOf is what the page says of a verification.
func verifiedOf(v *pipeline.Verification) *verified {
	if v == nil {
		return nil
	}
	all := &verified{Counts: facts("Pool", v.PoolID, "Tasks", strconv.FormatInt(v.Tasks, 10), "Rows", strconv.FormatInt(v.Rows, 10))}
	for _, c := range []struct {
		kind pipeline.DifferenceKind
		n    int64
	}{{pipeline.Missing, v.Missing}, {pipeline.Doubled, v.Doubled}, {pipeline.Changed, v.Changed}, {pipeline.Foreign, v.Foreign}} {
		all.Counts = append(all.Counts, fact{string(c.kind), strconv.FormatInt(c.n, 10)})
	}
	for _, d := range v.Differences[:min(len(v.Differences), maxWarnings)] {
		row := ""
		if d.File != "" {
			row = fmt.Sprintf("%s:%d", d.File, d.Line)
		}
		all.Differences = append(all.Differences, difference{string(d.Kind), row, d.TaskID})
	}
	if more := v.Accounts.Differences() - int64(len(all.Differences)); more > 0 {
		all.Cut = strconv.FormatInt(more, 10)
	}
	return all
}

// verified is a verification in the words of the template.
type verified struct {
	Counts      []fact
	Differences []difference
	Cut         string
}

type difference struct{ Kind, Row, Task string }
