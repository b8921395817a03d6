package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-faster/jx"

	"poolfill/batcher"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
)

// The rows that never reach a chunk are recorded together: so many, or as soon
// as what is kept of them is so large.
const (
	maxPending      = 4096
	maxPendingBytes = 256 << 10
)

// reject records a row that never reached a chunk.
func (p *Pipeline) reject(e *reader.RowError) error {
	r := Result{Position: e.Position, Status: Rejected, Findings: e.Findings, Raw: e.Raw}
	err := p.putAside(r)
	if p.cfg.OnInvalid == StopAtInvalid {
		p.stopAt(&r)
	}
	p.enforceMaxRejected(false)
	return err
}

// putAside records the outcome of a row that is in no chunk.
func (p *Pipeline) putAside(r Result) error {
	p.mu.Lock()
	p.tally.add(&r)
	p.mu.Unlock()
	return p.wait(r)
}

// wait keeps an outcome that is counted until there are enough to be recorded
// together.
func (p *Pipeline) wait(r Result) error {
	*p.waiting() = r
	p.pendingBytes += len(r.Raw) + 256*len(r.Findings)
	return p.flushMany()
}

// waiting gives the place of the next outcome that waits, which is all zero.
func (p *Pipeline) waiting() *Result {
	p.pending = append(p.pending, Result{})
	return &p.pending[len(p.pending)-1]
}

// flushMany records the rows that wait where they are enough.
func (p *Pipeline) flushMany() error {
	if len(p.pending) >= maxPending || p.pendingBytes >= maxPendingBytes {
		return p.flush()
	}
	return nil
}

// flush records the rows that wait. Only the producer calls it.
func (p *Pipeline) flush() error {
	rows := p.pending
	p.pending, p.pendingBytes = p.pending[:0], 0
	var err error
	if len(rows) > 0 {
		if p.cfg.Ledger != nil {
			err = p.keepAside(each(rows))
		} else if p.cfg.Recorder != nil {
			err = p.cfg.Recorder.Record(rows)
		}
	}
	clear(rows)
	if p.print != nil {
		err = errors.Join(err, p.print.Flush())
	}
	return err
}

// results are outcomes of rows, each of them valid until the next.
type results = iter.Seq[*Result]

// each gives the elements of a slice.
func each(rows []Result) results {
	return func(yield func(*Result) bool) {
		for i := range rows {
			if !yield(&rows[i]) {
				return
			}
		}
	}
}

// record counts results and hands them on.
func (p *Pipeline) record(rows results) error {
	t := newTally()
	for r := range t.counting(rows) {
		_ = r
	}
	p.merge(t)
	return p.tell(rows)
}

// merge adds the outcomes of a chunk to those of the run.
func (p *Pipeline) merge(t *tally) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tally.merge(t)
}

// tell hands results to the Recorder, unless the ledger will do that.
func (p *Pipeline) tell(rows results) error {
	if p.cfg.Recorder == nil || p.cfg.Ledger != nil {
		return nil
	}
	var all []Result
	for r := range rows {
		all = append(all, *r)
	}
	return p.cfg.Recorder.Record(all)
}

// discard records the rows of a chunk that is not sent any more.
func (p *Pipeline) discard(ctx context.Context, c *batcher.Chunk) error {
	p.mu.Lock()
	reason := "the run was interrupted before this row was sent"
	if p.err != nil {
		reason = "the run ended before this row was sent"
	}
	p.mu.Unlock()
	rows, err := p.keepDiscarded(ctx, c, alike(c, Unsent, reason))
	err = errors.Join(err, p.record(rows))
	p.batcher.Recycle(c)
	return err
}

// leave discards the open chunk.
func (p *Pipeline) leave(ctx context.Context) error {
	c := p.batcher.Flush()
	switch {
	case c == nil:
		return nil
	case p.cfg.Check:
		p.show(c)
		return nil
	}
	return p.discard(ctx, c)
}

// alike gives every row of a chunk the same outcome.
func alike(c *batcher.Chunk, status Status, reason string) results {
	return func(yield func(*Result) bool) {
		for i := range c.Len() {
			if !yield(&Result{Position: c.Position(i), Status: status, Reason: reason}) {
				return
			}
		}
	}
}

// resultsOf translates what the uploader says of a chunk's rows into the terms
// of the input's columns.
func (p *Pipeline) resultsOf(o uploader.Outcome) results {
	return func(yield func(*Result) bool) {
		var r Result
		for i := range o.Rows {
			row := &o.Rows[i]
			// Field by field, which costs half of a copy of all of them.
			r.Position = o.Chunk.Position(i)
			r.TaskID, r.Reason, r.Findings, r.Raw, r.inDoubt = row.TaskID, row.Reason, nil, nil, false
			switch row.Status {
			case verdict.Created:
				r.Status = Created
			case verdict.Rejected:
				r.Status, r.Raw = Rejected, o.Chunk.Raw(i)
				r.Findings = p.serverFindings(r.Position, row.Findings, o.Chunk.Content(i), r.Raw)
			default:
				r.Status = Unsent
				if r.inDoubt = row.InDoubt; row.InDoubt {
					r.Reason += "; the server may have created it all the same"
				}
			}
			if !yield(&r) {
				return
			}
		}
	}
}

// serverFindings translates the server's errors about a task, given by its JSON
// as reader.Task has it and by its row as it stood in the input.
func (p *Pipeline) serverFindings(at verdict.Position, errs []verdict.Finding, task, row []byte) []verdict.Finding {
	p.infoMu.Lock()
	info := p.infos[at.File]
	p.infoMu.Unlock()
	findings := make([]verdict.Finding, 0, max(1, len(errs)))
	for _, e := range errs {
		column, name := info.Locate(e.Path, row)
		findings = append(findings, verdict.Finding{
			Stage: verdict.StageServer, Line: at.Line, Column: column, Field: name, Code: e.Code, Message: e.Message,
			Value: sentValue(task, e.Path),
		})
	}
	if len(findings) == 0 {
		findings = append(findings, verdict.Finding{
			Stage: verdict.StageServer, Line: at.Line, Code: "REJECTED", Message: "the server refused the row and gave no reason",
		})
	}
	// The server's errors are a JSON object: their order means nothing.
	slices.SortStableFunc(findings, func(a, b verdict.Finding) int {
		if a.Column != b.Column {
			return a.Column - b.Column
		}
		return strings.Compare(a.Code, b.Code)
	})
	return findings
}

// sentValue gives the beginning of what a task holds under a field of the API,
// such as "input_values.image"; empty where it holds nothing there.
func sentValue(task []byte, field string) string {
	value := json.RawMessage("{" + string(task) + "}")
	for key := range strings.SplitSeq(field, ".") {
		var object map[string]json.RawMessage
		var array []json.RawMessage
		switch i, err := strconv.Atoi(key); {
		case json.Unmarshal(value, &object) == nil:
			value = object[key]
		case err == nil && json.Unmarshal(value, &array) == nil && i >= 0 && i < len(array):
			value = array[i]
		default:
			return ""
		}
	}
	var text string
	if json.Unmarshal(value, &text) == nil {
		return reader.Sample(text)
	}
	return reader.Sample(string(value))
}

// draft is the report as things stand. p.mu is held.
func (p *Pipeline) draft(started, finished time.Time) Report {
	r := Report{
		Version:    ReportVersion,
		RunID:      p.cfg.RunID,
		PoolID:     p.cfg.PoolID,
		Mode:       p.mode(),
		Started:    started.UTC().Truncate(time.Millisecond),
		Finished:   finished.UTC().Truncate(time.Millisecond),
		Seconds:    finished.Sub(started).Seconds(),
		Totals:     p.tally.totals,
		Unread:     p.unread,
		Earlier:    p.earlier,
		Files:      append([]File{}, p.files...),
		Rejections: p.tally.rejections(),
		Warnings:   append([]Warning{}, p.warnings...),
		Requests:   Requests{ByStatus: map[string]int64{}, Chunks: p.chunks},
		Quota: Quota{
			RequestsPerSecond: p.cfg.Limits.RequestsPerSecond,
			TasksPerMinute:    p.cfg.Limits.TasksPerMinute,
			TasksPerDay:       p.cfg.Limits.TasksPerDay,
		},
		Outputs:  map[string]string{},
		Settings: p.cfg.settings(),
		Series:   p.history.series(),
	}
	for i := range r.Files {
		r.Files[i].Totals = *p.tally.file(r.Files[i].Path)
	}
	r.Files = append(r.Files, p.untouched()...)
	if p.client != nil {
		stats := p.client.Stats()
		r.Requests.Sent, r.Requests.Retried, r.Requests.ByStatus = stats.Sent, stats.Retried, stats.ByStatus
		r.Quota.Refused = stats.ByStatus["429"]
		r.Quota.TasksToday = p.gate.State().TasksToday
	}
	return r
}

// Snapshot is the report of a run that goes on: its State is Running, and its
// counts don't close while rows are under way. It may be called from any
// goroutine at any time; before the first row is read it is nearly empty.
func (p *Pipeline) Snapshot() Report {
	began := p.progress.started.Load()
	if began == 0 { // the rest is not settled yet
		return Report{Version: ReportVersion, State: Running, PoolID: p.cfg.PoolID, Mode: p.mode()}
	}
	p.mu.Lock()
	r := p.draft(time.Unix(0, began), time.Now())
	open := make(map[string]Totals, len(p.tally.files))
	for path, t := range p.tally.files {
		open[path] = *t
	}
	p.mu.Unlock()
	r.State = Running
	for _, f := range r.Files {
		delete(open, f.Path)
	}
	p.infoMu.Lock()
	defer p.infoMu.Unlock()
	for _, path := range p.inputs {
		t, isOpen := open[path]
		if info, opened := p.infos[path]; isOpen && opened {
			r.Files = append(r.Files, File{
				Path: path, Bytes: info.Size, Compression: info.Compression,
				Encoding: info.Encoding, Delimiter: string(rune(info.Delimiter)), Totals: t,
			})
		}
	}
	return r
}

// report closes the books.
func (p *Pipeline) report(started time.Time) (Report, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.draft(started, time.Now())
	if !r.Totals.closes() {
		p.state, p.err = Failed, errors.Join(p.err, fmt.Errorf(
			"the counts don't close: %d rows were read, and %d created + %d valid + %d rejected + %d duplicate + %d unsent are %d. This is a defect of poolfill: please report it, and check the pool before you upload again",
			r.Totals.Rows, r.Totals.Created, r.Totals.Valid, r.Totals.Rejected, r.Totals.Duplicate, r.Totals.Unsent,
			r.Totals.Created+r.Totals.Valid+r.Totals.Rejected+r.Totals.Duplicate+r.Totals.Unsent))
	}
	r.State = p.state
	if !p.until.IsZero() {
		until := p.until.UTC()
		r.Quota.Until = &until
	}
	if p.err != nil {
		r.Error = p.err.Error()
	}
	return r, p.err
}

func (p *Pipeline) mode() string {
	if p.cfg.Check {
		return "check"
	}
	return string(p.cfg.Mode)
}

func appendJSONString(dst []byte, s string) []byte {
	var e jx.Encoder
	e.Str(s)
	return append(dst, e.Bytes()...)
}
