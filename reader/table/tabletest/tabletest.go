// Package tabletest holds what is true of the tables of every format.
//
// What goes in: a function that opens a table of given records. What comes out: failed
// tests.
package tabletest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"poolfill/reader/table"
)

// Records are those of an input, the header first. An error is where it breaks off.
type Records = iter.Seq2[[]string, error]

// Format says how the tables of a format are opened.
type Format struct {
	// Open writes records as the format has them, and opens what it wrote. Records of a
	// long input are made as they are asked for, and should be written so.
	Open func(t testing.TB, records Records, o table.Options) (table.Table, error)
	// Holds reports whether an input can have a record; nil means any.
	Holds func(cells []string) bool
	// Bad opens inputs that are no table, by what is wrong with them. Opening each, or
	// reading it, must end with an *InputError or a *ReadError.
	Bad map[string]func(o table.Options) (table.Table, error)
}

// errCable is what inputs break off with.
var errCable = errors.New("the cable is out")

// Run tests a format.
func Run(t *testing.T, f Format) {
	t.Run("records come in order, with their cells and positions", f.order)
	t.Run("many goroutines cut what one does", f.parallel)
	t.Run("from each mark on come the records behind it", f.marks)
	t.Run("a mark of another input is an error", f.misplaced)
	t.Run("an input that breaks off gives its records first", f.broken)
	t.Run("records over a limit have a finding and no text", f.limits)
	t.Run("what no cell may hold is found in its column", f.badBytes)
	t.Run("memory doesn't grow with the input", f.memory)
	t.Run("a table can be closed while it is read", f.closing)
	t.Run("bad inputs are errors", f.bad)
}

// sample has records with all that cells may hold, and so many more.
func (f Format) sample(more int) [][]string {
	records := [][]string{
		{"INPUT:a", "INPUT:b"},
		{"1", "one"},
		{"", "no first cell"},
		{"3", ""},
		{"4", "слово, and \"quotes\""},
		{"5", "two\nlines"},
		{" 6 ", "a\ttab; a|pipe"},
		{"7", "\"all\""},
		{"8", strings.Repeat("long ", 200)},
	}
	for i := range more {
		records = append(records, []string{fmt.Sprint(i), strings.Repeat("x", i%50)})
	}
	return f.held(records)
}

// held returns the records that the format can hold.
func (f Format) held(records [][]string) [][]string {
	return slices.DeleteFunc(records, func(cells []string) bool { return f.Holds != nil && !f.Holds(cells) })
}

// each returns the records of a list, and then an error unless it is nil.
func each(records [][]string, end error) Records {
	return func(yield func([]string, error) bool) {
		for _, cells := range records {
			if !yield(cells, nil) {
				return
			}
		}
		if end != nil {
			yield(nil, end)
		}
	}
}

func (f Format) open(t testing.TB, records Records, o table.Options) table.Table {
	t.Helper()
	opened, err := f.Open(t, records, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() }) // the test of closing looks at its error
	return opened
}

// show is a record as text that outlives its block.
func show(rec *table.Record) string {
	return fmt.Sprintf("%+v %q %q %+v", rec.Position, bytes.Join(rec.Cells, []byte{0}), rec.Raw, rec.Findings)
}

// readAll returns the records that are left in a table, found so many at once.
func readAll(opened table.Table, most int) (records []string, marks []table.Mark, err error) {
	b := opened.NewBlock()
	var rec table.Record
	for err == nil {
		b.Reset()
		err = b.Find(most)
		for i := range b.Len() {
			b.Cut(i, &rec)
			records = append(records, show(&rec))
		}
		if _, to := b.Marks(); b.Len() > 0 {
			marks = append(marks, to)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return records, marks, err
}

func (f Format) order(t *testing.T) {
	want := f.sample(1000)
	opened := f.open(t, each(want, nil), table.Options{BlockBytes: 1000})
	if header := opened.Header(); !sameCells(header.Cells, want[0]) || header.Position.Record != 0 || header.Raw == nil {
		t.Errorf("the header is %s", show(&header))
	}
	b, number := opened.NewBlock(), int64(0)
	var before table.Record
	for err := error(nil); err == nil; {
		b.Reset()
		err = b.Find(7)
		if b.Len() > 7 || b.Len() == 0 && err == nil {
			t.Fatalf("a block of %d records", b.Len())
		}
		for i := range b.Len() {
			var rec table.Record
			b.Cut(i, &rec)
			number++
			at := rec.Position
			if at.Record != number || at.Line <= before.Position.Line || at.Offset < before.Position.Offset || at.File != opened.Header().Position.File {
				t.Fatalf("record %d is at %+v, behind %+v", number, at, before.Position)
			}
			if !sameCells(rec.Cells, want[number]) || len(rec.Findings) > 0 {
				t.Fatalf("record %d is %s, want %q", number, show(&rec), want[number])
			}
			before.Position = at
		}
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if err != nil && !errors.Is(b.Find(1), err) {
			t.Error("the end doesn't come again")
		}
	}
	if int(number) != len(want)-1 {
		t.Errorf("%d of %d records", number, len(want)-1)
	}
}

func sameCells(cells [][]byte, want []string) bool {
	return slices.EqualFunc(cells, want, func(cell []byte, want string) bool { return string(cell) == want })
}

func (f Format) parallel(t *testing.T) {
	o := table.Options{BlockBytes: 3000}
	want, _, err := readAll(f.open(t, each(f.sample(5000), nil), o), 100)
	if err != nil {
		t.Fatal(err)
	}
	opened := f.open(t, each(f.sample(5000), nil), o)
	got := make([]string, len(want))
	var running sync.WaitGroup
	for first, err := 0, error(nil); err == nil; {
		b := opened.NewBlock()
		err = b.Find(100)
		to := got[first:]
		running.Go(func() {
			var rec table.Record
			for i := range b.Len() {
				b.Cut(i, &rec)
				to[i] = show(&rec)
			}
		})
		first += b.Len()
	}
	if running.Wait(); !slices.Equal(got, want) {
		t.Error("the records differ")
	}
}

func (f Format) marks(t *testing.T) {
	records := f.sample(60)
	for _, most := range []int{1, 7} {
		want, marks, err := readAll(f.open(t, each(records, nil), table.Options{}), most)
		if err != nil || len(marks) < 2 {
			t.Fatal(marks, err)
		}
		for _, m := range marks[:len(marks)-1] {
			opened := f.open(t, each(records, nil), table.Options{BlockBytes: 200})
			if err := opened.Seek(m); err != nil {
				t.Fatal(err)
			}
			got, _, err := readAll(opened, 10)
			if behind := want[m.Record-1:]; err != nil || !slices.Equal(got, behind) {
				t.Fatalf("from %+v on: %v, %q\nwant %q", m, err, got, behind)
			}
		}
	}
}

func (f Format) misplaced(t *testing.T) {
	for _, m := range []table.Mark{{}, {Offset: 1 << 40, Line: 1 << 30, Record: 1 << 30}} {
		if err := f.open(t, each(f.sample(3), nil), table.Options{}).Seek(m); err == nil {
			t.Errorf("the mark %+v is taken", m)
		}
	}
}

func (f Format) broken(t *testing.T) {
	opened := f.open(t, each(f.sample(500), errCable), table.Options{BlockBytes: 500})
	records, _, err := readAll(opened, 50)
	var failed *table.ReadError
	if len(records) != len(f.sample(500))-1 || !errors.As(err, &failed) || !errors.Is(err, errCable) || failed.Line < 1 {
		t.Errorf("%d records, then %v", len(records), err)
	}
	if again := opened.NewBlock().Find(1); !errors.Is(again, errCable) {
		t.Errorf("then %v", again)
	}
}

func (f Format) limits(t *testing.T) {
	records := [][]string{{"a", "b"}, {"1", strings.Repeat("x", 60)}, {"2", "y"}, {strings.Repeat("z", 40), strings.Repeat("z", 40)}, {"4", "y"}}
	opened := f.open(t, each(f.held(records), nil), table.Options{MaxCellBytes: 50, MaxRecordBytes: 70})
	for b, number := opened.NewBlock(), 0; ; {
		b.Reset()
		err := b.Find(1)
		for i := range b.Len() {
			var rec table.Record
			b.Cut(i, &rec)
			number++
			if broken := number%2 == 1; broken != (len(rec.Findings) > 0) || broken != (rec.Raw == nil) {
				t.Errorf("record %d: %s", number, show(&rec))
			}
		}
		if err != nil {
			if number != 4 {
				t.Errorf("%d records, then %v", number, err)
			}
			return
		}
	}
}

func (f Format) badBytes(t *testing.T) {
	// Bytes that are bad for a text as a whole stand behind what is looked at first.
	records := append(f.sample(5000), []string{"1", "\x00"}, []string{"\x1A", "2"}, []string{"3", "a\uFEFFb"}, []string{"\"\xFF", "4"}, []string{"5", "good"})
	opened := f.open(t, each(records, nil), table.Options{})
	var got []string
	b := opened.NewBlock()
	for err := error(nil); err == nil; {
		b.Reset()
		err = b.Find(1000)
		for i := range b.Len() {
			var rec table.Record
			b.Cut(i, &rec)
			for _, found := range rec.Findings {
				got = append(got, fmt.Sprint(found.Column, " ", found.Code))
			}
		}
	}
	want := []string{"2 " + table.CodeNulByte, "1 " + table.CodeControlCharacter, "2 " + table.CodeByteOrderMark, "1 " + table.CodeEncoding}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func (f Format) memory(t *testing.T) {
	const rows = 200_000
	cells := []string{"https://example.com/some/image.jpg", "a title, \"quoted\""}
	opened := f.open(t, func(yield func([]string, error) bool) {
		for range rows {
			if !yield(cells, nil) {
				return
			}
		}
	}, table.Options{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b, number := opened.NewBlock(), 0
	var rec table.Record
	for blocks, err := 0, error(nil); err == nil; blocks++ {
		b.Reset()
		err = b.Find(4096)
		for i := range b.Len() {
			b.Cut(i, &rec)
		}
		number += b.Len()
		if blocks%16 != 0 {
			continue
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 20*table.BlockBytes {
			t.Fatalf("%d bytes are kept after %d records", grown, number)
		}
	}
	if number != rows-1 {
		t.Errorf("%d records", number)
	}
}

func (f Format) closing(t *testing.T) {
	for _, first := range []int{0, 1, 100} {
		opened := f.open(t, each(f.sample(20_000), nil), table.Options{BlockBytes: 1000})
		if first > 0 {
			if err := opened.NewBlock().Find(first); err != nil {
				t.Fatal(err)
			}
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for b := opened.NewBlock(); b.Find(10) == nil; {
				b.Reset()
			}
		}()
		for range 2 {
			if err := opened.Close(); err != nil {
				t.Error(err)
			}
		}
		<-ended
	}
}

func (f Format) bad(t *testing.T) {
	for what, open := range f.Bad {
		opened, err := open(table.Options{})
		if err == nil {
			_, _, err = readAll(opened, 10)
		}
		var refused *table.InputError
		var failed *table.ReadError
		if !errors.As(err, &refused) && !errors.As(err, &failed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Storage is a table.Storage of UTF-8 text, for tests.
type Storage struct {
	name string
	text io.Reader
	head []byte
	all  bool
}

// NewStorage returns the storage of a text, whose start is read.
func NewStorage(name string, text io.Reader) *Storage {
	s := &Storage{name: name, head: make([]byte, 64<<10)}
	n, err := io.ReadFull(text, s.head)
	s.head, s.all = s.head[:n], err != nil
	s.text = io.MultiReader(bytes.NewReader(s.head), text)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.text = io.MultiReader(bytes.NewReader(s.head), failing{err})
	}
	return s
}

// Name returns the name.
func (s *Storage) Name() string { return s.name }

// Text returns the text as it is.
func (s *Storage) Text() (*table.Text, error) {
	return &table.Text{Reader: s.text, Name: s.name, Head: s.head, Whole: s.all}, nil
}

// Bytes returns the same.
func (s *Storage) Bytes() io.Reader { return s.text }

// failing is a reader that returns an error only.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Lines returns the text of records that are written one after the other, as it is read.
func Lines(records Records, write func(cells []string) string) io.Reader {
	next, stop := iter.Pull2(records)
	return &lines{next: next, stop: stop, write: write}
}

type lines struct {
	next  func() ([]string, error, bool)
	stop  func()
	write func(cells []string) string
	text  bytes.Buffer
	err   error
}

// Read makes as many lines as there is room for.
func (l *lines) Read(p []byte) (int, error) {
	for l.err == nil && l.text.Len() < len(p) {
		cells, err, ok := l.next()
		if l.err = err; !ok {
			l.err = io.EOF
		}
		if l.err == nil {
			l.text.WriteString(l.write(cells))
		} else {
			l.stop()
		}
	}
	if l.text.Len() == 0 {
		return 0, l.err
	}
	return l.text.Read(p)
}
