package delimited

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poolfill/reader/table"
)

// casesFolder has vectors that the project did not write; a copy of the
// project may be without them.
const casesFolder = "../../../shared/cases"

func needCases(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(casesFolder); errors.Is(err, os.ErrNotExist) {
		t.Skip("the folder with the cases is absent")
	}
}

func TestSpectrumFilesGiveTheirTwins(t *testing.T) {
	needCases(t)
	folder := filepath.Join(casesFolder, "dialect/max-mapper__csv-spectrum")
	files, err := filepath.Glob(filepath.Join(folder, "csvs/*.csv"))
	if err != nil || len(files) < 12 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".csv")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			twin, err := os.ReadFile(filepath.Join(folder, "json", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var want, got []map[string]string
			switch name {
			case "location_coordinates":
				// Its twin is an object, and has another telephone number.
				twin = append(append([]byte("["), bytes.ReplaceAll(twin, []byte("1234567890"), []byte("2095257564"))...), ']')
			case "newlines_crlf":
				// The file has LF, its twin CR LF.
				twin = bytes.ReplaceAll(twin, []byte(`\r\n`), []byte(`\n`))
			}
			if err := json.Unmarshal(twin, &want); err != nil {
				t.Fatal(err)
			}
			rows := cellsOf(t, text, Dialect{Delimiter: ',', Multiline: true})
			for _, cells := range rows[1:] {
				object := map[string]string{}
				for i, cell := range cells {
					object[rows[0][i]] = cell
				}
				got = append(got, object)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// cellsOf returns the records of a text; a broken one is shown by its codes.
func cellsOf(t testing.TB, text []byte, d Dialect) [][]string {
	t.Helper()
	r := NewRecordReader("f", bytes.NewReader(text), d)
	rows := [][]string{}
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		cells := stringsOf(rec.Cells)
		if len(rec.Findings) > 0 {
			cells = []string{row(rec)}
		}
		rows = append(rows, cells)
	}
}

// vector is one case of another reader's tests.
type vector struct {
	ID       string         `json:"id"`
	Source   string         `json:"source"`
	Input    string         `json:"input"`
	InputRaw *string        `json:"input_raw"`
	Config   map[string]any `json:"config"`
	Function bool           `json:"has_function_option"`
	Expected any            `json:"expected"`
	Data     any            `json:"expected_data"`
	text     []byte
	want     [][]string
}

func readVectors(t *testing.T, name string) []vector {
	t.Helper()
	needCases(t)
	file, err := os.Open(filepath.Join(casesFolder, "dialect", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	var list []vector
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		v.text = []byte(v.Input)
		if v.InputRaw != nil {
			if v.text, err = base64.StdEncoding.DecodeString(*v.InputRaw); err != nil {
				t.Fatal(err)
			}
		}
		expected := v.Expected
		if expected == nil {
			expected = v.Data
		}
		v.want = [][]string{}
		rows, _ := expected.([]any)
		for _, row := range rows {
			cells, _ := row.([]any)
			texts := []string{}
			for _, cell := range cells {
				texts = append(texts, fmt.Sprint(cell))
			}
			v.want = append(v.want, texts)
		}
		list = append(list, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// dialectOf returns the dialect that a vector asks for; ok is false where its
// configuration has what this reader doesn't.
func (v vector) dialectOf() (d Dialect, ok bool) {
	d = Dialect{Delimiter: ',', Multiline: true}
	if v.Function {
		return d, false
	}
	for key, value := range v.Config {
		switch key {
		case "delimiter", "Comma":
			text := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(value), "b'"), "'")
			if text == "\\t" {
				text = "\t"
			}
			if len(text) != 1 || text == "\x00" {
				return d, false
			}
			d.Delimiter = text[0]
		case "dialect":
			if value != "excel" && value != "unix" {
				return d, false
			}
		case "quoting":
			if value != "false" && value != 3.0 {
				return d, false
			}
			d.Quotes = table.QuotesNone
		case "quotechar":
			if value != nil {
				return d, false
			}
			d.Quotes = table.QuotesNone
		case "escapechar":
			// Only where there is no such character is it the same dialect.
			if escape, _ := value.(string); escape != "" && strings.Contains(v.Input, escape) {
				return d, false
			}
		case "strict", "LazyQuotes", "FieldsPerRecord", "UseFieldsPerRecord", "fastMode":
		case "skipEmptyLines":
			if value == "greedy" {
				return d, false
			}
		case "Comment":
			if value != "" {
				return d, false
			}
		case "TrimLeadingSpace", "skipinitialspace":
			if value != false {
				return d, false
			}
		default:
			return d, false
		}
	}
	return d, d.withDefaults().validate() == nil
}

// How a vector can come out.
const (
	equal          = "equal"
	foreign        = "not this reader's configuration"
	emptyLines     = "rule 1: empty lines are no records"
	lineEnds       = "rule 1: CR and CR CR LF end a line"
	innerLineEnds  = "rule 1: a line end in a quoted cell becomes LF"
	literals       = "rule 2: quotes that don't enclose a cell are kept"
	unclosed       = "rule 4: a quote without an end is an error, and nothing after it is lost"
	delimitersOnly = "rule 6: rows of delimiters only are skipped"
	badBytes       = "rule 7: NUL, U+FEFF inside and bytes that are not UTF-8 are errors"
	doubt          = "rule 9: two delimiters that fit are an error"
)

// difference names the rule by which a reading differs from what another
// reader expects; empty where none explains it.
func difference(v vector, got [][]string) string {
	shown := fmt.Sprint(got)
	without := func(rows [][]string, cells int) [][]string {
		return slices.DeleteFunc(slices.Clone(rows), func(row []string) bool {
			return len(row) <= cells && strings.Join(row, "") == ""
		})
	}
	switch {
	case strings.Contains(shown, table.CodeUnclosedQuote):
		return unclosed
	case strings.Contains(shown, table.CodeNulByte), strings.Contains(shown, table.CodeEncoding), strings.Contains(shown, table.CodeByteOrderMark):
		return badBytes
	case slices.EqualFunc(got, without(v.want, 1), slices.Equal):
		return emptyLines
	case bytes.Contains(bytes.ReplaceAll(v.text, []byte("\r\n"), nil), []byte("\r")):
		return lineEnds
	case bytes.Contains(v.text, []byte("\r\n")) && !bytes.Contains([]byte(shown), []byte("\r")) && strings.Contains(shown, "\n"):
		return innerLineEnds
	case strings.Contains(shown, `"`):
		return literals
	case slices.EqualFunc(without(got, 10), without(v.want, 10), slices.Equal):
		return delimitersOnly
	}
	if strings.HasSuffix(v.ID, "bigfield") {
		return "another limit of a cell"
	}
	return ""
}

func TestVectorsOfOtherReadersDifferOnlyByTheRules(t *testing.T) {
	for name, want := range map[string]map[string]int{
		"python_test_csv.jsonl": {equal: 34, foreign: 27, emptyLines: 1, literals: 3, unclosed: 4, delimitersOnly: 1, badBytes: 4, "another limit of a cell": 1},
		"go_encoding_csv.jsonl": {equal: 26, foreign: 20, lineEnds: 8, literals: 7, unclosed: 5, delimitersOnly: 1, badBytes: 1},
		"papaparse.jsonl":       {equal: 63, foreign: 73, emptyLines: 4, lineEnds: 2, innerLineEnds: 4, literals: 6, unclosed: 4, delimitersOnly: 2, doubt: 2},
		"rust_csv_core.jsonl":   {equal: 47, foreign: 13, literals: 1, badBytes: 2},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]int{}
			for _, v := range readVectors(t, name) {
				d, ok := v.dialectOf()
				if !ok {
					got[foreign]++
					continue
				}
				if name == "papaparse.jsonl" && v.Config["delimiter"] == nil {
					detected, err := Dialect{Multiline: true}.detect(&table.Text{Name: "f.csv", Head: v.text, Whole: true})
					if err != nil {
						got[doubt]++
						continue
					}
					d = detected
				}
				rows := cellsOf(t, v.text, d)
				if slices.EqualFunc(rows, v.want, slices.Equal) {
					got[equal]++
					continue
				}
				why := difference(v, rows)
				if why == "" {
					t.Errorf("%s %v\ntext %.300q\ngot  %.300q\nwant %.300q", v.ID, v.Config, v.text, rows, v.want)
				}
				got[why]++
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
