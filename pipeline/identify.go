package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"poolfill/pipeline/ledger"
	"poolfill/reader"
)

// identify looks at the inputs without reading them.
func identify(ctx context.Context, paths []string) ([]ledger.File, error) {
	files := make([]ledger.File, len(paths))
	for i, path := range paths {
		if path == stdinName {
			files[i].Path = stdinName
			continue
		}
		id, err := reader.Identify(ctx, path)
		if err != nil {
			return nil, err
		}
		files[i] = ledger.File{Path: reader.Name(path), Size: id.Size, Modified: id.Modified, Ends: id.Ends}
		if reader.IsURL(path) {
			continue
		}
		if files[i].Path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func identityOf(f ledger.File) reader.Identity {
	return reader.Identity{Size: f.Size, Modified: f.Modified, Ends: f.Ends}
}

// contentOf is the hash of a file's content in hex.
func contentOf(path string) (sum string, err error) {
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, in); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// settingsOf says what the chunks of a run depend on, besides its files: a hash of how rows
// are read, and how many are in a chunk.
func settingsOf(set *settings, reading reader.Config) ([]byte, error) {
	reading.Parallel = 0 // makes no difference to the rows
	text, err := json.Marshal(struct {
		Reader reader.Config
		NoSpec bool
	}{reading, set.NoSpec})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return binary.AppendUvarint(sum[:], uint64(set.ChunkSize)), nil
}

// readAlike reports whether two runs make the same rows of the same file, in whatever
// chunks.
func readAlike(a, b ledger.Run) bool {
	n := sha256.Size
	return len(a.Settings) > n && len(b.Settings) > n && bytes.Equal(a.Settings[:n], b.Settings[:n])
}

// sameBytes says which files of earlier runs are what files of this one are, or begin
// with: by the id of the run, and the number of the file there, its number here.
type sameBytes map[int64]map[int]int

func (s sameBytes) add(run int64, file, number int) {
	if s[run] == nil {
		s[run] = map[int]int{}
	}
	s[run][file] = number
}

// maxPrefixes bounds the beginnings of files whose hashes are compared. Where there are more,
// only those files are looked at that have a file's path, or its size and ends.
const maxPrefixes = 100_000

// candidate is a file of an earlier run.
type candidate struct {
	run   *ledger.Run
	file  int
	bytes int64 // that were read of it
	sum   string
}

// candidates are the files that were read of earlier runs.
type candidates struct {
	all          []candidate
	byPath, ends map[string][]candidate
}

func candidatesOf(runs []ledger.Run) *candidates {
	c := &candidates{byPath: map[string][]candidate{}, ends: map[string][]candidate{}}
	for i := range runs {
		for j, f := range runs[i].Files {
			one := candidate{&runs[i], j, f.Info.Bytes, cmp.Or(f.SHA256, f.Info.Prefix)}
			if one.sum == "" || one.bytes == 0 || len(f.Ends) == 0 {
				continue
			}
			c.all = append(c.all, one)
			c.byPath[f.Path] = append(c.byPath[f.Path], one)
			c.ends[string(f.Ends)] = append(c.ends[string(f.Ends)], one)
		}
	}
	return c
}

// of returns the candidates that a file may be, or begin with.
func (c *candidates) of(f ledger.File, files int) (all []candidate) {
	from := c.all
	if len(c.all)*files > maxPrefixes {
		from = slices.Concat(c.byPath[f.Path], c.ends[string(f.Ends)])
	}
	for _, one := range from {
		if one.bytes <= f.Size {
			all = append(all, one)
		}
	}
	return all
}

// compareBytes finds the files of earlier runs whose bytes those of this one have.
func compareBytes(paths []string, files []ledger.File, runs []ledger.Run) (sameBytes, error) {
	same, earlier := sameBytes{}, candidatesOf(runs)
	for i, path := range paths {
		f := files[i]
		if len(f.Ends) == 0 {
			continue
		}
		all := earlier.of(f, len(files))
		if reader.IsURL(path) {
			for _, one := range all {
				if old := one.run.Files[one.file]; bytes.Equal(old.Ends, f.Ends) {
					same.add(one.run.ID, one.file, i)
				}
			}
			continue
		}
		var sizes []int64
		for _, one := range all {
			sizes = append(sizes, one.bytes)
		}
		slices.Sort(sizes)
		sizes = slices.Compact(sizes)
		sums, err := reader.Prefixes(path, sizes)
		if err != nil {
			return nil, err
		}
		for _, one := range all {
			if at, _ := slices.BinarySearch(sizes, one.bytes); sums[at] == one.sum {
				same.add(one.run.ID, one.file, i)
			}
		}
	}
	return same, nil
}
