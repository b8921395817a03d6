package pipeline

import (
	"bufio"
	"fmt"

	"github.com/go-faster/jx"

	"poolfill/batcher"
	"poolfill/reader"
)

// outlet is where a run's valid tasks go.
type outlet interface {
	// begin says which input the next tasks are from.
	begin(in source) error
	// put takes a task, or returns why no request can hold it. An error ends the
	// run.
	put(t *reader.Task) (*reader.RowError, error)
	// finish is called after the last task.
	finish() error
	// abandon is called instead where the run ends before that.
	abandon() error
}

// source is an input as an outlet knows it.
type source struct {
	header []byte // what stands before its rows
	// small says that it may share chunks with others that are.
	small bool
}

// loader puts tasks into chunks.
type loader struct {
	batcher *batcher.Batcher
	// counted enters the rows in the books that were read, before a chunk is sent.
	counted func()
	send    func(*batcher.Chunk) error
	// discard takes the chunk that is not full when the run ends.
	discard func(*batcher.Chunk) error
	sharing bool // the chunk that is open may have tasks of the next small input, too
}

func (l *loader) begin(in source) error {
	sharing := l.sharing && in.small
	l.sharing = in.small
	if !sharing {
		if last := l.batcher.Flush(); last != nil {
			l.counted()
			if err := l.send(last); err != nil {
				return err
			}
		}
	}
	l.batcher.Begin(in.header)
	return nil
}

func (l *loader) put(t *reader.Task) (*reader.RowError, error) {
	full, rejected := l.batcher.Add(*t)
	if full == nil {
		return rejected, nil
	}
	l.counted()
	return rejected, l.send(full)
}

func (l *loader) finish() error {
	if last := l.batcher.Flush(); last != nil {
		return l.send(last)
	}
	return nil
}

func (l *loader) abandon() error {
	if last := l.batcher.Flush(); last != nil {
		return l.discard(last)
	}
	return nil
}

// examiner is the outlet of a check, which sends nothing. It makes chunks only
// where they are asked for.
type examiner struct {
	*Check
	batcher *batcher.Batcher
	pool    string
	// pass has a task found valid.
	pass  func(*reader.Task) error
	print *bufio.Writer // nil where tasks are not printed

	sharing bool // as in loader
}

func newExaminer(check *Check, b *batcher.Batcher, pool string, pass func(*reader.Task) error) *examiner {
	e := &examiner{Check: check, batcher: b, pool: pool, pass: pass}
	if check.PrintTasks != nil {
		e.print = bufio.NewWriterSize(check.PrintTasks, 64<<10)
	}
	return e
}

func (e *examiner) begin(in source) error {
	if (!e.sharing || !in.small) && e.Chunks != nil {
		e.show(e.batcher.Flush())
	}
	e.sharing = in.small
	return nil
}

func (e *examiner) put(t *reader.Task) (rejected *reader.RowError, err error) {
	if e.Chunks == nil {
		rejected = e.batcher.Judge(t)
	} else {
		var full *batcher.Chunk
		full, rejected = e.batcher.Add(*t)
		e.show(full)
	}
	if rejected != nil {
		return rejected, nil
	}
	if err := e.pass(t); err != nil || e.print == nil {
		return nil, err
	}
	return nil, e.printTask(t)
}

func (e *examiner) finish() error {
	if e.Chunks != nil {
		e.show(e.batcher.Flush())
	}
	if e.print == nil {
		return nil
	}
	return e.print.Flush()
}

func (e *examiner) abandon() error { return e.finish() }

// show hands a chunk to the one who asked for them.
func (e *examiner) show(c *batcher.Chunk) {
	if c != nil {
		e.Chunks(c)
		e.batcher.Recycle(c)
	}
}

// printTask writes a task as it would be sent.
func (e *examiner) printTask(t *reader.Task) error {
	line := e.print.AvailableBuffer()
	line = append(line, '{')
	if e.pool != "" {
		line = append(line, `"pool_id":`...)
		line = appendJSONString(line, e.pool)
		line = append(line, ',')
	}
	line = append(line, t.JSON...)
	line = append(line, '}', '\n')
	if _, err := e.print.Write(line); err != nil {
		return fmt.Errorf("the tasks can't be printed: %w", err)
	}
	return nil
}

func appendJSONString(dst []byte, s string) []byte {
	var e jx.Encoder
	e.Str(s)
	return append(dst, e.Bytes()...)
}
