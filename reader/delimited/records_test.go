package delimited

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

// row is a record in the form that tests compare: "line: cell|cell" or
// "line: CODE@line,column".
func row(rec table.Record) string {
	var parts []string
	if len(rec.Findings) > 0 {
		for _, f := range rec.Findings {
			parts = append(parts, fmt.Sprintf("%s@%d,%d", f.Code, f.Line, f.Column))
		}
		return fmt.Sprintf("%d: %s", rec.Position.Line, strings.Join(parts, " "))
	}
	for _, cell := range rec.Cells {
		parts = append(parts, string(cell))
	}
	return fmt.Sprintf("%d: %s", rec.Position.Line, strings.Join(parts, "|"))
}

func rowsOf(t testing.TB, text string, d Dialect) ([]string, []table.Warning) {
	t.Helper()
	r := NewRecordReader("f.tsv", strings.NewReader(text), d)
	var rows []string
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, r.Warnings()
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row(rec))
	}
}

func TestRecordsAreCutByTheRules(t *testing.T) {
	comma := Dialect{Delimiter: ','}
	toloka := Dialect{Delimiter: ',', Quotes: table.QuotesToloka}
	none := Dialect{Delimiter: ',', Quotes: table.QuotesNone}
	multiline := Dialect{Delimiter: ',', Multiline: true}
	keep := Dialect{Delimiter: ',', Multiline: true, KeepLineEnds: true}
	for name, c := range map[string]struct {
		text    string
		dialect Dialect
		want    []string
	}{
		"nothing":                                   {"", comma, nil},
		"a tab is the default":                      {"a\tb\n1\t2", Dialect{}, []string{"1: a|b", "2: 1|2"}},
		"every line end":                            {"a\nb\r\nc\rd\r\r\ne", comma, []string{"1: a", "2: b", "3: c", "4: d", "5: e"}},
		"CR CR is an empty line":                    {"a\r\rb", comma, []string{"1: a", "3: b"}},
		"CR CR CR LF are two line ends":             {"a\r\r\r\nb", comma, []string{"1: a", "3: b"}},
		"CR at the end":                             {"a\nb\r", comma, []string{"1: a", "2: b"}},
		"CR CR at the end":                          {"a\nb\r\r", comma, []string{"1: a", "2: b"}},
		"empty lines count":                         {"\n\r\na\n\n\nb\n", comma, []string{"3: a", "6: b"}},
		"a byte order mark at the start":            {"\uFEFFa\n1", comma, []string{"1: a", "2: 1"}},
		"only the first byte order mark is dropped": {"\uFEFF\uFEFFa", comma, []string{"1: BYTE_ORDER_MARK@1,1"}},
		"empty cells":                               {",\na,\n,b\n", comma, []string{"1: |", "2: a|", "3: |b"}},
		"delimiters only":                           {"a,b\n,\n1,2\n,,\n", comma, []string{"1: a|b", "3: 1|2"}},
		"quoted empty cells are a row":              {"a,b\n\"\",\"\"\n", comma, []string{"1: a|b", "2: |"}},
		"a quoted cell":                             {`a,"b,""c""",d`, comma, []string{`1: a|b,"c"|d`}},
		"a quoted cell at the end":                  {"a,\"b\"\n\"c\",\"\"", comma, []string{"1: a|b", "2: c|"}},
		"a quoted cell before CR":                   {"a,\"b\"\rc,d", comma, []string{"1: a|b", "2: c|d"}},
		"quotes inside a cell":                      {`a"b,c"",5"`, comma, []string{`1: a"b|c""|5"`}},
		"text after the closing quote":              {`"Heroes" est,"x"y"z",""a`, comma, []string{`1: "Heroes" est|"x"y"z"|""a`}},
		"a literal cell ends at the delimiter":      {`"a,b" c,d`, comma, []string{`1: "a|b" c|d`}},
		"a blank before the quote":                  {` "a",b`, comma, []string{`1:  "a"|b`}},
		"lines in a quoted cell":                    {"a,b\n\"x\ny\r\nz\",2\n3,4", comma, []string{"1: a|b", "2: x\ny\nz|2", "5: 3|4"}},
		"CR CR LF in a quoted cell":                 {"a,b\n\"x\r\r\ny\rz\r\",2\n3,4", comma, []string{"1: a|b", "2: x\ny\nz\n|2", "6: 3|4"}},
		"line ends kept":                            {"a,b\n\"x\r\ny\rz\",2", keep, []string{"1: a|b", "2: x\r\ny\rz|2"}},
		"two quoted cells over lines":               {"a,b\n\"x\ny\",\"z\n\"\n3,4", comma, []string{"1: a|b", "2: x\ny|z\n", "5: 3|4"}},

		"a quote that swallows rows":           {"a,b\n\"x,1\ny,2\nz\",3\n5,6", comma, []string{"1: a|b", "2: SWALLOWED_ROWS@2,1", "3: y|2", `4: z"|3`, "5: 5|6"}},
		"the last part looks like a row":       {"a,b\n\"x\ny,z\",3\n5,6", comma, []string{"1: a|b", "2: SWALLOWED_ROWS@2,1", `3: y|z"|3`, "4: 5|6"}},
		"such cells are meant":                 {"a,b\n\"x,1\ny,2\nz\",3\n5,6", multiline, []string{"1: a|b", "2: x,1\ny,2\nz|3", "5: 5|6"}},
		"one column: each line with text":      {"a\n\"x\ny\"\nz", comma, []string{"1: a", "2: SWALLOWED_ROWS@2,1", `3: y"`, "4: z"}},
		"one column: empty lines are no rows":  {"a\n\"x\n\n\"\nz", comma, []string{"1: a", "2: x\n\n", "5: z"}},
		"the header swallows rows":             {"\"a,b\n1,2\n3,4\"\n5,6", comma, []string{"1: SWALLOWED_ROWS@1,1", "2: 1|2", `3: 3|4"`, "4: 5|6"}},
		"the header spans lines":               {"\"a\nb\",c\n5,6", comma, []string{"1: a\nb|c", "3: 5|6"}},
		"a quote without an end":               {"a,b\n1,\"x\n2,y\n", comma, []string{"1: a|b", "2: UNCLOSED_QUOTE@2,2", "3: 2|y"}},
		"a quote without an end, multiline":    {"a,b\n1,\"x\n2,y\n", multiline, []string{"1: a|b", "2: UNCLOSED_QUOTE@2,2", "3: 2|y"}},
		"a quote alone at the end":             {"a,b\n1,\"", comma, []string{"1: a|b", "2: UNCLOSED_QUOTE@2,2"}},
		"text after a quote on a later line":   {"a,b\n\"x\ny\" z,2\n3,4", comma, []string{"1: a|b", "2: UNCLOSED_QUOTE@2,1", `3: y" z|2`, "4: 3|4"}},
		"the second quote has no end":          {"a,b\n\"x\ny\",\"z\n3,4", comma, []string{"1: a|b", "2: UNCLOSED_QUOTE@3,2", "4: 3|4"}},
		"the second quote swallows":            {"a,b\n\"x\ny\",\"z\n3,4\n\"\n5,6", comma, []string{"1: a|b", "2: SWALLOWED_ROWS@3,2", "4: 3|4", "5: UNCLOSED_QUOTE@5,1", "6: 5|6"}},
		"an unclosed quote in the header":      {"a,\"b\n1,2\n", comma, []string{"1: UNCLOSED_QUOTE@1,2", "2: 1|2"}},
		"each row has a quote without its end": {"a,b\n\"x,1\n\"y,2\n\"z,3\n", comma, []string{"1: a|b", "2: UNCLOSED_QUOTE@2,1", "3: UNCLOSED_QUOTE@3,1", "4: UNCLOSED_QUOTE@4,1"}},

		"toloka: quotes toggle and go":        {`a"b,c"d,"e"f"",g""h`, toloka, []string{`1: ab,cd|ef|gh`}},
		"toloka: two inside are one":          {`"a""b",x"y""z"`, toloka, []string{`1: a"b|xy"z`}},
		"toloka: lines in quotes":             {"a,b\nx\"\n\"y,2\n3,4", toloka, []string{"1: a|b", "2: x\ny|2", "4: 3|4"}},
		"toloka: swallowed rows":              {"a,b\nx 5\",1\ny,2\nz 6\",3\n", toloka, []string{"1: a|b", "2: SWALLOWED_ROWS@2,1", "3: y|2", "4: UNCLOSED_QUOTE@4,1"}},
		"toloka: no quote":                    {"a,b\n1,2", toloka, []string{"1: a|b", "2: 1|2"}},
		"none: quotes are characters":         {"a,b\n\"x,\"\"\n\"y\",2", none, []string{"1: a|b", `2: "x|""`, `3: "y"|2`}},
		"NUL":                                 {"a,b\n1,x\x00y\x00\n2,3", comma, []string{"1: a|b", "2: NUL_BYTE@2,2", "3: 2|3"}},
		"U+001A at the end":                   {"a\r\nx\r\n\x1A", comma, []string{"1: a", "2: x", "3: CONTROL_CHARACTER@3,1"}},
		"other control characters":            {"a\nx\x01\x1B\n", comma, []string{"1: a", "2: x\x01\x1B"}},
		"a byte order mark inside":            {"a,b\n1,\uFEFF2\n", comma, []string{"1: a|b", "2: BYTE_ORDER_MARK@2,2"}},
		"a fullwidth sign is none":            {"a,b\n１,\uFEFC\uFFFD\n", comma, []string{"1: a|b", "2: １|\uFEFC\uFFFD"}},
		"a byte that is not UTF-8":            {"a,b\n1,caf\xE9\n3,4", comma, []string{"1: a|b", "2: ENCODING@2,2", "3: 3|4"}},
		"a character cut at the end":          {"a,b\n1,\xD0", comma, []string{"1: a|b", "2: ENCODING@2,2"}},
		"a bad byte on a later line":          {"a,b,c\n0,\"x\ny\x00\",\xFF\n", comma, []string{"1: a|b|c", "2: NUL_BYTE@3,2 ENCODING@3,3"}},
		"a bad byte behind an unclosed quote": {"a,b\n1,\"x\x00\n2,\x1A\n", comma, []string{"1: a|b", "2: UNCLOSED_QUOTE@2,2 NUL_BYTE@2,2", "3: CONTROL_CHARACTER@3,2"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := rowsOf(t, c.text, c.dialect)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.text, diff)
			}
			// The same, a byte at a time.
			r := NewRecordReader("f", iotest.OneByteReader(strings.NewReader(c.text)), c.dialect)
			var slow []string
			for rec, err := r.Read(); err == nil; rec, err = r.Read() {
				slow = append(slow, row(rec))
			}
			if diff := cmp.Diff(got, slow); diff != "" {
				t.Errorf("%q a byte at a time (-at once +by bytes):\n%s", c.text, diff)
			}
		})
	}
}

func TestPositionsAndRawSayWhereARecordStood(t *testing.T) {
	const text = "\uFEFFa,b\r\n\r\n\"x\ny\",\"\"\"\"\r\n,\n3,4"
	r := NewRecordReader("f.csv", strings.NewReader(text), Dialect{Delimiter: ','})
	type place struct {
		Position verdict.Position
		Lines    int
		Raw      string
	}
	var got []place
	for rec, err := r.Read(); err == nil; rec, err = r.Read() {
		got = append(got, place{rec.Position, rec.Lines, string(rec.Raw)})
	}
	want := []place{
		{verdict.Position{File: "f.csv", Line: 1, Record: 0, Offset: 3}, 1, "a,b"},
		{verdict.Position{File: "f.csv", Line: 3, Record: 1, Offset: 10}, 2, "\"x\ny\",\"\"\"\""},
		{verdict.Position{File: "f.csv", Line: 6, Record: 2, Offset: 24}, 1, "3,4"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWarningsAreCountedWithTheirFirstLines(t *testing.T) {
	text := "a,b\n,\n" + strings.Repeat("\"x\" y,z\"\n", 7) + ",,\n\"open \"x\"\n"
	_, got := rowsOf(t, text, Dialect{Delimiter: ','})
	if len(got) != 2 {
		t.Fatalf("got %d warnings, want 2: %v", len(got), got)
	}
	for i, want := range []table.Warning{
		{Code: table.CodeEmptyRow, Count: 2, Lines: []int64{2, 10}},
		{Code: table.CodeLiteralQuote, Count: 15, Lines: []int64{3, 4, 5, 6, 7}},
	} {
		want.Message = got[i].Message
		if diff := cmp.Diff(want, got[i]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if !strings.Contains(got[1].Message, "--quotes toloka") {
		t.Errorf("the warning doesn't name the mode that drops quotes: %s", got[1].Message)
	}
}

func TestMessagesSayWhereAQuoteOpened(t *testing.T) {
	r := NewRecordReader("f", strings.NewReader("a,b\n1,\"x\n2,y\n\n"), Dialect{Delimiter: ','})
	_, _ = r.Read()
	rec, err := r.Read()
	if err != nil || len(rec.Findings) != 1 {
		t.Fatal(rec, err)
	}
	if m := rec.Findings[0].Message; !strings.Contains(m, "begins on line 2 and no end was found by line 4, the end of the file") {
		t.Error(m)
	}
	if string(rec.Raw) != "1,\"x" || rec.Lines != 1 {
		t.Errorf("the broken record is %q over %d lines, want its first line", rec.Raw, rec.Lines)
	}
	r = NewRecordReader("f", strings.NewReader("a,b\n\"x\n1,2\n3,4\n\",5\n"), Dialect{Delimiter: ','})
	_, _ = r.Read()
	if rec, err = r.Read(); err != nil || len(rec.Findings) != 1 {
		t.Fatal(rec, err)
	}
	if m := rec.Findings[0].Message; !strings.Contains(m, "swallows 2 lines") || !strings.Contains(m, "--multiline") {
		t.Error(m)
	}
}

func TestRecordsOverALimitAreNamedAndReadingGoesOn(t *testing.T) {
	d := Dialect{Delimiter: ',', Options: table.Options{MaxCellBytes: 10, MaxRecordBytes: 30}}
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a cell at the limit":               {"a,b\n1," + long(10) + "\n3,4", []string{"1: a|b", "2: 1|" + long(10), "3: 3|4"}},
		"a cell over the limit":             {"a,b\n1," + long(11) + "\n3,4", []string{"1: a|b", "2: CELL_TOO_LONG@2,2", "3: 3|4"}},
		"a cell over the limit of a record": {"a,b\n1," + long(600000) + ",7\r\n3,4", []string{"1: a|b", "2: CELL_TOO_LONG@2,2", "3: 3|4"}},
		"many cells":                        {"a,b\n" + strings.Repeat("1,", 16) + "\n3,4", []string{"1: a|b", "2: RECORD_TOO_LONG@2,0", "3: 3|4"}},
		"a record at the limit":             {"a,b\n" + strings.Repeat("1,", 15) + "\n3,4", []string{"1: a|b", "2: " + strings.Repeat("1|", 15), "3: 3|4"}},
		"a quoted cell over the limit":      {"a,b\n1,\"" + long(11) + "\"\n3,4", []string{"1: a|b", "2: CELL_TOO_LONG@2,2", "3: 3|4"}},
		"undone quotes don't count":         {"a,b\n1,\"\"\"" + long(8) + "\"\"\"\n3,4", []string{"1: a|b", "2: 1|\"" + long(8) + "\"", "3: 3|4"}},
		"a quoted cell over lines":          {"a,b\n1,\"x\n" + long(10) + "\"\n3,4", []string{"1: a|b", "2: CELL_TOO_LONG@2,2", "4: 3|4"}},
		"no end within the limit":           {"a,b\n1,\"x\n" + strings.Repeat("y\n", 30) + "\"\n", append(append([]string{"1: a|b", "2: UNCLOSED_QUOTE@2,2"}, ys(3, 30)...), "33: UNCLOSED_QUOTE@33,1")},
		"the line of the closing quote":     {"a,b\n\"x\ny\"," + long(40) + "\n3,4", []string{"1: a|b", "2: RECORD_TOO_LONG@2,0", "4: 3|4"}},
		"the last line":                     {"a,b\n1," + long(600000), []string{"1: a|b", "2: CELL_TOO_LONG@2,2"}},
		"the header":                        {long(31) + "\n1", []string{"1: CELL_TOO_LONG@1,1", "2: 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := rowsOf(t, c.text, d)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func ys(line, n int) []string {
	var rows []string
	for i := range n {
		rows = append(rows, fmt.Sprintf("%d: y", line+i))
	}
	return rows
}

// endless returns a text made of one piece for n bytes, and then a tail.
type endless struct {
	piece string
	n     int64
	tail  string
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.n <= 0 {
		if e.tail == "" {
			return 0, io.EOF
		}
		n := copy(p, e.tail)
		e.tail = e.tail[n:]
		return n, nil
	}
	n := 0
	for n < len(p) && int64(n) < e.n {
		k := copy(p[n:min(int64(len(p)), e.n)], e.piece[e.at:])
		n += k
		e.at = (e.at + k) % len(e.piece)
	}
	e.n -= int64(n)
	return n, nil
}

func TestACellOfAGigabyteCostsNoMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	text := io.MultiReader(strings.NewReader("a\tb\n1\t"), &endless{piece: strings.Repeat("x", 64<<10), n: 1 << 30, tail: "\n3\t4\n"})
	r := NewRecordReader("f", text, Dialect{})
	var got []string
	for rec, err := r.Read(); err == nil; rec, err = r.Read() {
		got = append(got, row(rec))
		if rec.Position.Record == 1 && rec.Raw != nil {
			t.Error("a record over the limit is kept")
		}
	}
	runtime.ReadMemStats(&after)
	if diff := cmp.Diff([]string{"1: a|b", "2: CELL_TOO_LONG@2,2", "3: 3|4"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if most := table.DefaultMaxRecordBytes + bufferSlack; len(r.buf) > most {
		t.Errorf("the buffer has %d bytes, more than %d", len(r.buf), most)
	}
	// All that was ever allocated: the buffer in its doubling sizes.
	if n := after.TotalAlloc - before.TotalAlloc; n > 3*(table.DefaultMaxRecordBytes+bufferSlack) {
		t.Errorf("%d bytes were allocated for a cell of 1 GiB", n)
	}
}

func TestNoReadingGoesOnAfterAFailure(t *testing.T) {
	broken := errors.New("the disk is gone")
	text := io.MultiReader(strings.NewReader("a,b\n1,2\n\n3,\"x\ny"), iotest.ErrReader(broken))
	r := NewRecordReader("f.csv", text, Dialect{Delimiter: ','})
	for range 2 {
		if _, err := r.Read(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		_, err := r.Read()
		var failure *table.ReadError
		if !errors.As(err, &failure) || !errors.Is(err, broken) || failure.Line != 5 || failure.File != "f.csv" {
			t.Errorf("got %v, want the failure at line 5", err)
		}
	}
}

func TestAStuckReaderIsAFailure(t *testing.T) {
	r := NewRecordReader("f", stuck{}, Dialect{})
	if _, err := r.Read(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestADialectThatCannotBeIsAnError(t *testing.T) {
	for _, d := range []Dialect{{Delimiter: '"'}, {Delimiter: '\n'}, {Delimiter: 0xC3}, {Quotes: "some"}} {
		if _, err := NewRecordReader("f", strings.NewReader("a"), d).Read(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%+v: got %v", d, err)
		}
	}
}

func TestReadingAllocatesNothingPerRecord(t *testing.T) {
	for name, text := range map[string]string{
		"plain":  "a\tb\n" + strings.Repeat("some text\tand more\n", 1000),
		"quoted": "a\tb\n" + strings.Repeat("\"some \"\"text\"\"\"\t\"and more\"\n\"x\ny\"\t1\n", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			source := strings.NewReader(text)
			r := NewRecordReader("f", source, Dialect{})
			n := testing.AllocsPerRun(1, func() {
				for range 400 {
					if _, err := r.Read(); err != nil {
						t.Fatal(err)
					}
				}
			})
			if n > 1 {
				t.Errorf("400 records cost %v allocations", n)
			}
		})
	}
}

// TestNoTextIsSearchedOftenWhateverItsQuotes counts how far the searches for
// closing quotes go together: a file in which every row opens a quote must not
// be searched to its end for each of them.
func TestNoTextIsSearchedOftenWhateverItsQuotes(t *testing.T) {
	const size = 2 * table.BlockBytes // so that what is searched must be read in parts
	for name, piece := range map[string]string{
		"each row opens a quote":                "1,\"x,2\n",
		"each row opens two":                    "\"1,\"x\n",
		"quoted empty cells between":            "\"1,\"\",\"\"\n2,\"\"\n3,\"\"\n",
		"cells over lines to the end":           "b\",\"a\n",
		"long cells over lines to the end":      "b\",\"a" + strings.Repeat("a", 50) + "\n",
		"even runs only":                        "\"\"\"\"x,\"\"\n",
		"an odd run at the end of each row":     "\"\"\"\n",
		"literal cells":                         "\"a\"b,\"c\"d,\"e\n",
		"each row has an inch":                  "5\" x,1\n",
		"quotes alone":                          "\"",
		"CR only":                               "\"a,b\r",
		"many quoted cells and no line end":     "\"a\",",
		"quoted parts of one cell, no line end": "\"a\"b",
	} {
		for _, quotes := range []table.QuoteMode{table.QuotesAuto, table.QuotesToloka} {
			for _, limit := range []int{size / 2, 2 * size} {
				multiline := limit < size
				t.Run(fmt.Sprintf("%s, %s, multiline %v, at most %d", name, quotes, multiline, limit), func(t *testing.T) {
					r := NewRecordReader("f", io.MultiReader(strings.NewReader("a,b\n"), &endless{piece: piece, n: size}),
						Dialect{Delimiter: ',', Quotes: quotes, Multiline: multiline, Options: table.Options{MaxCellBytes: limit / 2, MaxRecordBytes: limit}})
					for {
						_, err := r.Read()
						if errors.Is(err, io.EOF) {
							break
						}
						if err != nil {
							t.Fatal(err)
						}
					}
					if r.searched > 2*size {
						t.Errorf("%d bytes were searched for the quotes of %d", r.searched, size)
					}
				})
			}
		}
	}
}

func TestProperlyQuotedRecordsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delimiter := rapid.SampledFrom([]byte("\t,;|")).Draw(t, "delimiter")
		lineEnd := rapid.SampledFrom([]string{"\n", "\r\n", "\r", "\r\r\n"}).Draw(t, "line end")
		columns := rapid.IntRange(1, 4).Draw(t, "columns")
		cell := rapid.StringOfN(rapid.RuneFrom([]rune("ab \",;|\t\néж漢\u0001")), 0, 8, -1)
		rows := rapid.SliceOfN(rapid.SliceOfN(cell, columns, columns), 1, 20).Draw(t, "rows")

		var text bytes.Buffer
		var want []string
		line := int64(1)
		for i, cells := range rows {
			start, offset := line, text.Len()
			for j, c := range cells {
				if j > 0 {
					text.WriteByte(delimiter)
				}
				quote := strings.ContainsAny(c, "\"\r\n"+string(delimiter)) || i > 0 && c == "" || rapid.Bool().Draw(t, "quote")
				if quote || c == "" && columns == 1 {
					c = `"` + strings.ReplaceAll(c, `"`, `""`) + `"`
				}
				text.WriteString(c)
			}
			line += int64(bytes.Count(text.Bytes()[offset:], []byte("\n"))) + 1
			text.WriteString(lineEnd)
			want = append(want, fmt.Sprintf("%d@%d %d %q", i, offset, start, cells))
		}
		r := NewRecordReader("f", iotest.HalfReader(&text), Dialect{Delimiter: delimiter, Multiline: true})
		var got []string
		for {
			rec, err := r.Read()
			if err != nil {
				break
			}
			got = append(got, fmt.Sprintf("%d@%d %d %q", rec.Position.Record, rec.Position.Offset, rec.Position.Line, rec.Cells))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if len(r.Warnings()) > 0 {
			t.Fatalf("warnings about proper quoting: %v", r.Warnings())
		}
	})
}
