package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"poolfill/batcher"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// stdinName is how a user names standard input.
const stdinName = "-"

// intake reads the inputs, row by row. What can be no task, or is one already, has
// its verdict then and is put aside; every other row goes through the outlet. One
// goroutine uses it.
type intake struct {
	set    *settings
	ready  *prepared
	past   *past
	books  *books
	rules  *rules
	ending *ending
	sights *sights
	outlet outlet
	aside  *sideline
	key    func(*reader.Task) batcher.Key

	// Of the input that is open.
	name  string
	there places // its rows that earlier runs have created
	scale byteScale
	// The rows that were taken and are not in the books yet, and those of them that
	// a check found valid; last is the last of them.
	taken, valid int64
	last         *reader.Row
}

// run reads all inputs, until ctx ends or the run does.
func (in *intake) run(ctx context.Context) error {
	var rows int64
	for _, i := range in.ready.order {
		if in.past.unchanged[i] != "" {
			continue
		}
		if in.ending.stopped() {
			in.books.leaveUnread()
			break
		}
		n, err := in.read(ctx, i)
		rows += n
		if err != nil {
			return errors.Join(in.ending.fail(err), in.outlet.abandon(), in.aside.flush())
		}
	}
	if rows == 0 && len(in.past.unchanged) == 0 && !in.ending.stopped() {
		return errors.Join(in.ending.fail(in.noRows()), in.aside.flush())
	}
	in.rules.enforce(true)
	if in.ending.stopped() {
		return errors.Join(in.outlet.abandon(), in.aside.flush())
	}
	if err := in.outlet.finish(); err != nil {
		return err
	}
	return in.aside.flush()
}

func (in *intake) noRows() error {
	files := "the input has"
	if len(in.set.names) > 1 {
		files = "the inputs have"
	}
	return &SetupError{fmt.Errorf("%s no rows after the header: %w", files, ErrNoRows)}
}

// read reads one input, and returns the number of its rows.
func (in *intake) read(ctx context.Context, number int) (rows int64, err error) {
	if in.set.isPath(number) {
		in.sights.note(in.set.names[number], in.set.Files[number])
	}
	r := in.ready.takeStdin(in.set.names[number])
	if r == nil {
		if r, err = in.set.openInput(ctx, number, in.ready.reading); err != nil {
			return 0, in.unlessStopped(ctx, err)
		}
	}
	info := r.Info()
	in.name, in.scale, in.there = info.File, newByteScale(info), places{runs: in.past.present[number]}
	in.books.open(info)
	if err := errors.Join(in.past.keeper.input(info), in.set.Recorder.Input(info)); err != nil {
		return 0, errors.Join(err, r.Close())
	}
	in.past.guard.next()
	if err := in.outlet.begin(source{[]byte(info.HeaderRaw), in.ready.small[number]}); err != nil {
		return 0, errors.Join(err, r.Close())
	}
	ended := false
	defer func() {
		if !ended {
			in.books.leaveUnread()
		}
		in.count()
		err = errors.Join(err, in.close(ctx, number, r))
	}()
	for !in.ending.stopped() {
		batch, err := r.NextBatch()
		var empty *reader.InputError
		switch {
		case errors.Is(err, io.EOF):
			ended = true
			return rows, nil
		case errors.As(err, &empty) && empty.Findings[0].Code == reader.CodeNoRows:
			// A header alone is only worth an error where no other input has rows.
			in.books.warn(in.name, reader.Warning{Code: reader.CodeNoRows, Message: empty.Findings[0].Message, Count: 1})
			ended = true
			return rows, nil
		case err != nil:
			return rows, in.unlessStopped(ctx, err)
		}
		info = r.Info()
		in.scale.learn(info, &batch.Rows[len(batch.Rows)-1])
		in.past.keeper.reading(info)
		n, err := in.takeAll(ctx, batch.Rows)
		rows += n
		in.count()
		ended = n == int64(len(batch.Rows)) && r.Info().SHA256 != ""
		batch.Release()
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// unlessStopped returns an error of reading; none where the reading was broken off
// by ctx, as the run takes no further rows.
func (in *intake) unlessStopped(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		in.ending.stop(Interrupted, nil) // if it is ctx that came first
		return nil
	}
	return err
}

// takeAll moves rows on until the run is stopped, and returns their number.
func (in *intake) takeAll(ctx context.Context, rows []reader.Row) (taken int64, err error) {
	for i := range rows {
		if in.ending.stopped() {
			return int64(i), nil
		}
		if err := in.take(ctx, &rows[i]); err != nil {
			return int64(i) + 1, err
		}
	}
	return int64(len(rows)), nil
}

// take moves one row on.
func (in *intake) take(ctx context.Context, row *reader.Row) error {
	in.taken++
	in.last = row
	if len(in.there.runs) > 0 {
		if found, err := in.recognise(ctx, row); found || err != nil {
			return err
		}
	}
	if row.Err != nil {
		return in.reject(row.Err)
	}
	t := &row.Task
	if rejected := trainsNobody(&in.ready.pool, t); rejected != nil {
		return in.reject(rejected)
	}
	var key batcher.Key
	guarded := in.past.guard.asks()
	if guarded {
		key = in.key(t)
		if id, found := in.past.guard.claim(key); found {
			return in.putAside(verdict.Verdict{Position: t.Position, Status: verdict.Duplicate, TaskID: id})
		}
	}
	rejected, err := in.outlet.put(t)
	switch {
	case rejected != nil:
		err = errors.Join(err, in.reject(rejected))
	case guarded:
		in.past.guard.pass(key)
	}
	return err
}

// recognise puts a row aside that stands where an earlier run has created it, and reports
// whether it did. Then its task is no other row's.
func (in *intake) recognise(ctx context.Context, row *reader.Row) (found bool, err error) {
	at, key := row.Task.Position, batcher.Key{}
	if row.Err != nil {
		at = row.Err.Position
	} else {
		key = in.key(&row.Task)
	}
	id, found, err := in.there.claim(context.WithoutCancel(ctx), at.Line, key)
	if !found || err != nil {
		return false, err
	}
	if in.set.guard == GuardPool || in.past.nameless {
		in.past.guard.claim(key) // which may have the row's own task
	}
	return true, in.putAside(verdict.Verdict{Position: at, Status: verdict.Duplicate, TaskID: id})
}

// count enters the rows that were taken in the books. It comes before anything that
// looks at the totals, or that can give one of the rows its verdict.
func (in *intake) count() {
	if in.taken == 0 && in.valid == 0 {
		return
	}
	in.books.read(in.name, in.taken, in.valid, in.scale.until(in.last))
	in.taken, in.valid = 0, 0
}

// pass has a check's task found valid.
func (in *intake) pass(t *reader.Task) error {
	in.valid++
	v, err := in.aside.next() // without a copy, as there are millions
	v.Position, v.Status = t.Position, verdict.Valid
	return err
}

// reject records a row that is refused before it is in a chunk.
func (in *intake) reject(e *reader.RowError) error {
	v := verdict.Verdict{Position: e.Position, Status: verdict.Rejected, Findings: e.Findings, Raw: e.Raw}
	err := in.putAside(v)
	in.rules.see(&v)
	in.rules.enforce(false)
	return err
}

// putAside records what became of a row that is in no chunk.
func (in *intake) putAside(v verdict.Verdict) error {
	in.count()
	in.books.add(&v)
	return in.aside.add(v)
}

// close closes an input, and keeps what is known of it at its end.
func (in *intake) close(ctx context.Context, number int, r *reader.Reader) error {
	info := r.Info()
	err := r.Close()
	in.books.close(info)
	for _, w := range r.Warnings() {
		in.books.warn(info.File, w)
	}
	if w := in.there.warning(); w.Count > 0 {
		in.books.warn(info.File, w)
	}
	return errors.Join(err, in.past.keeper.input(info), in.watchChange(ctx, number))
}

// CodeChanged marks a file that changed while it was read.
const CodeChanged = "CHANGED_WHILE_READ"

// watchChange warns of a file that is no longer what it was at the beginning. For
// a part it is an error: its range of rows means those of that file only. Such a
// part is not finished, so that its next attempt looks at each chunk.
func (in *intake) watchChange(ctx context.Context, number int) error {
	name := in.set.names[number]
	was := in.past.identity(number)
	if number >= len(in.set.Files) || name == stdinName || in.ending.stopped() || !was.Known() {
		return nil
	}
	w := reader.Warning{Code: CodeChanged, Count: 1}
	switch now, err := reader.Identify(ctx, in.set.Files[number]); {
	case in.ending.stopped():
		return nil
	case in.set.part != "" && err != nil:
		return err
	case in.set.part != "" && !now.Equal(was):
		return &partChangedError{name, in.set.part}
	case errors.Is(err, fs.ErrNotExist):
		w.Message = "the file vanished while it was read; what was read of it is uploaded (" + err.Error() + ")"
	case err != nil:
		w.Message = "it is not known whether the file changed while it was read; what was read of it is uploaded (" + err.Error() + ")"
	case !now.Equal(was):
		w.Message = "the file changed while it was read: run the same command again to upload what is new in it"
	default:
		return nil
	}
	in.books.warn(name, w)
	return nil
}
