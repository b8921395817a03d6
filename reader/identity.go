package reader

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// endBytes is how much of a file's beginning and end tells it apart at a glance.
const endBytes = 64 << 10

// Identity tells an input from what it was before, at a glance.
type Identity struct {
	// Size is in bytes; 0 where it is unknown.
	Size int64 `json:"size"`
	// Modified is the time of a file's last change, zero for a URL.
	Modified time.Time `json:"modified"`
	// Ends is a hash: of the size of a file and its first and last 64 KiB; of the
	// Name of a URL, its size and its ETag, or Last-Modified where it has none.
	// It is empty where the file is no regular one, or the server tells neither.
	Ends []byte `json:"ends"`
}

// Known reports whether a change of the input would be seen.
func (i Identity) Known() bool { return len(i.Ends) > 0 }

// Equal reports whether an input is what it was. What isn't Known can't be known
// to be the same.
func (i Identity) Equal(was Identity) bool {
	return i.Known() && i.Size == was.Size && i.Modified.Equal(was.Modified) && bytes.Equal(i.Ends, was.Ends)
}

// Identify looks at a file, or asks for a URL, without reading all of it. Its
// errors are those of Open.
func Identify(ctx context.Context, path string) (id Identity, err error) {
	if IsURL(path) {
		return identifyURL(ctx, path)
	}
	in, err := os.Open(path)
	if err != nil {
		return id, openError(path, err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return id, err
	}
	id.Size, id.Modified = info.Size(), info.ModTime()
	h := sha256.New()
	fmt.Fprintln(h, id.Size)
	for _, from := range []int64{0, max(0, id.Size-endBytes)} {
		if _, err := io.Copy(h, io.NewSectionReader(in, from, endBytes)); err != nil {
			return id, err
		}
	}
	id.Ends = h.Sum(nil)
	return id, nil
}

// identifyURL makes a request like any other, as one with another method or range
// may not be what a URL is signed for.
func identifyURL(ctx context.Context, address string) (Identity, error) {
	r, err := openRemote(ctx, address)
	if err != nil {
		return Identity{}, err
	}
	v := r.version
	id := Identity{Size: max(0, v.size)}
	if v.known() {
		what := v.etag
		if what == "" {
			what = v.modified
		}
		h := sha256.New()
		// The name belongs to it, as servers give files that have nothing in
		// common the same ETag.
		fmt.Fprintf(h, "%q %d %q\n", Name(address), v.size, what)
		id.Ends = h.Sum(nil)
	}
	return id, r.Close()
}

// Prefixes returns the hashes, in hex, of the beginnings of a file with these sizes, which
// rise and of which none is larger than the file. It reads the file up to the last of them.
func Prefixes(path string, sizes []int64) (sums []string, err error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	h := sha256.New()
	var read int64
	for _, size := range sizes {
		if _, err := io.CopyN(h, in, size-read); err != nil {
			return nil, &ReadError{File: path, Err: err}
		}
		read = size
		sums = append(sums, hex.EncodeToString(h.Sum(nil)))
	}
	return sums, nil
}
