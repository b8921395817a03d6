package reader

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxWindow bounds the memory of a decompressor: a file that asks for a larger
// window is refused. Of xz only the first block is asked, since all blocks of
// a file have one dictionary size unless the file was put together.
const maxWindow = 128 << 20

// compressionSigns is how many bytes tell a compression.
const compressionSigns = 64

// compression finds how data is compressed by its first bytes, never by a
// name; empty where it isn't.
func compression(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\x1F\x8B\x08")):
		return "gzip"
	case bytes.HasPrefix(head, []byte("\x28\xB5\x2F\xFD")),
		len(head) >= 4 && head[0]&0xF0 == 0x50 && bytes.Equal(head[1:4], []byte("\x2A\x4D\x18")):
		return "zstd"
	case len(head) >= 10 && bytes.HasPrefix(head, []byte("BZh")) && '1' <= head[3] && head[3] <= '9' &&
		(bytes.Equal(head[4:10], []byte("1AY&SY")) || bytes.Equal(head[4:10], []byte("\x17rE8P\x90"))):
		return "bzip2"
	case bytes.HasPrefix(head, []byte("\xFD7zXZ\x00")):
		return "xz"
	}
	return ""
}

// decompressor returns the plain data of a compressed stream, and errors in
// words.
type decompressor struct {
	kind  string
	src   io.Reader
	close func()
}

// decompress opens a stream of the kind; head is its start, not consumed.
func decompress(kind string, head []byte, r io.Reader) (*decompressor, error) {
	d := &decompressor{kind: kind, close: func() {}}
	var err error
	switch kind {
	case "gzip":
		d.src, err = gzip.NewReader(r)
	case "zstd":
		var z *zstd.Decoder
		z, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		if err == nil {
			d.src, d.close = z, z.Close
		}
	case "bzip2":
		d.src = bzip2.NewReader(r)
	case "xz":
		if size := xzDictionary(head); size > maxWindow {
			return nil, fmt.Errorf("the xz data needs %d MiB of memory to be unpacked, more than %d: unpack it first", size>>20, maxWindow>>20)
		}
		d.src, err = xz.NewReader(r)
	}
	if err != nil {
		return nil, d.explain(err)
	}
	return d, nil
}

func (d *decompressor) Read(p []byte) (int, error) {
	n, err := d.src.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped EOF is no end of the data
		err = d.explain(err)
	}
	return n, err
}

// explain says in words what is wrong with compressed data. Errors of the file
// below are passed on as they are.
func (d *decompressor) explain(err error) error {
	var below *sourceError
	switch {
	case errors.As(err, &below):
		return below.err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("the %s data breaks off: the file is not complete, fetch it again", d.kind)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("the %s data needs more than %d MiB of memory to be unpacked: unpack it first", d.kind, maxWindow>>20)
	}
	return fmt.Errorf("the %s data is damaged (%w): fetch the file again", d.kind, err)
}

// xzDictionary reads from the start of an xz file the size of the dictionary
// that its first block asks for; 0 where the bytes don't say.
func xzDictionary(head []byte) int64 {
	const streamHeader = 12
	if len(head) < streamHeader+2 || head[streamHeader] == 0 {
		return 0
	}
	block := head[streamHeader:]
	block = block[:min(len(block), (int(block[0])+1)*4)]
	filters, at := int(block[1]&3)+1, 2
	number := func() (n int64) {
		for shift := 0; at < len(block) && shift < 63; shift += 7 {
			b := block[at]
			at++
			n |= int64(b&0x7F) << shift
			if b < 0x80 {
				break
			}
		}
		return n
	}
	for _, flag := range []byte{0x40, 0x80} { // compressed and uncompressed size
		if block[1]&flag != 0 {
			number()
		}
	}
	for range filters {
		const lzma2 = 0x21
		id, size := number(), number()
		if id == lzma2 && size == 1 && at < len(block) {
			bits := block[at] & 0x3F
			return int64(2|bits&1) << (bits/2 + 11)
		}
		at += int(min(size, int64(len(block))))
	}
	return 0
}

// sourceError is an error of the file itself, as against one of its content.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }

func (e *sourceError) Unwrap() error { return e.err }
