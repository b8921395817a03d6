package delimited

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

var fuzzSeeds = []string{
	"", "a\tb\n1\t2\n", "a,b\r\n\"x\ny\",2\r\n", "a,b\n\"x,1\ny,2\n", "\uFEFFa\r\r\nb\r\rc", "\"a\"b,\"c\n\"d,e\n",
	"a,b\n,\n\"\",\"\"\n", "a\x00,\x1A\xFF\n\uFEFF", "\"\"\"\n\"\"\"\n", "a,\"b\n\",\"c\n", "a;b|c\n1;2|3", "\"", "\r", "a,b\n5\" x,6\"\n",
}

// FuzzRecordReader holds what is true of every text: no panic, an end, no byte
// lost between the records, and right line numbers.
func FuzzRecordReader(f *testing.F) {
	for i, seed := range fuzzSeeds {
		f.Add(seed, uint8(i))
	}
	f.Fuzz(func(t *testing.T, text string, flags uint8) {
		d := Dialect{
			Delimiter: []byte("\t,;|")[flags&3],
			Quotes:    []table.QuoteMode{table.QuotesAuto, table.QuotesToloka, table.QuotesNone, table.QuotesAuto}[flags>>2&3],
			Multiline: flags&16 != 0, KeepLineEnds: flags&32 != 0,
		}
		if flags&64 != 0 {
			d.MaxCellBytes, d.MaxRecordBytes = 5, 11
		}
		r := NewRecordReader("f", strings.NewReader(text), d)
		at := 0 // how much of the text is accounted for
		if strings.HasPrefix(text, table.ByteOrderMark) {
			at = len(table.ByteOrderMark)
		}
		for number := int64(0); ; number++ {
			rec, err := r.Read()
			if errors.Is(err, io.EOF) {
				if gap := text[at:]; !skippable(gap, d.Delimiter, number > 0) {
					t.Fatalf("the end %q is lost", gap)
				}
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			start := int(rec.Position.Offset)
			if start < at || !skippable(text[at:start], d.Delimiter, number > 0) {
				t.Fatalf("record %d starts at %d, %q is lost", number, start, text[at:max(at, start)])
			}
			if want := int64(table.CountLineEnds([]byte(text[:start]))) + 1; rec.Position.Line != want {
				t.Fatalf("record %d is at line %d, want %d", number, rec.Position.Line, want)
			}
			if rec.Position.Record != number {
				t.Fatalf("record %d has the number %d", number, rec.Position.Record)
			}
			at = start
			if rec.Raw == nil {
				// Over a limit: what was left out are whole lines.
				for range rec.Lines {
					at = nextLine(text, at)
				}
				if len(rec.Findings) == 0 {
					t.Fatal("a record without its text has no finding")
				}
				continue
			}
			if !strings.HasPrefix(text[start:], string(rec.Raw)) {
				t.Fatalf("record %d is %q, the text has %q", number, rec.Raw, text[start:])
			}
			at += len(rec.Raw)
			if rest := text[at:]; rest != "" && rest[0] != '\n' && rest[0] != '\r' {
				t.Fatalf("record %d ends before %q", number, rest)
			}
			if got := table.CountLineEnds(rec.Raw) + 1; got != rec.Lines {
				t.Fatalf("record %d says %d lines, has %d", number, rec.Lines, got)
			}
			last := rec.Position.Line + int64(rec.Lines)
			for _, finding := range rec.Findings {
				if finding.Stage != verdict.StageParse || finding.Line < rec.Position.Line || finding.Line >= last || finding.Column < 0 || finding.Message == "" {
					t.Fatalf("record at %d+%d: %+v", rec.Position.Line, rec.Lines, finding)
				}
			}
			if len(rec.Findings) == 0 && d.Quotes != table.QuotesToloka && bytes.IndexByte(rec.Raw, '"') < 0 &&
				!bytes.Equal(bytes.Join(rec.Cells, []byte{d.Delimiter}), rec.Raw) {
				t.Fatalf("%q became %q", rec.Raw, rec.Cells)
			}
		}
		if len(r.buf) > table.BlockBytes && len(text) < table.BlockBytes {
			t.Fatalf("the buffer grew to %d", len(r.buf))
		}
	})
}

// skippable reports whether a text between records may be left out: line ends,
// and after the header rows of delimiters only.
func skippable(gap string, delimiter byte, afterHeader bool) bool {
	allowed := "\r\n"
	if afterHeader {
		allowed += string(delimiter)
	}
	return strings.Trim(gap, allowed) == ""
}

func nextLine(text string, at int) int {
	end := at + min(indexFrom([]byte(text[at:]), '\n', 0), indexFrom([]byte(text[at:]), '\r', 0))
	if end == len(text) {
		return end
	}
	return end + table.LineEndLen([]byte(text[end:]))
}

// FuzzAgainstEncodingCSV compares with the standard library on what both read
// alike: strict CSV in UTF-8 with LF, cells over lines being meant.
func FuzzAgainstEncodingCSV(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "\r\x00\x1A\uFEFF") || strings.ToValidUTF8(text, "") != text {
			return // the rules differ
		}
		standard := csv.NewReader(strings.NewReader(text))
		standard.FieldsPerRecord = -1
		want, err := standard.ReadAll()
		if err != nil {
			return // not strict CSV
		}
		var kept [][]string
		for i, cells := range want {
			// Rows of delimiters only are skipped. A row of empty quoted cells
			// isn't, but the standard library can't tell the two apart.
			if i > 0 && len(cells) > 1 && strings.Join(cells, "") == "" {
				continue
			}
			kept = append(kept, cells)
		}
		var got [][]string
		r := NewRecordReader("f", strings.NewReader(text), Dialect{Delimiter: ',', Multiline: true})
		for {
			rec, err := r.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || len(rec.Findings) > 0 {
				t.Fatal(rec.Findings, err)
			}
			cells := stringsOf(rec.Cells)
			if len(got) > 0 && len(cells) > 1 && strings.Join(cells, "") == "" {
				continue
			}
			got = append(got, cells)
		}
		if !slices.EqualFunc(got, kept, slices.Equal) {
			t.Fatalf("got  %q\nwant %q", got, kept)
		}
	})
}
