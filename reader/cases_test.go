package reader

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"poolfill/reader/delimited"
	"poolfill/reader/verdict"
)

// casesFolder has vectors that the project did not write; a copy of the
// project may be without them.
const casesFolder = "../../shared/cases"

func needCases(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(casesFolder); errors.Is(err, os.ErrNotExist) {
		t.Skip("the folder with the cases is absent")
	}
}

func TestBadFilesAreNamedAtTheirLineAndColumn(t *testing.T) {
	needCases(t)
	text, err := os.ReadFile(filepath.Join(casesFolder, "bad/EXPECT.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	expected, err := delimited.NewRecordReader("EXPECT.tsv", bytes.NewReader(text), delimited.Dialect{Quotes: QuotesNone}).CSV().ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, cells := range expected[1:] {
		file, verdict, findings := cells[0], cells[3], cells[4]
		if verdict == "valid" {
			findings = ""
		}
		if group := cells[1]; group != "shape" && group != "line ends" || strings.Contains(findings, "HEADER_") || strings.Contains(findings, CodeNoRows) {
			continue // for the reader of headers and values
		}
		read++
		t.Run(file, func(t *testing.T) {
			got, tasks := findingsOf(t, filepath.Join(casesFolder, "bad/files", file))
			if want := strings.NewReplacer(`"",`, "", `"INPUT:a",`, "").Replace(findings); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if list := []any(nil); json.Unmarshal([]byte(cells[6]), &list) == nil && len(list) != tasks {
				t.Errorf("got %d good rows, want %d", tasks, len(list))
			}
		})
	}
	if read < 25 {
		t.Errorf("only %d cases were read", read)
	}
}

// findingsOf reads a file to its end and lists what is wrong with it as
// "line,column,CODE;…"; good counts the rows without findings.
func findingsOf(t *testing.T, path string) (findings string, good int) {
	t.Helper()
	var list []string
	add := func(found []verdict.Finding) {
		for _, f := range found {
			list = append(list, fmt.Sprintf("%d,%d,%s", f.Line, f.Column, f.Code))
		}
	}
	in, err := openInput(t.Context(), path, nil, "")
	var records *oneRecord
	if err == nil {
		closeLater(t, in)
		records, err = recordsOf(in, Config{})
	}
	var refused *InputError
	if errors.As(err, &refused) {
		add(refused.Findings)
		return strings.Join(list, ";"), 0
	}
	if err != nil {
		t.Fatal(err)
	}
	header := records.table.Header()
	m := mapping{names: headerNames(header.Cells)}
	for {
		rec, err := records.Read()
		switch {
		case errors.Is(err, io.EOF):
			return strings.Join(list, ";"), good
		case err != nil:
			t.Fatal(err)
		case len(rec.Findings) > 0:
			add(rec.Findings)
		case len(rec.Cells) != len(m.names):
			add([]verdict.Finding{m.countFinding(rec.Position.Line, rec.Cells)})
		default:
			good++
		}
	}
}
