package reader

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

func closeLater(t testing.TB, c io.Closer) {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstded(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func xzed(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// bzipped is "a\tb\n1\t2\n" as bzip2, for which there is no writer here.
func bzipped(t testing.TB) string {
	t.Helper()
	b, err := hex.DecodeString(bzip2Hex)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const (
	smallText = "a\tb\n1\t2\n"
	bzip2Hex  = "425a68393141592653593cc7e9c90000034900003030003000200022186830074012c2ee48a70a120798fd3920"
)

func TestInputsGiveTheirTextAndSayWhatTheyAre(t *testing.T) {
	long := "a\tb\n" + strings.Repeat("some text\tи ещё\n", 20000)
	for name, c := range map[string]struct {
		stored, encoding           string
		text, compression, charset string
		offset                     int64
	}{
		"plain":                         {smallText, "", smallText, "", "utf-8", 0},
		"a byte order mark":             {table.ByteOrderMark + smallText, "", smallText, "", "utf-8", 3},
		"long":                          {long, "", long, "", "utf-8", 0},
		"gzip":                          {gzipped(t, long), "", long, "gzip", "utf-8", 0},
		"gzip of two members":           {gzipped(t, "a\tb\n") + gzipped(t, "1\t2\n"), "", smallText, "gzip", "utf-8", 0},
		"zstd":                          {zstded(t, long), "", long, "zstd", "utf-8", 0},
		"zstd of two frames":            {zstded(t, "a\tb\n") + zstded(t, "1\t2\n"), "", smallText, "zstd", "utf-8", 0},
		"xz":                            {xzed(t, long), "", long, "xz", "utf-8", 0},
		"bzip2":                         {bzipped(t), "", smallText, "bzip2", "utf-8", 0},
		"gzip of a marked text":         {gzipped(t, table.ByteOrderMark+smallText), "", smallText, "gzip", "utf-8", 3},
		"UTF-16LE with a mark":          {utf16(t, unicode.LittleEndian, "\uFEFF"+long), "", long, "", "utf-16le", 0},
		"UTF-16BE with a mark":          {utf16(t, unicode.BigEndian, "\uFEFF"+long), "", long, "", "utf-16be", 0},
		"UTF-16LE without":              {utf16(t, unicode.LittleEndian, smallText), "", smallText, "", "utf-16le", 0},
		"UTF-16BE without":              {utf16(t, unicode.BigEndian, smallText), "", smallText, "", "utf-16be", 0},
		"gzip of UTF-16":                {gzipped(t, utf16(t, unicode.LittleEndian, long)), "", long, "gzip", "utf-16le", 0},
		"windows-1251 by name":          {windows1251(t, long), "CP1251", long, "", "windows-1251", 0},
		"an IANA name":                  {"a\xE9\n1\n", "ISO_8859-1:1987", "aé\n1\n", "", "windows-1252", 0},
		"a code page of DOS":            {"a\x82\n1\n", "CP850", "aé\n1\n", "", "cp850", 0},
		"a code page by IANA's name":    {"a\x82\n1\n", "IBM00858", "aé\n1\n", "", "ibm00858", 0},
		"UTF-8 by name":                 {long, "UTF8", long, "", "utf-8", 0},
		"a mark against the name":       {table.ByteOrderMark + smallText, "windows-1251", smallText, "", "utf-8", 3},
		"a zip-like header":             {"PKID\tb\n1\t2\n", "", "PKID\tb\n1\t2\n", "", "utf-8", 0},
		"a bracket in the header":       {"[id]\tb\n1\t2\n", "", "[id]\tb\n1\t2\n", "", "utf-8", 0},
		"a brace in the header":         {"{id}\tb\n1\t2\n", "", "{id}\tb\n1\t2\n", "", "utf-8", 0},
		"a word of another format":      {"PAR1\tORC\n1\t2\n", "", "PAR1\tORC\n1\t2\n", "", "utf-8", 0},
		"a tag in the header":           {"<b>\tb\n1\t2\n", "", "<b>\tb\n1\t2\n", "", "utf-8", 0},
		"one NUL":                       {"a\tb\n1\x00\t2\n", "", "a\tb\n1\x00\t2\n", "", "utf-8", 0},
		"a character at the head's end": {strings.Repeat("x", headSize-1) + "é\n", "", strings.Repeat("x", headSize-1) + "é\n", "", "utf-8", 0},
		"bad bytes behind the head":     {long + "\xFF\n", "", long + "\xFF\n", "", "utf-8", 0},
	} {
		t.Run(name, func(t *testing.T) {
			in, text, err := opened("f", iotest.HalfReader(strings.NewReader(c.stored)), c.encoding)
			if err != nil {
				t.Fatal(err)
			}
			closeLater(t, in)
			if head := string(text.Head); head != c.text[:min(len(c.text), headSize)] {
				t.Errorf("the head is %.80q with %d bytes", head, len(head))
			}
			got, err := io.ReadAll(in)
			if err != nil || string(got) != c.text {
				t.Errorf("got %.80q with %d bytes and %v", got, len(got), err)
			}
			hash := sha256.Sum256([]byte(c.stored))
			if in.kind != c.compression || in.charset.name != c.charset || in.name != "f" ||
				in.stored.bytes != int64(len(c.stored)) || in.stored.sum != hex.EncodeToString(hash[:]) || text.Base != c.offset {
				t.Errorf("got %+v of %+v and offset %d", in, in.stored, text.Base)
			}
		})
	}
}

func utf16(t testing.TB, order unicode.Endianness, text string) string {
	t.Helper()
	s, err := unicode.UTF16(order, unicode.IgnoreBOM).NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func windows1251(t testing.TB, text string) string {
	t.Helper()
	s, err := charmap.Windows1251.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// opened returns the text of an input.
func opened(name string, r io.Reader, encoding string) (*input, *table.Text, error) {
	in, err := newInput(name, r, encoding)
	if err != nil {
		return nil, nil, err
	}
	text, err := in.Text()
	return in, text, err
}

// endless is a text made of one piece for n bytes.
type endless struct {
	piece string
	n     int64
	at    int
}

func (e *endless) Read(p []byte) (n int, err error) {
	if e.n <= 0 {
		return 0, io.EOF
	}
	for n < len(p) && int64(n) < e.n {
		k := copy(p[n:min(int64(len(p)), e.n)], e.piece[e.at:])
		n += k
		e.at = (e.at + k) % len(e.piece)
	}
	e.n -= int64(n)
	return n, nil
}

// row is a record in the form that tests compare: "line: cell|cell" or
// "line: CODE@line,column".
func row(rec table.Record) string {
	if len(rec.Findings) > 0 {
		var parts []string
		for _, f := range rec.Findings {
			parts = append(parts, fmt.Sprintf("%s@%d,%d", f.Code, f.Line, f.Column))
		}
		return fmt.Sprintf("%d: %s", rec.Position.Line, strings.Join(parts, " "))
	}
	return fmt.Sprintf("%d: %s", rec.Position.Line, bytes.Join(rec.Cells, []byte("|")))
}

func TestTheHashIsGivenOnlyAtTheEnd(t *testing.T) {
	in, err := newInput("f", strings.NewReader(strings.Repeat("abc\n", headSize)), "")
	if err != nil {
		t.Fatal(err)
	}
	if in.stored.sum != "" || in.stored.bytes == 0 {
		t.Errorf("before the end: %q after %d bytes", in.stored.sum, in.stored.bytes)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Fatal(err)
	}
	if in.stored.sum == "" {
		t.Error("at the end there is none")
	}
}

func TestWhatIsNoTextIsNamedInOneSentence(t *testing.T) {
	cyrillic := windows1251(t, "INPUT:text\n"+strings.Repeat("Съешь ещё этих мягких французских булок, да выпей чаю.\n", 20))
	for name, c := range map[string]struct {
		stored, encoding, code string
		line                   int64
		says                   []string
	}{
		"a workbook":            {"PK\x03\x04\x14\x00[Content_Types].xml\x00xl/workbook.xml", "", table.CodeNotText, 0, []string{"Excel workbook", "save the sheet as CSV"}},
		"a zip archive":         {"PK\x03\x04\x14\x00tasks.tsv", "", table.CodeNotText, 0, []string{"ZIP archive", "unpack"}},
		"an old workbook":       {"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\x00", "", table.CodeNotText, 0, []string{"old Excel"}},
		"Parquet":               {"PAR1\x15\x04\x00\x00", "", table.CodeNotText, 0, []string{"Parquet"}},
		"PDF":                   {"%PDF-1.7\n", "", table.CodeNotText, 0, []string{"PDF"}},
		"SQLite":                {"SQLite format 3\x00", "", table.CodeNotText, 0, []string{"SQLite"}},
		"HTML":                  {"\n<!DOCTYPE html><html>", "", table.CodeNotText, 0, []string{"HTML"}},
		"HTML with a mark":      {table.ByteOrderMark + "<html lang=en>", "", table.CodeNotText, 0, []string{"HTML"}},
		"JSON":                  {`[{"image": "a.jpg"}, {"image": "b.jpg"}]`, "", table.CodeNotText, 0, []string{"JSON"}},
		"JSON lines":            {"{\"a\": 1, \"b\": NaN}\n{\"a\": 2}\n", "", table.CodeNotText, 0, []string{"JSON"}},
		"JSON of numbers":       {"[1, 2,\n 3]", "", table.CodeNotText, 0, []string{"JSON"}},
		"XML":                   {`<?xml version="1.0"?><a/>`, "", table.CodeNotText, 0, []string{"XML"}},
		"a workbook in gzip":    {gzipped(t, "PK\x03\x04\x14\x00xl/workbook.xml"), "", table.CodeNotText, 0, []string{"Excel workbook"}},
		"compressed twice":      {gzipped(t, zstded(t, smallText)), "", table.CodeNotText, 0, []string{"twice", "zstd inside gzip"}},
		"binary data":           {strings.Repeat("\x01\x02\x03abc\x00\x05", 100), "", table.CodeNotText, 0, []string{"binary"}},
		"UTF-32":                {"\xFF\xFE\x00\x00a\x00\x00\x00", "", table.CodeEncoding, 0, []string{"UTF-32"}},
		"windows-1251":          {cyrillic, "", table.CodeEncoding, 2, []string{"0xD1 at offset 11", "--encoding windows-1251"}},
		"windows-1251 marked":   {table.ByteOrderMark + cyrillic, "", table.CodeEncoding, 2, []string{"offset 14"}},
		"windows-1251 as UTF-8": {cyrillic, "utf-8", table.CodeEncoding, 2, []string{"--encoding windows-1251"}},
		"cut at the end":        {"a\nb\n\xD0", "", table.CodeEncoding, 3, []string{"offset 4"}},
		"nothing":               {"", "", table.CodeEmptyFile, 0, []string{"empty"}},
		"only a mark":           {table.ByteOrderMark, "", table.CodeEmptyFile, 0, nil},
		"only a mark of UTF-16": {"\xFF\xFE", "", table.CodeEmptyFile, 0, nil},
		"only blanks":           {"  \r\n \n", "", table.CodeEmptyFile, 0, nil},
		"gzip of nothing":       {gzipped(t, ""), "", table.CodeEmptyFile, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := opened("f.csv", strings.NewReader(c.stored), c.encoding)
			var refused *InputError
			if !errors.As(err, &refused) {
				t.Fatalf("got %v", err)
			}
			f := refused.Findings[0]
			if len(refused.Findings) != 1 || f.Code != c.code || f.Line != c.line || f.Stage != verdict.StageParse {
				t.Errorf("got %+v", refused.Findings)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q doesn't say %q", err, part)
				}
			}
		})
	}
}

func TestAnUnknownEncodingIsAnErrorWithNearNames(t *testing.T) {
	for name, near := range map[string]string{
		"windows1251": "windows-1251", "win1251": "windows-1251", "koi8r": "koi8-r", "utf-32": "", "shiftjis": "shift_jis",
	} {
		_, _, err := opened("f", strings.NewReader(smallText), name)
		if err == nil || !strings.Contains(err.Error(), name) || near != "" && !strings.Contains(err.Error(), near) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDamagedDataIsAReadingErrorInWords(t *testing.T) {
	text := "a\tb\n" + strings.Repeat("1\t2\n3\t5\n", 20000) // over the head
	for kind, stored := range map[string]string{"gzip": gzipped(t, text), "zstd": zstded(t, text), "xz": xzed(t, text), "bzip2": bzipped(t)} {
		for name, c := range map[string]struct{ stored, says string }{
			"cut":           {stored[:len(stored)-5], "breaks off"},
			"cut early":     {stored[:11], ""},
			"with a tail":   {stored + "tail of another kind", ""},
			"with bad bits": {stored[:len(stored)/2] + "\xFF\x00\xFF\x00\xFF" + stored[len(stored)/2+5:], ""},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				in, err := newInput("f.gz", strings.NewReader(c.stored), "")
				if err == nil {
					var r *oneRecord
					r, err = recordsOf(in, Config{})
					for err == nil {
						_, err = r.Read()
					}
					err = errors.Join(err, in.Close())
				}
				var failure *ReadError
				if !errors.As(err, &failure) || failure.File != "f.gz" || failure.Line < 1 {
					t.Fatalf("got %v", err)
				}
				if !strings.Contains(err.Error(), kind+" data") || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%q doesn't say what is wrong with the %s data", err, kind)
				}
			})
		}
	}
}

func TestRecordsBeforeDamageAreGiven(t *testing.T) {
	stored := gzipped(t, strings.Repeat("1\t2\n3\t5\n", 100))
	in, err := newInput("f.gz", strings.NewReader(stored[:len(stored)-4]), "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := recordsOf(in, Config{})
	n := 1 // the header
	for ; err == nil; n++ {
		_, err = r.Read()
	}
	if n-1 != 200 || !strings.Contains(err.Error(), "f.gz: reading failed at line 201: the gzip data breaks off") {
		t.Errorf("%d records, then %v", n-1, err)
	}
}

func TestAFailingDiskIsNotTakenForDamagedData(t *testing.T) {
	broken := errors.New("the disk is gone")
	stored := gzipped(t, smallText)
	for _, text := range []string{"", "a\tb\n", stored[:15], stored[:2]} {
		in, err := newInput("f", io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), "")
		if err == nil {
			_, err = io.ReadAll(in)
		}
		if !errors.Is(err, broken) || strings.Contains(err.Error(), "data") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestADictionaryThatNeedsTooMuchMemoryIsRefused(t *testing.T) {
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 256 << 20, BufSize: 4096}.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, smallText); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = newInput("f.xz", &b, "")
	if err == nil || !strings.Contains(err.Error(), "256 MiB of memory") {
		t.Errorf("xz: got %v", err)
	}
	if got := xzDictionary([]byte(xzed(t, smallText))); got != 8<<20 {
		t.Errorf("the dictionary is %d", got)
	}
	// A frame header that asks for a window of 256 MiB.
	_, err = newInput("f.zst", strings.NewReader("\x28\xB5\x2F\xFD\x00\x90\x01\x00\x00"), "")
	if err == nil || !strings.Contains(err.Error(), "128 MiB of memory") {
		t.Errorf("zstd: got %v", err)
	}
}

func TestABombCostsTimeButNoMemory(t *testing.T) {
	var stored bytes.Buffer
	w := gzip.NewWriter(&stored)
	if _, err := io.Copy(w, &endless{piece: strings.Repeat("x", 64<<10), n: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	in, err := newInput("f.gz", &stored, "")
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, in)
	r, err := recordsOf(in, Config{})
	if err != nil || row(r.table.Header()) != "1: CELL_TOO_LONG@1,1" {
		t.Fatalf("got %v, %v", row(r.table.Header()), err)
	}
	if _, err := r.Read(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 3*(DefaultMaxRecordBytes+1<<20) {
		t.Errorf("%d bytes were allocated for a bomb of 64 MiB", n)
	}
}

func TestUndecodableBytesAreNotReplacedInSilence(t *testing.T) {
	for name, c := range map[string]struct{ stored, encoding string }{
		"windows-1251": {"a\tb\n1\t\x98\n3\t4\n", "windows-1251"}, // 0x98 is no character there
		"UTF-16":       {"a\x00\t\x00b\x00\n\x00" + "1\x00\t\x00\x00\xD8\n\x00" + "3\x00\t\x004\x00\n\x00", ""},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := newInput("f", strings.NewReader(c.stored), c.encoding)
			if err != nil {
				t.Fatal(err)
			}
			r, err := recordsOf(in, Config{})
			if err != nil {
				t.Fatal(err)
			}
			got := []string{row(r.table.Header())}
			for rec, err := r.Read(); err == nil; rec, err = r.Read() {
				got = append(got, row(rec))
			}
			if want := "[1: a|b 2: ENCODING@2,2 3: 3|4]"; fmt.Sprint(got) != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestOffsetsAndBytesCountFromTheFilesStart(t *testing.T) {
	stored := table.ByteOrderMark + "a\n" + strings.Repeat("x\n", headSize) + "y\xFF\n"
	in, err := newInput("f", strings.NewReader(stored), "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := recordsOf(in, Config{})
	for err == nil {
		rec, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if len(rec.Findings) == 0 {
			continue
		}
		if want := int64(strings.Index(stored, "y")); rec.Position.Offset != want {
			t.Errorf("the record is at %d, want %d", rec.Position.Offset, want)
		}
		if want := fmt.Sprintf("0xFF at offset %d", strings.Index(stored, "\xFF")); !strings.Contains(rec.Findings[0].Message, want) {
			t.Errorf("%q doesn't say %q", rec.Findings[0].Message, want)
		}
		return
	}
}

func TestFilesAreOpenedOrTheReasonIsTold(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a.tsv")
	if err := os.WriteFile(path, []byte(smallText), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := openInput(t.Context(), path, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if in.stored.size != int64(len(smallText)) || in.name != path {
		t.Errorf("%d bytes of %s", in.stored.size, in.name)
	}
	for range 2 {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := openInput(t.Context(), filepath.Join(folder, "none.tsv"), nil, ""); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.tsv: there is no such file") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := openInput(t.Context(), folder, nil, ""); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
	in, err = openInput(t.Context(), "-", strings.NewReader(smallText), "")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(in); string(text) != smallText || err != nil {
		t.Errorf("standard input: %q, %v", text, err)
	}
}

func BenchmarkInput(b *testing.B) {
	text := strings.Repeat("https://example.com/images/0001234.jpg\tA short description of it\t12.5\ttrue\n", 100000)
	for name, stored := range map[string]string{"plain": text, "gzip": gzipped(b, text), "zstd": zstded(b, text)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				in, err := newInput("f", strings.NewReader(stored), "")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, in); err != nil {
					b.Fatal(err)
				}
				if err := in.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
