package report

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"

	"poolfill/internal/visible"
	"poolfill/pipeline"
)

// Encode writes a report as report.json has it: indented, with each list of
// numbers on one line, and harmless where it is printed.
func Encode(w io.Writer, r pipeline.Report) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return err
	}
	_, err := w.Write(visible.JSON(onOneLine(b.Bytes())))
	return err
}

// onOneLine puts the lists of numbers of an indented document on one line each.
// A string of the document can't look like one: it holds no line end.
func onOneLine(document []byte) []byte {
	list := regexp.MustCompile(`\[\n[-+.0-9eE,\s]+\]`)
	space := regexp.MustCompile(`\s+`)
	return list.ReplaceAllFunc(document, func(numbers []byte) []byte { return space.ReplaceAll(numbers, nil) })
}
