package reader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"poolfill/reader/table"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// given is all that a reader gives, in a form that tests compare.
type given struct {
	Rows     []string
	Err      string
	Warnings []Warning
	Bytes    int64
	SHA256   string
}

func (g *given) row(row Row) {
	if e := row.Err; e != nil {
		g.Rows = append(g.Rows, fmt.Sprintf("%+v %+v %t %q", e.Position, e.Findings, e.Raw == nil, e.Raw))
		return
	}
	t := row.Task
	g.Rows = append(g.Rows, fmt.Sprintf("%+v %d %s %d %d %q", t.Position, t.Kind, t.JSON, t.InputBytes, t.OutputBytes, t.Raw))
}

func (g *given) end(err error) {
	g.Err = fmt.Sprintf("%T %v", err, err)
}

// blockSize says how much is read and parsed in one go.
type blockSize struct{ bytes, rows int }

// oneRecord reads one record after the other, each in a block of its own.
type oneRecord struct {
	table table.Table
	block table.Block
	odd   warningLog
}

// recordsOf opens the table of an input.
func recordsOf(in *input, cfg Config) (*oneRecord, error) {
	t, err := cfg.formats()[0].Open(in, cfg.options())
	if err != nil {
		return nil, err
	}
	return &oneRecord{table: t, block: t.NewBlock()}, nil
}

func (o *oneRecord) Read() (rec table.Record, err error) {
	o.block.Reset()
	err = o.block.Find(1)
	if o.block.Len() > 0 {
		o.block.Cut(0, &rec)
		err = nil
	}
	o.odd.mergeAll(o.block.Warnings())
	return rec, err
}

// oneByOne is what a Reader must do, record after record: the reference.
func oneByOne(name string, src io.Reader, cfg Config) (g given) {
	in, err := newInput(name, src, cfg.Encoding)
	if err != nil {
		g.end(err)
		return g
	}
	records, err := recordsOf(in, cfg)
	if err != nil {
		g.end(err)
		return g
	}
	r := &Reader{cfg: cfg, table: records.table}
	if err := r.mapHeader(name); err != nil {
		g.end(err)
		return g
	}
	b := newRowBuilder(r.mapping, &cfg, &r.warnings)
	p := parser{mapping: r.mapping, builder: b}
	for read := int64(0); ; {
		if cfg.LimitRows > 0 && int64(len(g.Rows)) == cfg.LimitRows {
			err = io.EOF
			break
		}
		var rec table.Record
		if rec, err = records.Read(); err != nil {
			if errors.Is(err, io.EOF) && read == 0 {
				err = table.Refuse(name, CodeNoRows, 0, "the file has a header and no row after it: there is nothing to upload")
			}
			break
		}
		if read++; read > cfg.SkipRows {
			var row Row
			p.row(&row, &rec)
			g.row(row)
		}
	}
	g.end(err)
	r.odd = records.odd
	g.Warnings = r.Warnings()
	g.Bytes, g.SHA256 = in.stored.bytes, in.stored.sum
	return g
}

// inBatches reads with goroutines and blocks of a size. Every third batch is
// kept until the end.
func inBatches(t rapid.TB, name string, src io.Reader, cfg Config, parallel int, size blockSize) (g given) {
	in, err := newInput(name, src, cfg.Encoding)
	if err != nil {
		g.end(err)
		return g
	}
	o := cfg.options()
	o.BlockBytes = size.bytes
	opened, err := cfg.formats()[0].Open(in, o)
	if err != nil {
		g.end(err)
		return g
	}
	r, err := newReader(in, "delimited", opened, cfg)
	if err != nil {
		g.end(err)
		return g
	}
	r.parallel, r.pool, r.finder.most = parallel, newBlockPool(parallel, opened), size.rows
	kept := map[*Batch][]string{}
	for number := 0; ; number++ {
		batch, err := r.NextBatch()
		if err != nil {
			g.end(err)
			break
		}
		if len(batch.Rows) == 0 || len(batch.Rows) > size.rows {
			t.Fatalf("a batch has %d rows", len(batch.Rows))
		}
		before := len(g.Rows)
		for _, row := range batch.Rows {
			g.row(row)
		}
		if number%3 == 0 {
			kept[batch] = g.Rows[before:]
			continue
		}
		batch.Release()
		batch.Release()
	}
	for batch, rows := range kept {
		var again given
		for _, row := range batch.Rows {
			again.row(row)
		}
		if !slices.Equal(again.Rows, rows) {
			t.Errorf("a batch that was kept changed from %q to %q", rows, again.Rows)
		}
		batch.Release()
	}
	if _, err := r.NextBatch(); fmt.Sprintf("%T %v", err, err) != g.Err {
		t.Errorf("the error %s is followed by %v", g.Err, err)
	}
	g.Warnings, g.Bytes, g.SHA256 = r.Warnings(), r.Bytes(), r.Info().SHA256
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return g
}

// batchSpec has a field of each kind of check.
const batchSpec = `{"input_spec":{"a":{"type":"integer","max_value":5},"b":{"type":"boolean"},"c":{"type":"array_string","max_size":2},"d":{"type":"json"}},
	"output_spec":{"e":{"type":"string","allowed_values":["x","y"]}}}`

// FuzzBatches compares the rows of blocks with those of one record after the
// other, whatever the blocks, the goroutines and the input.
func FuzzBatches(f *testing.F) {
	for i, seed := range fuzzSeeds {
		f.Add(seed, uint8(i), uint8(3*i), uint8(i))
	}
	for i, seed := range []string{
		"INPUT:a\tINPUT:b\tGOLDEN:e\n1\tTRUE\tx\n\t\t\n\"2\"\ttrue\t\"x\"\n9\tno\tz\n\"a\" b\t\t\n\n3\ttrue\ty\n",
		"INPUT:a,INPUT:c,INPUT:d\n1,\"a,b,c\",\"{\"\"k\"\": 1}\"\n1,\"x\ny\",[1\n\xFF,\x00,\uFEFF\n\"1,2,3\n\"4\",5,6\n,,\n,,",
		"a\n1\n" + strings.Repeat("x", 600) + "\n3\n\"" + strings.Repeat("y\n", 30) + "\"\n2\n",
		"a\tb\n1\t2\n" + strings.Repeat("x", 50) + "\t" + strings.Repeat("y", 50) + "\n3\t4\n",
	} {
		f.Add(seed, uint8(i), uint8(7*i), uint8(i))
		f.Add(seed, uint8(64+i), uint8(2*i), uint8(128+i))
		f.Add(seed, uint8(64), uint8(0), uint8(255))
	}
	f.Fuzz(func(t *testing.T, text string, flags, more, blocks uint8) {
		cfg := Config{
			Delimiter: []byte("\t,;|")[flags&3],
			Quotes:    []QuoteMode{QuotesAuto, QuotesToloka, QuotesNone, QuotesAuto}[flags>>2&3],
			Multiline: flags&16 != 0, KeepLineEnds: flags&32 != 0,
			SkipRows: int64(more & 3), LimitRows: int64(more >> 2 & 3), TrustServer: more&16 != 0,
		}
		if flags&64 != 0 {
			cfg.MaxCellBytes, cfg.MaxRecordBytes = 20, 40
		}
		if more&32 != 0 {
			cfg.Spec = specOf(t, batchSpec)
		}
		if more&64 != 0 {
			cfg.Encoding = "windows-1252"
		}
		source := func() io.Reader {
			var src io.Reader = strings.NewReader(text)
			if flags&128 != 0 {
				src = io.MultiReader(src, iotest.ErrReader(errors.New("the cable is out")))
			}
			if more&128 != 0 {
				src = iotest.OneByteReader(src)
			}
			return src
		}
		want := oneByOne("f", source(), cfg)
		got := inBatches(t, "f", source(), cfg, 1+int(blocks&3), blockSize{bytes: 1 + 15*int(blocks>>2&15), rows: 1 + 3*int(blocks>>6)})
		if cfg.LimitRows > 0 {
			got.Bytes, got.SHA256 = want.Bytes, want.SHA256 // how far was read is not the same
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-one by one +in batches):\n%s", diff)
		}
	})
}

// longText is more than the head of an input, with rows of all kinds.
func longText(rows int) string {
	var text strings.Builder
	text.WriteString("INPUT:a\tINPUT:b\tINPUT:c\tGOLDEN:e\n")
	for i := range rows {
		switch i % 50 {
		case 7:
			fmt.Fprintf(&text, "%d\ttrue\t\"one, \"\"two\"\"\nand three\"\tx\n", i%7)
		case 19:
			fmt.Fprintf(&text, "%d\tTrue\ta\\,b,c\t5\" x\n\t\t\t\n", i%7)
		case 33:
			bad := "\x1A"
			if i > 10_000 {
				bad = "\xFF" // nothing that the head may have
			}
			fmt.Fprintf(&text, "%d\t%s\t%s\tx\ty\n", i, bad, strings.Repeat("z", i%3000))
		default:
			fmt.Fprintf(&text, "%d\ttrue\tword %d\ty\n", i%7, i)
		}
	}
	return text.String()
}

func TestLongInputsComeInBatchesInOrder(t *testing.T) {
	text := longText(20_000)
	for name, stored := range map[string]string{"plain": text, "gzip": gzipped(t, text), "zstd": zstded(t, text)} {
		for _, parallel := range []int{1, 2, 5} {
			t.Run(fmt.Sprint(name, parallel), func(t *testing.T) {
				cfg := Config{Spec: specOf(t, batchSpec), SkipRows: 123}
				want := oneByOne("f", strings.NewReader(stored), cfg)
				got := inBatches(t, "f", strings.NewReader(stored), cfg, parallel, blockSize{bytes: table.BlockBytes, rows: blockRows})
				if !reflect.DeepEqual(want, got) { // the difference takes long to look for
					t.Fatalf("(-one by one +in batches):\n%.5000s", cmp.Diff(want, got))
				}
				if len(got.Rows) != 20_000-123 || got.SHA256 == "" || len(got.Warnings) < 3 {
					t.Errorf("%d rows, hash %q, %+v", len(got.Rows), got.SHA256, got.Warnings)
				}
			})
		}
	}
}

func TestInputsThatBreakOffGiveTheirRowsFirst(t *testing.T) {
	text := longText(1000)
	rapid.Check(t, func(t *rapid.T) {
		text := text[:rapid.IntRange(0, len(text)).Draw(t, "length")]
		parallel := rapid.IntRange(1, 3).Draw(t, "parallel")
		size := blockSize{bytes: rapid.SampledFrom([]int{100, 5000, table.BlockBytes}).Draw(t, "bytes"), rows: rapid.SampledFrom([]int{1, 100, blockRows}).Draw(t, "rows")}
		source := func() io.Reader {
			return io.MultiReader(strings.NewReader(text), iotest.ErrReader(errors.New("the cable is out")))
		}
		want, got := oneByOne("f", source(), Config{}), inBatches(t, "f", source(), Config{}, parallel, size)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-one by one +in batches):\n%.5000s", diff)
		}
	})
}

// inFile writes a text and opens it with two goroutines that parse.
func inFile(t *testing.T, text string, cfg Config) *Reader {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.tsv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Parallel = 2
	r, err := Open(t.Context(), path, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestClosingEndsTheGoroutines(t *testing.T) {
	text := longText(30_000)
	for _, batches := range []int{0, 1, 3} {
		r := inFile(t, text, Config{})
		for range batches {
			if _, err := r.NextBatch(); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			goleak.VerifyNone(t)
			if _, err := r.NextBatch(); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("after the end: %v", err)
			}
		}
		if sum := r.Info().SHA256; sum != "" {
			t.Errorf("the hash of an input whose rows were not all given: %s", sum)
		}
	}
}

func TestTheHashComesWithTheLastRow(t *testing.T) {
	r := inFile(t, longText(2500), Config{})
	closeLater(t, r)
	for {
		batch, err := r.NextBatch()
		if err != nil {
			break
		}
		r.ahead.wait() // all is read then: the queue has room for it
		if sum := r.Info().SHA256; sum != "" && r.err == nil {
			t.Fatal("it comes before the end")
		}
		batch.Release()
	}
	if r.Info().SHA256 == "" {
		t.Error("it never comes")
	}
}

func TestASlowInputKeepsNoRowsAndNoCallerWaiting(t *testing.T) {
	source, writer := io.Pipe()
	head := longText(2000) // more than the head
	written := make(chan error)
	go func() {
		_, err := io.WriteString(writer, head+"1\ttrue\tthe last\ty\n")
		written <- err
	}()
	r, err := New("-", source, Config{Parallel: 2})
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for !strings.Contains(last, "the last") {
		row, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		last = string(row.Task.JSON)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	// Nothing more comes, and nothing says that it doesn't.
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := writer.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t)
}

func TestABatchAfterNextHasTheRowsThatAreLeft(t *testing.T) {
	r := inFile(t, longText(50), Config{})
	closeLater(t, r)
	for number := int64(1); number < 4; number++ {
		if row, err := r.Next(); err != nil || row.Task.Position.Record != number {
			t.Fatalf("%+v, %v", row, err)
		}
	}
	batch, err := r.NextBatch()
	if err != nil || batch.Rows[0].Task.Position.Record != 4 || len(batch.Rows) != 47 {
		t.Fatalf("%+v, %v", batch, err)
	}
	batch.Release()
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestShortInputsAndOpeningStartNoGoroutine(t *testing.T) {
	short, long := inFile(t, longText(50), Config{}), inFile(t, longText(5000), Config{})
	closeLater(t, short)
	closeLater(t, long)
	if _, err := short.Next(); err != nil {
		t.Fatal(err)
	}
	if short.ahead != nil || long.ahead != nil {
		t.Error("goroutines were started")
	}
	if _, err := long.Next(); err != nil || long.ahead == nil {
		t.Errorf("no goroutines for a long input: %v", err)
	}
}

func TestRowsCostNoAllocationWhateverTheirNumber(t *testing.T) {
	const few, many = 20_000, 100_000
	allocations := func(rows int) float64 {
		text, spec := tenFields(t, rows)
		return testing.AllocsPerRun(1, func() {
			r, err := New("f.tsv", bytes.NewReader(text), Config{Spec: spec, Parallel: 2})
			if err != nil {
				t.Fatal(err)
			}
			given := 0
			for {
				batch, err := r.NextBatch()
				if err != nil {
					break
				}
				given += len(batch.Rows)
				batch.Release()
			}
			if err := r.Close(); err != nil || given != rows {
				t.Fatal(given, err)
			}
		})
	}
	// Only a batch itself is new.
	if more := allocations(many) - allocations(few); more > (many-few)/100 {
		t.Errorf("%v allocations for %d rows more", more, many-few)
	}
}

func TestAReaderKeepsFewBlocksAndNoLargeOnes(t *testing.T) {
	var text strings.Builder
	text.WriteString("INPUT:a\n")
	for i := range 24 {
		text.WriteString(strings.Repeat("x", 100_000*(1+i%12)) + "\n")
	}
	r := inFile(t, text.String(), Config{})
	closeLater(t, r)
	for {
		batch, err := r.NextBatch()
		if err != nil {
			break
		}
		if alive := len(r.ahead.queue) + len(r.pool.free); alive > 4 {
			t.Errorf("%d blocks", alive)
		}
		batch.Release()
	}
	for len(r.pool.free) > 0 {
		if b := <-r.pool.free; cap(b.json) > spareBytes {
			t.Errorf("a block keeps %d bytes of JSON", cap(b.json))
		}
	}
}

var fuzzSeeds = []string{
	"", "a\tb\n1\t2\n", "a,b\r\n\"x\ny\",2\r\n", "a,b\n\"x,1\ny,2\n", "\uFEFFa\r\r\nb\r\rc", "\"a\"b,\"c\n\"d,e\n",
	"a,b\n,\n\"\",\"\"\n", "a\x00,\x1A\xFF\n\uFEFF", "\"\"\"\n\"\"\"\n", "a,\"b\n\",\"c\n", "a;b|c\n1;2|3", "\"", "\r", "a,b\n5\" x,6\"\n",
}
