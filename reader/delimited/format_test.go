package delimited

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"poolfill/reader/table"
	"poolfill/reader/table/tabletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asCSV writes a record as RFC 4180 says.
func asCSV(cells []string) string {
	var line strings.Builder
	w := csv.NewWriter(&line)
	_ = w.Write(cells) // to memory
	w.Flush()
	return line.String()
}

func TestDelimitedTextIsATable(t *testing.T) {
	open := func(text io.Reader, o table.Options) (table.Table, error) {
		return Format{Dialect{Multiline: true}}.Open(tabletest.NewStorage("f.csv", text), o)
	}
	tabletest.Run(t, tabletest.Format{
		Open: func(_ testing.TB, records tabletest.Records, o table.Options) (table.Table, error) {
			return open(tabletest.Lines(records, asCSV), o)
		},
		Bad: map[string]func(table.Options) (table.Table, error){
			"no header":         func(o table.Options) (table.Table, error) { return open(strings.NewReader("\n\n"), o) },
			"two delimiters":    func(o table.Options) (table.Table, error) { return open(strings.NewReader("a;b,c\n1;2,3\n"), o) },
			"a disk that fails": func(o table.Options) (table.Table, error) { return open(iotest.ErrReader(errors.New("gone")), o) },
		},
	})
}

// FuzzBlocks compares blocks with what a RecordReader reads, whatever their size.
func FuzzBlocks(f *testing.F) {
	for i, seed := range fuzzSeeds {
		f.Add(seed, uint8(i), uint8(7*i))
	}
	f.Fuzz(func(t *testing.T, text string, flags, size uint8) {
		d := Dialect{
			Delimiter: []byte("\t,;|")[flags&3],
			Quotes:    []table.QuoteMode{table.QuotesAuto, table.QuotesToloka, table.QuotesNone, table.QuotesAuto}[flags>>2&3],
			Multiline: flags&16 != 0, KeepLineEnds: flags&32 != 0,
			Options: table.Options{BlockBytes: 1 + int(size>>2)},
		}
		if flags&64 != 0 {
			d.MaxCellBytes, d.MaxRecordBytes = 5, 11
		}
		one := newRecordReader(&table.Text{Reader: strings.NewReader(text), Name: "f"}, d)
		one.started = true
		want, wantErr := one.Read()
		opened, err := Format{d}.Open(tabletest.NewStorage("f", strings.NewReader(text)), d.Options)
		if err != nil {
			if wantErr == nil {
				t.Fatal(err)
			}
			return
		}
		if got := opened.Header(); row(got) != row(want) || string(got.Raw) != string(want.Raw) {
			t.Fatalf("the header is %s, want %s", row(got), row(want))
		}
		b := opened.NewBlock()
		var warnings warnings
		add := func(list []table.Warning) {
			for i := range list {
				if list[i].Code == table.CodeEmptyRow {
					warnings.emptyRows.Merge(&list[i])
				} else {
					warnings.literalQuotes.Merge(&list[i])
				}
			}
		}
		for err == nil {
			b.Reset()
			err = b.Find(1 + int(size&3))
			for i := range b.Len() {
				var got table.Record
				b.Cut(i, &got)
				want, wantErr := one.Read()
				if wantErr != nil || row(got) != row(want) || string(got.Raw) != string(want.Raw) || got.Position != want.Position || got.Lines != want.Lines {
					t.Fatalf("%+v %s, want %+v %s, %v", got, row(got), want, row(want), wantErr)
				}
			}
			add(b.Warnings())
		}
		if _, wantErr = one.Read(); !errors.Is(err, wantErr) {
			t.Fatalf("the end is %v, want %v", err, wantErr)
		}
		for i, w := range one.Warnings() {
			if got := warnings.list(); len(got) != len(one.Warnings()) || got[i].Count != w.Count || len(got[i].Lines) != len(w.Lines) {
				t.Fatalf("warnings %+v, want %+v", got, one.Warnings())
			}
		}
	})
}
