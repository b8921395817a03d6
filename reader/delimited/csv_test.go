package delimited

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"poolfill/reader/table"

	"github.com/gocarina/gocsv"
)

var _ gocsv.CSVReader = (*CSVReader)(nil)

func TestCSVReaderNamesBadRowsAndGoesOn(t *testing.T) {
	r := NewRecordReader("f.csv", strings.NewReader("a,b\n1\n\n2,\"x\n3,4\n5,6,7\n"), Dialect{Delimiter: ','}).CSV()
	for i, want := range []struct {
		cells []string
		says  string
	}{
		{[]string{"a", "b"}, ""},
		{nil, "f.csv:2, column 2: the row has 1 cell, the header has 2"},
		{nil, "f.csv:4, column 2: a quoted cell begins on line 4"},
		{[]string{"3", "4"}, ""},
		{nil, "f.csv:6, column 3: the row has 3 cells, the header has 2"},
	} {
		cells, err := r.Read()
		if !reflect.DeepEqual(cells, want.cells) {
			t.Errorf("%d: got %q, want %q", i, cells, want.cells)
		}
		var bad *table.RowError
		if errors.As(err, &bad) != (want.says != "") || err != nil && !strings.Contains(err.Error(), want.says) {
			t.Errorf("%d: got %v, want %q", i, err, want.says)
		}
	}
	if _, err := r.Read(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestReadAllStopsAtABadRow(t *testing.T) {
	if rows, err := NewRecordReader("f", strings.NewReader("a\nb"), Dialect{}).CSV().ReadAll(); err != nil || len(rows) != 2 {
		t.Errorf("got %q, %v", rows, err)
	}
	if rows, err := NewRecordReader("f", strings.NewReader("a\nb\tc"), Dialect{}).CSV().ReadAll(); err == nil || rows != nil {
		t.Errorf("got %q, %v", rows, err)
	}
}

func TestARecordErrorKeepsItsRecord(t *testing.T) {
	r := NewRecordReader("f", strings.NewReader("a\nb\tc\nd\n"), Dialect{}).CSV()
	_, _ = r.Read()
	_, err := r.Read()
	_, _ = r.Read()
	var bad *table.RowError
	if !errors.As(err, &bad) || string(bad.Raw) != "b\tc" || bad.Position.Line != 2 || bad.Position.Record != 1 {
		t.Errorf("got %+v", bad)
	}
}
