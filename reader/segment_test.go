package reader

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"poolfill/reader/table"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"
)

// readFile returns all that a reader gives of a file.
func readFile(t rapid.TB, path string, cfg Config) (g given) {
	r, err := Open(context.Background(), path, nil, cfg)
	if err != nil {
		g.end(err)
		return g
	}
	for {
		row, err := r.Next()
		if err != nil {
			g.end(err)
			break
		}
		g.row(row)
	}
	g.Warnings, g.Bytes, g.SHA256 = r.Warnings(), r.Bytes(), r.Info().SHA256
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return g
}

// checkSegments compares the segments of a file with the whole, and returns them.
func checkSegments(t rapid.TB, path string, cfg Config, rows int64) []Segment {
	whole := readFile(t, path, cfg)
	var segments []Segment
	info, err := Cut(context.Background(), path, cfg, rows, func(s Segment) error {
		segments = append(segments, s)
		return nil
	})
	var got given
	got.end(err)
	if err == nil {
		got.end(io.EOF)
		if info.SHA256 != whole.SHA256 || cfg.LimitRows == 0 && info.Bytes != whole.Bytes {
			t.Fatalf("cutting gives %d bytes and the hash %s, reading %d and %s", info.Bytes, info.SHA256, whole.Bytes, whole.SHA256)
		}
	}
	for i, s := range segments {
		if i < len(segments)-1 && s.Rows != rows || s.Rows < 1 || s.Rows > rows {
			t.Fatalf("segment %d of %d has %d rows, not %d", i, len(segments), s.Rows, rows)
		}
		part := readFile(t, path, s.Config(cfg))
		if int64(len(part.Rows)) != s.Rows || part.Err != "*errors.errorString EOF" {
			t.Fatalf("segment %d: %d rows of %d, %s", i, len(part.Rows), s.Rows, part.Err)
		}
		got.Rows = append(got.Rows, part.Rows...)
	}
	if diff := cmp.Diff(whole.Rows, got.Rows); diff != "" || whole.Err != got.Err {
		t.Fatalf("whole: %s, cut: %s, %s", whole.Err, got.Err, diff)
	}
	return segments
}

// storeAs returns a text as a file may have it: with a byte order mark, in
// another charset, compressed.
func storeAs(t testing.TB, text, form string, cfg *Config) string {
	t.Helper()
	switch form {
	case "BOM":
		return table.ByteOrderMark + text
	case "UTF-16":
		return utf16(t, unicode.BigEndian, "\uFEFF"+strings.ToValidUTF8(text, "?"))
	case "windows-1251":
		cfg.Encoding = form
		return text
	case "gzip":
		return gzipped(t, text)
	case "zstd":
		return zstded(t, table.ByteOrderMark+text)
	}
	return text
}

var storedForms = []string{"", "BOM", "UTF-16", "windows-1251", "gzip", "zstd"}

func TestSegmentsAreTheWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	pieces := []string{
		"a", "1", "слово", "\xFF", "\x00", ",", ",,", "\"", "\"\"", "\"x\ny\"", "\"a,b\"", "\"a,b\nc,d\"", "\n", "\n", "\r\n", "\r", "\r\r\n",
		"1,2\n", "1,2\r\n", "\n\n", ",\n", "\"q\",2\n", "1,\"over\nlines\"\n", "1,2,3\n", strings.Repeat("long", 20) + ",2\n", "\"",
	}
	padding := strings.Repeat("a row to fill,the head\n", headSize/20)
	rapid.Check(t, func(rt *rapid.T) {
		text := "a,b\n"
		if rapid.Bool().Draw(rt, "padded") {
			text += padding
		}
		text += strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 60).Draw(rt, "text"), "")
		cfg := Config{
			Quotes:    rapid.SampledFrom([]QuoteMode{QuotesAuto, QuotesToloka, QuotesNone}).Draw(rt, "quotes"),
			Multiline: rapid.Bool().Draw(rt, "multiline"),
			Parallel:  rapid.IntRange(1, 2).Draw(rt, "parallel"),
			SkipRows:  rapid.SampledFrom([]int64{0, 0, 3, 1000}).Draw(rt, "skip"),
			LimitRows: rapid.SampledFrom([]int64{0, 0, 4, 3500}).Draw(rt, "limit"),
		}
		if rapid.Bool().Draw(rt, "limits") {
			cfg.MaxCellBytes, cfg.MaxRecordBytes = 30, 60
		}
		stored := storeAs(t, text, rapid.SampledFrom(storedForms).Draw(rt, "form"), &cfg)
		if err := os.WriteFile(path, []byte(stored), 0o600); err != nil {
			rt.Fatal(err)
		}
		rows := rapid.SampledFrom([]int64{1, 2, 3, 7}).Draw(rt, "rows")
		if strings.Contains(text, padding) {
			rows = rapid.SampledFrom([]int64{900, 3000, 10_000}).Draw(rt, "many rows")
		}
		checkSegments(rt, path, cfg, rows)
	})
}

func FuzzSegments(f *testing.F) {
	for i, seed := range fuzzSeeds {
		f.Add(seed, uint8(i), uint8(i%3))
	}
	path := filepath.Join(f.TempDir(), "a.csv")
	f.Fuzz(func(t *testing.T, text string, flags, rows uint8) {
		cfg := Config{
			Delimiter: []byte("\x00\t,;")[flags&3],
			Quotes:    []QuoteMode{QuotesAuto, QuotesToloka, QuotesNone, QuotesAuto}[flags>>2&3],
			Multiline: flags&16 != 0, KeepLineEnds: flags&32 != 0, Parallel: 1,
		}
		if flags&64 != 0 {
			cfg.MaxCellBytes, cfg.MaxRecordBytes = 5, 11
		}
		stored := text
		if flags&128 != 0 {
			stored = gzipped(t, text)
		}
		if err := os.WriteFile(path, []byte(stored), 0o600); err != nil {
			t.Fatal(err)
		}
		checkSegments(t, path, cfg, int64(rows)+1)
	})
}

func TestCutsSayWhereRowsAre(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	text := table.ByteOrderMark + "\na,b\n1,2\n\n3,\"4\nx\"\n,\n5,6\n7,8\n\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(s string) int64 { return int64(strings.Index(text, s)) }
	want := []Segment{
		{Mark{Offset: at("1,2"), Line: 3, Record: 1}, 2, at(",\n5") - at("1,2")},
		{Mark{Offset: at(",\n5"), Line: 7, Record: 3}, 2, at("\n\n") + int64(len(text)) - 1 - at("\n\n") - at(",\n5")},
	}
	got := checkSegments(t, path, Config{}, 2)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// What is odd about the lines of a segment is told by their own numbers.
	warnings := func(s Segment) (lines []int64) {
		g := readFile(t, path, s.Config(Config{}))
		for _, w := range g.Warnings {
			lines = append(lines, w.Lines...)
		}
		return lines
	}
	if first, second := warnings(got[0]), warnings(got[1]); len(first) != 0 || !slices.Equal(second, []int64{7}) {
		t.Errorf("warnings at lines %v and %v", first, second)
	}
}

func TestMarksThatDoNotFit(t *testing.T) {
	dir := t.TempDir()
	text := "a,b\n1,2\n3,4\n"
	for form, name := range map[string]string{"": "plain", "gzip": "packed"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(storeAs(t, text, form, nil)), 0o600); err != nil {
			t.Fatal(err)
		}
		for what, m := range map[string]Mark{
			"inside the header": {Offset: 2, Line: 1, Record: 1},
			"inside a line":     {Offset: 5, Line: 2, Record: 1},
			"behind its end":    {Offset: 100_000, Line: 9, Record: 7},
			"there is none":     {Offset: int64(len(text)), Line: 4, Record: 3},
		} {
			g := readFile(t, path, Config{From: &m})
			if len(g.Rows) != 0 || !strings.Contains(g.Err, what) || !strings.Contains(g.Err, "changed") {
				t.Errorf("%s, %s: %+v", name, what, g)
			}
		}
	}
	if g := readFile(t, filepath.Join(dir, "plain"), Config{From: &Mark{}}); !strings.Contains(g.Err, "no row can begin at offset 0") {
		t.Errorf("an empty mark: %+v", g)
	}
	if cfg := (Config{From: &Mark{Offset: 4, Line: 2, Record: 1}, SkipRows: 1}); cfg.Validate() == nil {
		t.Errorf("%+v is taken", cfg)
	}
}

func TestCutsThatCannotBe(t *testing.T) {
	none := func(Segment) error { return nil }
	path := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(path, []byte("a,b\n1,2\n3,4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"no rows":          second(Cut(t.Context(), path, Config{}, 0, none)),
		"standard input":   second(Cut(t.Context(), "-", Config{}, 1, none)),
		"a segment of one": second(Cut(t.Context(), path, Config{From: &Mark{Offset: 4, Line: 2, Record: 1}}, 1, none)),
		"no file":          second(Cut(t.Context(), path+"x", Config{}, 1, none)),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	enough, calls := errors.New("enough"), 0
	_, err := Cut(t.Context(), path, Config{}, 1, func(Segment) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func second[A, B any](_ A, b B) B { return b }

// The rows before a segment of a plain file are not read.
func TestASegmentIsReadAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(path, []byte("a,b\n"+strings.Repeat("some,row\n", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	var last Segment
	if _, err := Cut(t.Context(), path, Config{}, 1000, func(s Segment) error { last = s; return nil }); err != nil {
		t.Fatal(err)
	}
	if g := readFile(t, path, last.Config(Config{})); g.Bytes > 4*headSize || g.SHA256 != "" {
		t.Errorf("%d bytes were read, the hash is %q", g.Bytes, g.SHA256)
	}
}

func BenchmarkCut(b *testing.B) {
	path := filepath.Join(b.TempDir(), "a.csv")
	text := "a,b\n" + strings.Repeat("https://example.com/some/image.jpg,\"a title, quoted\"\nhttps://example.com/another/image.jpg,a title\n", 1<<18)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Cut(b.Context(), path, Config{}, 100_000, func(Segment) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
