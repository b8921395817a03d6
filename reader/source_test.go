package reader

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gocarina/gocsv"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func source(name string, columns []string, rows ...[]string) Source {
	return Source{Name: name, Columns: columns, Rows: NoError(slices.Values(rows))}
}

// drain returns all rows of a source, as text, and the error other than io.EOF.
func drain(t testing.TB, s Source, cfg Config) (rows []string, r *Reader, err error) {
	t.Helper()
	if r, err = s.Open(cfg); err != nil {
		t.Fatal(err)
	}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			if row.Err != nil {
				rows = append(rows, row.Err.Error())
			} else {
				rows = append(rows, fmt.Sprintf("%s:%d {%s}", row.Task.Position.File, row.Task.Position.Line, row.Task.JSON))
			}
			continue
		}
		return rows, r, errors.Join(err, r.Close())
	}
}

func TestTheRowsOfASourceAreCountedWhateverTheirTextIs(t *testing.T) {
	s := source("orders", []string{"INPUT:id", "INPUT:text"},
		[]string{"a", "two\nlines, \"quoted\"\r\nand\ta tab"},
		[]string{"", ""},
		[]string{"", "b"},
		[]string{"c"},
		[]string{},
		[]string{`"`, "\xff\n"},
		[]string{"d", "\n\x00"},
		[]string{"e", "a\tb\nc\td"},
	)
	rows, r, err := drain(t, s, Config{Delimiter: ';', Quotes: QuotesNone, Encoding: "latin1"})
	want := []string{
		`orders:1 {"input_values":{"id":"a","text":"two\nlines, \"quoted\"\r\nand\ta tab"}}`,
		`orders:2: all input cells of the row are empty: a task needs at least one input value`,
		`orders:3 {"input_values":{"text":"b"}}`,
		`orders:4, column 2: the row has 1 cell, the header has 2: the first missing one is "INPUT:text"`,
		`orders:5, column 2: the row has 1 cell, the header has 2: the first missing one is "INPUT:text"`,
		`orders:6, column 2 (INPUT:text): the byte 0xFF at offset 77 is not UTF-8: give the file's charset with --encoding, or fix the row`,
		`orders:7, column 2 (INPUT:text): the cell holds a NUL byte: remove it`,
		`orders:8 {"input_values":{"id":"e","text":"a\tb\nc\td"}}`,
	}
	if err != nil || len(r.Warnings()) > 0 {
		t.Errorf("%v, %v", err, r.Warnings())
	}
	for i := range max(len(rows), len(want)) {
		if i >= len(rows) || i >= len(want) || rows[i] != want[i] {
			t.Fatalf("row %d:\ngot  %q\nwant %q", i+1, rows[min(i, len(rows)):], want[min(i, len(want)):])
		}
	}
}

func TestASourceIsNotAskedForRowsBeforeTheyAreRead(t *testing.T) {
	asked := 0
	s := Source{Name: "rows", Columns: []string{"a"}, Rows: func(yield func([]string, error) bool) {
		asked++
		yield([]string{"1"}, nil)
	}}
	r, err := s.Open(Config{})
	if err != nil || asked != 0 {
		t.Fatalf("%v, asked %d times", err, asked)
	}
	if err := r.Close(); err != nil || asked != 0 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	if rows, _, err := drain(t, s, Config{}); err != nil || len(rows) != 1 || asked != 1 {
		t.Errorf("%v, %q, asked %d times", err, rows, asked)
	}
}

func TestAnErrorOfASourceNamesItsRow(t *testing.T) {
	broken := errors.New("the table is gone")
	for _, cause := range []error{broken, io.EOF} {
		s := Source{Name: "rows", Columns: []string{"a"}, Rows: func(yield func([]string, error) bool) {
			for range 5000 {
				if !yield([]string{"two\nlines"}, nil) {
					return
				}
			}
			yield(nil, cause)
		}}
		rows, _, err := drain(t, s, Config{})
		var failed *ReadError
		if len(rows) != 5000 || !errors.As(err, &failed) || failed.Line != 5001 || failed.File != "rows" || errors.Is(err, io.EOF) {
			t.Errorf("%d rows, %v", len(rows), err)
		}
		if errors.Is(err, broken) != errors.Is(cause, broken) || !strings.Contains(err.Error(), cause.Error()) {
			t.Errorf("%v instead of %v", err, cause)
		}
	}
}

// Closing ends the iteration, and its goroutines with it, wherever it stands.
func TestClosingASourceEndsItsRows(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, parallel := range []int{1, 4} {
		ended := make(chan struct{})
		s := Source{Name: "rows", Columns: []string{"a"}, Rows: func(yield func([]string, error) bool) {
			defer close(ended)
			for yield([]string{"endless"}, nil) { // until it is closed
			}
		}}
		r, err := s.Open(Config{Parallel: parallel})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		<-ended
	}
}

func TestABadSourceIsRefused(t *testing.T) {
	rows := NoError(slices.Values([][]string{{"1"}}))
	for says, s := range map[string]Source{
		`can't be named ""`:              {Columns: []string{"a"}, Rows: rows},
		`can't be named "-"`:             {Name: "-", Columns: []string{"a"}, Rows: rows},
		`can't be named "/etc/x"`:        {Name: "/etc/x", Columns: []string{"a"}, Rows: rows},
		`can't be named "a\nb"`:          {Name: "a\nb", Columns: []string{"a"}, Rows: rows},
		"has no rows":                    {Name: "x", Columns: []string{"a"}},
		"has no columns":                 {Name: "x", Rows: rows},
		"the field Tags is a slice":      Structs("x", NoError(slices.Values([]struct{ Tags []string }{}))),
		"int is no struct":               Structs("x", NoError(slices.Values([]int{}))),
		`the prefix "input:" must be wr`: {Name: "x", Columns: []string{"input:a"}, Rows: rows},
	} {
		if _, err := s.Open(Config{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
	if _, _, err := drain(t, source("x", []string{"a"}), Config{}); err == nil || !strings.Contains(err.Error(), "the source gave no row") {
		t.Errorf("an empty source: %v", err)
	}
}

type animal struct {
	Image   string  `csv:"INPUT:image"`
	Tags    Array   `csv:"INPUT:tags"`
	Weight  float64 `csv:"INPUT:weight"`
	Answer  string  `csv:"GOLDEN:result"`
	Overlap *int    `csv:"TASK:overlap"`
	Note    []byte  `csv:"-"`
}

var animalSpec = &Spec{
	Input: map[string]FieldSpec{
		"image":  {Type: TypeURL, Required: true},
		"tags":   {Type: "array_string"},
		"weight": {Type: TypeFloat},
	},
	Output: map[string]FieldSpec{"result": {Type: TypeString}},
}

func TestStructsAreWhatGocsvWouldWrite(t *testing.T) {
	three := 3
	animals := []*animal{
		{Image: "https://example.com/1.jpg", Tags: Array{"a,b", `c"d`, " e"}, Weight: 1.5, Overlap: &three},
		{Image: "example.com", Answer: "cat"},
		nil,
	}
	rows, _, err := drain(t, Structs("animals", NoError(slices.Values(animals))), Config{Spec: animalSpec})
	want := []string{
		`animals:1 {"input_values":{"image":"https://example.com/1.jpg","tags":["a,b","c\"d"," e"],"weight":1.5},"overlap":3}`,
		`animals:2, column 1 (INPUT:image): "example.com" is not a URL: it must begin with http://, https:// or www and go on after that`,
		`animals:3, column 1 (INPUT:image): the field is required, and the cell is empty: fill it in`,
	}
	if err != nil || len(rows) != 3 || rows[0] != want[0] || rows[1] != want[1] || !strings.HasPrefix(rows[2], "animals:3, column 1") {
		t.Errorf("%v\ngot  %q\nwant %q", err, rows, want)
	}

	var text strings.Builder
	if err := gocsv.Marshal(animals[:2], &text); err != nil {
		t.Fatal(err)
	}
	file, err := New("animals", strings.NewReader(text.String()), Config{Spec: animalSpec})
	if err != nil {
		t.Fatal(err)
	}
	row, err := file.Next()
	if err != nil || row.Err != nil || "animals:1 {"+string(row.Task.JSON)+"}" != rows[0] {
		t.Errorf("the file that gocsv wrote has {%s}, %v, %v", row.Task.JSON, row.Err, err)
	}
}

func TestAnErrorBeforeAStructEndsTheRows(t *testing.T) {
	broken := errors.New("broken")
	var rows iter.Seq2[animal, error] = func(yield func(animal, error) bool) {
		if yield(animal{Image: "a"}, nil) && yield(animal{}, broken) {
			t.Error("the rows went on after an error")
		}
	}
	got, _, err := drain(t, Structs("animals", rows), Config{})
	if len(got) != 1 || !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "animals: reading failed at row 2: ") {
		t.Errorf("%q, %v", got, err)
	}
}

// Whatever a program's cells hold, they are the values of the tasks.
func TestCellsOfASourceArriveAsTheyAre(t *testing.T) {
	text := rapid.StringOf(rapid.SampledFrom([]rune("ab\"\t\r\n,\\; \u00e9'")))
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.SliceOfN(text, 2, 2), 1, 50).Draw(t, "rows")
		r, err := source("s", []string{"a", "b"}, rows...).Open(Config{Parallel: rapid.IntRange(1, 3).Draw(t, "parallel")})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		for i, cells := range rows {
			row, err := r.Next()
			if empty := cells[0]+cells[1] == ""; err != nil || (row.Err != nil) != empty {
				t.Fatalf("%q: %v, %v", cells, err, row.Err)
			} else if empty {
				continue
			}
			var e []string
			for j, cell := range cells {
				if cell != "" {
					e = append(e, fmt.Sprintf("%q:%s", "ab"[j:j+1], appendString(nil, []byte(cell))))
				}
			}
			if want := `"input_values":{` + strings.Join(e, ",") + "}"; string(row.Task.JSON) != want || row.Task.Position.Line != int64(i+1) {
				t.Fatalf("row %d of %q: %s at %d, not %s", i+1, cells, row.Task.JSON, row.Task.Position.Line, want)
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	})
}

func TestArraysArriveAsTheyAre(t *testing.T) {
	text := rapid.StringOfN(rapid.SampledFrom([]rune("ab\"\t\r\n,\\; \u00e9")), 1, 8, -1)
	rapid.Check(t, func(t *rapid.T) {
		want := Array(rapid.SliceOfN(text, 1, 5).Draw(t, "elements"))
		cell, err := want.MarshalCSV()
		if err != nil {
			t.Fatal(err)
		}
		var got Array
		if err := got.UnmarshalCSV(cell); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q became %q, %v", cell, got, err)
		}
	})
}
