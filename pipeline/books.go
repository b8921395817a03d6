package pipeline

import (
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"

	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
)

// books count the rows of a run, and note what else its report says of inputs and
// chunks. Nothing else counts. They are safe for concurrent use.
type books struct {
	log *zap.Logger

	mu       sync.Mutex
	tally    *tally
	opened   map[string]reader.Info // the inputs of which rows were read, by name
	files    []File                 // those that were closed
	warnings []Warning
	unread   bool  // an input was not read to its end
	chunks   int64 // that were sent
	inFlight int64 // tasks of chunks that are being sent
	earlier  int64 // created rows of chunks that the server or the ledger knew already

	inputBytes int64 // the size of all inputs
	doneBytes  int64 // of the inputs that were closed
	openBytes  int64 // of the rows of the open input that the totals count
}

func newBooks(log *zap.Logger) *books {
	return &books{log: log, tally: newTally(), opened: make(map[string]reader.Info)}
}

// expect adds the size of an input to what there is to read.
func (b *books) expect(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inputBytes += bytes
}

// open notes an input whose rows are about to be read.
func (b *books) open(info reader.Info) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened[info.File] = info
}

// info returns what was known of an input when it was opened.
func (b *books) info(name string) reader.Info {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opened[name]
}

// inputs are all that were opened, by name.
func (b *books) inputs() map[string]reader.Info {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.opened)
}

// read counts rows that were read of the open input, of which so many are valid
// and a check's, up to the byte until.
func (b *books) read(name string, rows, valid, until int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tally.read(name, rows)
	b.tally.pass(name, valid)
	b.openBytes = max(b.openBytes, until) // the scale may have changed
}

// add counts what became of a row.
func (b *books) add(v *verdict.Verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tally.add(v)
}

// settle counts what became of the rows of a chunk.
func (b *books) settle(rows []verdict.Verdict) {
	t := newTally()
	for i := range rows {
		t.add(&rows[i])
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tally.merge(t)
}

// sending notes that the tasks of a chunk are being sent.
func (b *books) sending(tasks int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight += int64(tasks)
}

// sent notes a chunk that was sent, and counts its rows.
func (b *books) sent(o uploader.Outcome) {
	b.settle(o.Rows)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight -= int64(o.Chunk.Len())
	b.chunks++
	if o.Known {
		b.earlier += created(o.Rows)
	}
}

// replay counts the rows of a chunk that an earlier attempt has finished.
func (b *books) replay(rows []verdict.Verdict) {
	b.settle(rows)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.earlier += created(rows)
}

func created(rows []verdict.Verdict) (n int64) {
	for i := range rows {
		if rows[i].Status == verdict.Created {
			n++
		}
	}
	return n
}

// close notes that an input is closed, and what is known of it by then.
func (b *books) close(info reader.Info) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if info.SHA256 != "" { // it was read to its end
		b.openBytes = info.Bytes
	}
	b.doneBytes += b.openBytes
	b.openBytes = 0
	b.files = append(b.files, fileOf(info, info.Bytes))
}

// fileOf is a file of a report as far as reader knows it.
func fileOf(info reader.Info, bytes int64) File {
	return File{
		Path: info.File, SHA256: info.SHA256, Bytes: bytes, Compression: info.Compression,
		Encoding: info.Encoding, Delimiter: string(rune(info.Delimiter)),
	}
}

// leaveUnread notes that an input was not read to its end.
func (b *books) leaveUnread() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unread = true
}

func (b *books) warn(file string, w reader.Warning) {
	b.log.Warn(w.Message, zap.String("file", file), zap.String("code", w.Code),
		zap.Int64("count", w.Count), zap.Int64s("lines", w.Lines))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.warnings = append(b.warnings, Warning{
		File: file, Code: w.Code, Message: w.Message, Count: w.Count, Lines: w.Lines, Column: w.Column,
	})
}

func (b *books) totals() Totals {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tally.totals
}

// progress fills in what the books know of it.
func (b *books) progress(p *Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.Totals, p.InFlight = b.tally.totals, b.inFlight
	p.BytesRead, p.BytesTotal = b.doneBytes+b.openBytes, b.inputBytes
}

// report is the part of a report that the books know. Inputs that are open are
// not in it.
func (b *books) report() Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := Report{
		Version:    ReportVersion,
		Totals:     b.tally.totals,
		Unread:     b.unread,
		Earlier:    b.earlier,
		Files:      append([]File{}, b.files...),
		Rejections: b.tally.rejections(),
		Warnings:   append([]Warning{}, b.warnings...),
		Requests:   Requests{ByStatus: map[string]int64{}, Chunks: b.chunks},
		Outputs:    map[string]string{},
	}
	for i := range r.Files {
		r.Files[i].Totals = *b.tally.file(r.Files[i].Path)
	}
	return r
}

// reportSoFar is the same with the inputs that are open, in the order of names.
func (b *books) reportSoFar(names []string) Report {
	r := b.report()
	b.mu.Lock()
	defer b.mu.Unlock()
	closed := make(map[string]bool, len(r.Files))
	for _, f := range r.Files {
		closed[f.Path] = true
	}
	for _, name := range names {
		info, opened := b.opened[name]
		t, counted := b.tally.files[name]
		if opened && counted && !closed[name] {
			f := fileOf(info, info.Size)
			f.SHA256, f.Totals = "", *t
			r.Files = append(r.Files, f)
		}
	}
	return r
}

// stamp returns a time as reports have it: in UTC, to the millisecond.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
