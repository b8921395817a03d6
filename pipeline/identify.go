package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/uploader"
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

// settingsOf hashes all that the chunks of a run depend on, besides its files.
func settingsOf(set *settings, reading reader.Config) ([]byte, error) {
	reading.Parallel = 0 // makes no difference to the rows
	text, err := json.Marshal(struct {
		Reader    reader.Config
		NoSpec    bool
		Mode      uploader.Mode
		ChunkSize int
	}{reading, set.NoSpec, set.Mode, set.ChunkSize})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}
