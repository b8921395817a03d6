package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"poolfill/internal/ledger"
	"poolfill/reader"
	"poolfill/uploader"
)

// Guard says which rows count as uploaded before.
type Guard string

// The guards. All of them count occurrences: a row that stands twice in a file
// is created twice.
const (
	// GuardFile skips the rows that earlier runs created from the same file.
	GuardFile Guard = "file"
	// GuardLedger skips the rows that any earlier run of this machine created in
	// the pool.
	GuardLedger Guard = "ledger"
	// GuardPool skips the rows whose tasks are in the pool, whoever created
	// them: by input values, solutions and hint.
	GuardPool Guard = "pool"
	// GuardNone uploads every row once more.
	GuardNone Guard = "none"
)

// The states of a run in the ledger, besides those of a report.
const (
	// incomplete is a run that read everything and left rows unsent.
	incomplete = "incomplete"
)

// plan is what a run has to do with those before it.
type plan struct {
	// resume is the run that this one continues; nil begins another.
	resume *ledger.Run
	// history has the runs whose rows are not sent again.
	history []ledger.Run
	// same has, for each file, the finished runs that have uploaded it if its
	// content is still the same; sure says that the first of them has, by the
	// file's size and time.
	same map[int][]ledger.Run
	sure map[int]bool
	// unsettled has the runs whose attempts in doubt are settled first.
	unsettled []ledger.Run
	// related says that there are earlier runs of these files at all.
	related bool
}

// decide compares a run with those that its pool has seen, the latest first.
func decide(want ledger.Run, runs []ledger.Run) plan {
	p := plan{same: map[int][]ledger.Run{}, sure: map[int]bool{}}
	guard := Guard(want.Guard)
	var related []ledger.Run
	for _, r := range runs {
		if guard == GuardLedger || sharesFile(want, r) {
			related = append(related, r)
		}
	}
	p.related = len(related) > 0
	if p.related && continues(want, related[0]) {
		p.resume = &related[0]
		related = related[1:]
	}
	if guard == GuardFile || guard == GuardLedger {
		p.history = baseline(want, related)
		p.unsettled = p.history
	}
	if guard == GuardPool {
		p.unsettled = runs // what they have under way would be missing in the list
	}
	if p.resume != nil || guard == GuardNone {
		return p
	}
	for i, f := range want.Files {
		for _, r := range runs {
			if r.State != string(Finished) || !bytes.Equal(r.Settings, want.Settings) {
				continue
			}
			for _, old := range r.Files {
				if len(f.Ends) == 0 || old.SHA256 == "" || old.Size != f.Size || !bytes.Equal(old.Ends, f.Ends) {
					continue
				}
				if old.Path == f.Path && old.Modified.Equal(f.Modified) {
					p.same[i], p.sure[i] = []ledger.Run{r}, true
				} else if !p.sure[i] {
					p.same[i] = append(p.same[i], r)
				}
			}
		}
	}
	return p
}

// sharesFile reports whether two runs have a file in common: by its path, or
// by its size and ends.
func sharesFile(a, b ledger.Run) bool {
	for _, f := range a.Files {
		for _, g := range b.Files {
			if f.Path == g.Path || len(f.Ends) > 0 && f.Size == g.Size && bytes.Equal(f.Ends, g.Ends) {
				return true
			}
		}
	}
	return false
}

// continues reports whether a run goes on with another: the other is not
// finished, and would cut the same chunks.
func continues(want, r ledger.Run) bool {
	if r.State == string(Finished) || r.Guard != want.Guard || r.Guard == string(GuardPool) ||
		!bytes.Equal(r.Settings, want.Settings) || len(r.Files) != len(want.Files) {
		return false
	}
	for i, f := range want.Files {
		if !identityOf(f).Equal(identityOf(r.Files[i])) {
			return false
		}
	}
	return true
}

// baseline gives those of the related runs whose rows count: back to the last
// time that everything was uploaded once more on purpose. Standard input is
// another one each time, except that a run over it that did not finish is
// gone on with.
func baseline(want ledger.Run, related []ledger.Run) []ledger.Run {
	onlyStdin := len(want.Files) == 1 && want.Files[0].Path == stdinName
	for i, r := range related {
		if r.State != string(Finished) {
			continue
		}
		if Guard(r.Guard) == GuardNone {
			return related[:i+1]
		}
		if onlyStdin && Guard(want.Guard) == GuardFile {
			return related[:i]
		}
	}
	return related
}

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
func (p *Pipeline) settingsOf() ([]byte, error) {
	reading := p.cfg.Reader
	reading.Parallel = 0 // makes no difference to the rows
	text, err := json.Marshal(struct {
		Reader    reader.Config
		NoSpec    bool
		Mode      uploader.Mode
		ChunkSize int
	}{reading, p.cfg.NoSpec, p.cfg.Mode, chunkTasks(p.cfg.ChunkSize, p.cfg.Limits)})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

// enter finds out what the run has to do with earlier ones and enters it in
// the ledger. It reports whether there is anything to do.
func (p *Pipeline) enter(ctx context.Context) (bool, error) {
	files, err := identify(ctx, p.cfg.Files)
	if err != nil {
		return false, &SetupError{err}
	}
	for _, s := range p.cfg.Sources {
		files = append(files, ledger.File{Path: s.Name})
	}
	want := ledger.Run{
		Name: p.cfg.RunID, Server: p.cfg.API.BaseURL, Pool: p.cfg.PoolID, Mode: string(p.cfg.Mode),
		Guard: string(p.cfg.Guard), Command: p.cfg.Command, Files: files, Names: p.inputs,
	}
	if want.Settings, err = p.settingsOf(); err != nil {
		return false, err
	}
	if p.cfg.Part != "" {
		return p.enterPart(ctx, want)
	}
	runs, err := p.cfg.Ledger.Runs(ctx, want.Server, want.Pool)
	if err != nil {
		return false, err
	}
	plan := decide(want, runs)
	if err := p.skipUnchanged(&plan, files); err != nil {
		return false, err
	}
	if len(p.unchanged) == len(files) {
		return false, nil
	}
	switch {
	case plan.resume != nil:
		want, p.resumed = *plan.resume, true
		want.Command, want.Names = p.cfg.Command, p.inputs
		want, err = p.cfg.Ledger.Continue(want)
		p.cfg.RunID = want.Name
	default:
		want.Key = p.cfg.firstKey()
		if plan.related || p.cfg.Guard == GuardNone {
			// Chunks of a run after the first may look like those of earlier ones
			// and still have to be created.
			want.Key += "/" + want.Name
		}
		want, err = p.cfg.Ledger.Begin(want)
	}
	if err != nil {
		return false, err
	}
	p.run = &want
	return true, p.consultHistory(ctx, plan)
}

// skipUnchanged finds the files that a finished run has uploaded as they are.
func (p *Pipeline) skipUnchanged(plan *plan, files []ledger.File) error {
	for i, path := range p.cfg.Files {
		runs := plan.same[i]
		if len(runs) == 0 {
			continue
		}
		if plan.sure[i] { // as a URL always is
			p.unchanged[i] = runs[0].Name
			continue
		}
		sum, err := contentOf(path)
		if err != nil {
			return &SetupError{err}
		}
		for _, r := range runs {
			for _, old := range r.Files {
				if old.SHA256 == sum && old.Size == files[i].Size {
					p.unchanged[i] = cmp.Or(p.unchanged[i], r.Name)
				}
			}
		}
	}
	return nil
}
