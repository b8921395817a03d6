package reader

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"sync"

	"poolfill/reader/table"
)

const (
	// headSize is how much decoded text is looked at before reading starts.
	headSize = 64 << 10
	// maxEmptyReads is how often a reader may return nothing before it counts as
	// stuck.
	maxEmptyReads = 100
	// storedBuffer is the buffer between a file and its decompressor.
	storedBuffer = 64 << 10
)

// input is the table.Storage of one input: opened, decompressed, and decoded where a
// format wants its text.
//
// Memory: two fixed buffers, and that of the decompressor.
type input struct {
	name     string
	encoding string // as Config.Encoding
	stored   *storedReader
	file     io.Closer // nil for standard input
	lasting  bool      // see storage
	seeker   io.Seeker // nil where reading can't go on anywhere else
	unpack   *decompressor
	kind     string // the compression
	charset  charset

	start []byte // the start, which was looked at: of the bytes, or of the text
	given int    // how much of it was read
	rest  io.Reader
	err   error // what reading ended with
}

// storedReader reads the bytes as they are stored; it counts and hashes them.
type storedReader struct {
	src   io.Reader
	hash  hash.Hash // nil where not all is read
	bytes int64
	size  int64
	sum   string // the hash of all bytes in hex, once they are read

	mu      sync.Mutex
	reading bool
	stopped bool
}

func (s *storedReader) Read(p []byte) (int, error) {
	if !s.begin() {
		return 0, &sourceError{fs.ErrClosed}
	}
	defer s.finish()
	n, err := 0, error(nil)
	for tries := 0; n == 0 && err == nil && len(p) > 0; tries++ {
		if n, err = s.src.Read(p); tries == maxEmptyReads {
			err = io.ErrNoProgress
		}
	}
	s.bytes += int64(n)
	if s.hash != nil {
		s.hash.Write(p[:n])
	}
	switch {
	case errors.Is(err, io.EOF):
		if s.hash != nil {
			s.sum = hex.EncodeToString(s.hash.Sum(nil))
		}
		err = io.EOF
	case err != nil:
		err = &sourceError{err}
	}
	return n, err
}

func (s *storedReader) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = !s.stopped
	return s.reading
}

func (s *storedReader) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = false
}

// stop says that no more is to be read. A call that is under way may go on:
// busy then is true.
func (s *storedReader) stop() (busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	return s.reading
}

// storage is the bytes of an input where they stand: a file, or what a URL answers with.
type storage struct {
	io.ReadSeekCloser
	size int64 // 0 where it is unknown
	// lasting says that they can be read again, and that Close ends a call of
	// Read that is under way; seekable says that Seek works.
	lasting, seekable bool
}

// openStorage opens what is no standard input.
func openStorage(ctx context.Context, path string) (s storage, err error) {
	if IsURL(path) {
		r, err := openRemote(ctx, path)
		if err != nil {
			return s, err
		}
		return storage{r, max(0, r.version.size), true, r.seekable}, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return s, openError(path, err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = directoryError(path)
	}
	if err != nil {
		return s, errors.Join(err, file.Close())
	}
	if !info.Mode().IsRegular() {
		return storage{ReadSeekCloser: file}, nil // which may keep a reader waiting
	}
	return storage{file, info.Size(), true, true}, nil
}

// openInput opens a file or a URL, or standard input for "-".
func openInput(ctx context.Context, path string, stdin io.Reader, encoding string) (*input, error) {
	if path == stdinName {
		return newInput(path, stdin, encoding)
	}
	s, err := openStorage(ctx, path)
	if err != nil {
		return nil, err
	}
	in, err := newInput(Name(path), s, encoding)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	in.file, in.lasting, in.stored.size = s, s.lasting, s.size
	if s.seekable {
		in.seeker = s
	}
	return in, nil
}

// newInput reads from r what the name stands for.
func newInput(name string, r io.Reader, encoding string) (*input, error) {
	in := &input{name: name, encoding: encoding, stored: &storedReader{src: r, hash: sha256.New()}}
	if err := in.open(); err != nil {
		in.release()
		return nil, err
	}
	return in, nil
}

func (in *input) open() error {
	buffered := bufio.NewReaderSize(in.stored, storedBuffer)
	signs, err := buffered.Peek(compressionSigns)
	if err != nil && !errors.Is(err, io.EOF) {
		return in.readError(err)
	}
	plain := &plainReader{src: buffered, stored: buffered}
	if in.kind = compression(signs); in.kind != "" {
		if in.unpack, err = decompress(in.kind, signs, buffered); err != nil {
			return in.readError(err)
		}
		plain.src = in.unpack
	}
	in.rest = plain
	in.start, in.err = readHead(plain)
	if len(in.start) == 0 && in.err != nil && !errors.Is(in.err, io.EOF) {
		return in.readError(in.err)
	}
	if inner := compression(in.start); inner != "" && in.kind != "" {
		return table.Refuse(in.name, table.CodeNotText, 0, fmt.Sprintf("the file is compressed twice, %s inside %s: unpack it once", inner, in.kind))
	}
	return nil
}

// Name returns the name of the input.
func (in *input) Name() string { return in.name }

// Bytes returns the decompressed bytes.
func (in *input) Bytes() io.Reader { return in }

// Text decodes the bytes, of which none was read before.
func (in *input) Text() (text *table.Text, err error) {
	if what := binaryFormat(in.start); what != "" {
		return nil, table.Refuse(in.name, table.CodeNotText, 0, what)
	}
	if in.charset, err = detectCharset(in.name, in.start, in.encoding); err != nil {
		return nil, err
	}
	text = &table.Text{Reader: in, Name: in.name, Base: int64(in.charset.bom)}
	in.start = in.start[in.charset.bom:]
	if in.charset.decoding != nil {
		text.Lossy, text.Base = true, 0 // offsets are those of the decoded text
		in.rest = in.charset.decode(io.MultiReader(bytes.NewReader(in.start), in.rest))
		in.start, in.err = readHead(in.rest)
	} else if in.seeker != nil && in.kind == "" {
		text.Seek = in.seek
	}
	text.Head, text.Whole = in.start, in.err != nil
	return text, in.checkStart(text)
}

// checkStart looks at the start of the text for what is no text.
func (in *input) checkStart(text *table.Text) error {
	whole := errors.Is(in.err, io.EOF)
	if what := textFormat(in.start); what != "" {
		return table.Refuse(in.name, table.CodeNotText, 0, what)
	}
	if looksBinary(in.start) {
		return table.Refuse(in.name, table.CodeNotText, 0, "the file is not text but binary data: save the table as CSV or TSV")
	}
	if !text.Lossy {
		if err := checkUTF8(in.name, in.start, text.Base, whole); err != nil {
			return err
		}
	}
	if whole && len(bytes.TrimSpace(in.start)) == 0 {
		return table.Refuse(in.name, table.CodeEmptyFile, 0, "the file is empty: its first line must have the names of the columns")
	}
	return nil
}

// plainReader returns the decompressed bytes. Its error stays, and at the end
// what is stored behind the compressed data is read too, so that it is hashed.
type plainReader struct {
	src    io.Reader
	stored io.Reader
	err    error
}

func (p *plainReader) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.src.Read(b)
	if errors.Is(err, io.EOF) {
		err = io.EOF
		if _, drainErr := io.Copy(io.Discard, p.stored); drainErr != nil {
			err = drainErr
		}
	}
	p.err = err
	return n, err
}

// readHead reads up to headSize bytes. The error is nil where they are full.
func readHead(r io.Reader) ([]byte, error) {
	head := make([]byte, headSize)
	n, err := io.ReadFull(r, head)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return head[:n], err
}

// Read returns the bytes, or the text. When it has returned the last of them, all
// stored bytes are read and hashed.
func (in *input) Read(p []byte) (int, error) {
	if in.given < len(in.start) {
		n := copy(p, in.start[in.given:])
		in.given += n
		return n, nil
	}
	if in.err != nil {
		return 0, in.err
	}
	n, err := in.rest.Read(p)
	in.err = err
	return n, err
}

// Close closes the file or connection; standard input stays open. Closing again does nothing.
func (in *input) Close() error {
	in.release()
	return in.closeFile()
}

func (in *input) closeFile() error {
	if in.file == nil {
		return nil
	}
	file := in.file
	in.file = nil
	return file.Close()
}

// The methods of an origin.

func (in *input) whole() bool { return in.err != nil }

func (in *input) progress() (bytes int64, sum string) { return in.stored.bytes, in.stored.sum }

func (in *input) prefix() string {
	if in.stored.hash == nil {
		return ""
	}
	return hex.EncodeToString(in.stored.hash.Sum(nil))
}

func (in *input) describe() Info {
	return Info{File: in.name, Compression: in.kind, Encoding: in.charset.name, Size: in.stored.size}
}

func (in *input) noRows() error {
	return table.Refuse(in.name, CodeNoRows, 0, "the file has a header and no row after it: there is nothing to upload")
}

func (in *input) stop() (busy bool, err error) {
	// Where a connection or a file of another kind keeps a call of Read waiting,
	// closing it ends the call.
	busy = in.stored.stop() && !in.lasting
	return busy, in.closeFile()
}

func (in *input) release() {
	if in.unpack != nil {
		in.unpack.close()
		in.unpack = nil
	}
	if in.err == nil {
		in.err = fs.ErrClosed
	}
}

// seek goes on at a place of the file. What was read is no longer hashed.
func (in *input) seek(offset int64) error {
	s := in.stored
	if _, err := in.seeker.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("%s: the file can't be read from offset %d: %w", in.name, offset, err)
	}
	s.hash, s.sum = nil, ""
	in.start, in.given, in.err = nil, 0, nil
	in.rest = &plainReader{src: s, stored: bytes.NewReader(nil)}
	return nil
}

func (in *input) readError(err error) error {
	return &ReadError{File: in.name, Line: 1, Err: err}
}

// binaryFormat says what a file is that begins with the signs of a binary
// format, and what to do; empty for everything else.
func binaryFormat(head []byte) string {
	const save = "save the table as CSV (UTF-8) or TSV"
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06")) {
		start := head[:min(len(head), 8<<10)]
		switch {
		case bytes.Contains(start, []byte("opendocument.spreadsheet")):
			return "the file is an OpenDocument spreadsheet, not text: save the sheet as CSV (UTF-8) or TSV"
		case bytes.Contains(start, []byte("word/")):
			return "the file is a Word document, not text: " + save
		case bytes.Contains(start, []byte("xl/")), bytes.Contains(start, []byte("[Content_Types].xml")):
			return "the file is an Excel workbook, not text: save the sheet as CSV (UTF-8) or TSV"
		}
		return "the file is a ZIP archive, not text: unpack it and take the file inside"
	}
	// A word may begin a header too; NUL bytes then tell the two apart.
	hasNUL := bytes.IndexByte(head[:min(len(head), 4<<10)], 0) >= 0
	for _, format := range []struct {
		sign         string
		word         bool
		what, advice string
	}{
		{"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", false, "an old Excel workbook or another Office document", "save the sheet as CSV (UTF-8) or TSV"},
		{"PAR1", true, "a Parquet file", save},
		{"ORC", true, "an ORC file", save},
		{"Obj\x01", false, "an Avro file", save},
		{"ARROW1", true, "an Arrow file", save},
		{"FEA1", true, "a Feather file", save},
		{"\x89HDF\r\n", false, "an HDF5 file", save},
		{"SQLite format 3\x00", false, "an SQLite database", save},
		{"%PDF-", false, "a PDF document", save},
		{"{\\rtf", false, "an RTF document", save},
		{"\x89PNG\r\n", false, "a PNG image", "give the file that lists the tasks"},
		{"\xFF\xD8\xFF", false, "a JPEG image", "give the file that lists the tasks"},
		{"GIF8", true, "a GIF image", "give the file that lists the tasks"},
		{"7z\xBC\xAF\x27\x1C", false, "a 7z archive", "unpack it and take the file inside"},
		{"Rar!\x1A\x07", false, "a RAR archive", "unpack it and take the file inside"},
		{"\x04\x22\x4D\x18", false, "compressed by LZ4", "unpack it first"},
		{"\x1F\x9D", false, "compressed by compress (.Z)", "unpack it first"},
		{"\x5D\x00\x00", false, "compressed by LZMA", "unpack it first"},
	} {
		if bytes.HasPrefix(head, []byte(format.sign)) && (!format.word || hasNUL) {
			return fmt.Sprintf("the file is %s, not text: %s", format.what, format.advice)
		}
	}
	const tarSign = 257
	if len(head) > tarSign && bytes.HasPrefix(head[tarSign:], []byte("ustar")) {
		return "the file is a TAR archive, not text: unpack it and take the file inside"
	}
	return ""
}

// textFormat says what a text is that is no table, and what to do.
func textFormat(text []byte) string {
	text = bytes.TrimSpace(text)
	start := bytes.ToLower(text[:min(len(text), 64)])
	switch {
	case bytes.HasPrefix(start, []byte("<!doctype html")), bytes.HasPrefix(start, []byte("<html")):
		return "the file is a web page (HTML), not a table: it may be the page of a login or an error; fetch the file itself"
	case bytes.HasPrefix(start, []byte("<?xml")):
		return "the file is XML, not a table: save it as CSV (UTF-8) or TSV"
	case looksLikeJSON(text):
		return "the file is JSON, not a table: save it as CSV (UTF-8) or TSV with one column for each field"
	}
	return ""
}

// looksLikeJSON reports whether a text plainly is JSON. A header may begin with a
// bracket as well: so there must be an object with a key and a value, or all
// of the text must be JSON.
func looksLikeJSON(text []byte) bool {
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	inObject := -1 // tokens since an object opened
	for {
		token, err := decoder.Token()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return true
		case err != nil:
			return false
		case token == json.Delim('{'):
			inObject = 0
			continue
		case inObject >= 0:
			inObject++
		}
		if inObject == 2 {
			return true // a key and a value
		}
	}
}

// looksBinary reports whether a text has too many control characters to be one.
func looksBinary(text []byte) bool {
	text = text[:min(len(text), 4<<10)]
	n := 0
	for _, b := range text {
		if b < ' ' && b != '\t' && b != '\n' && b != '\r' && b != '\f' && b != '\v' && b != 0x1B {
			n++
		}
	}
	return n > 8 && n*10 > len(text)
}
