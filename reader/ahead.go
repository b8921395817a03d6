package reader

import (
	"errors"
	"io"
	"sync"
)

// finder finds the records of an input's rows, block by block.
type finder struct {
	in      *input
	records *RecordReader
	skip    int64 // rows still to be left out
	limit   int64 // rows still to be given; 0 where there is no limit
	most    int   // rows of a block
	from    *Mark // where the rows begin, if not behind the header
	first   int64 // the number of the row there
	source  bool  // the input is a Source, see piece.line
}

// find fills a block with the records that come next, and b.err with what comes
// after them.
func (f *finder) find(b *block) {
	for ; f.skip > 0; f.skip-- {
		if _, err := f.records.Read(); err != nil {
			break // comes again
		}
	}
	most := f.most
	if f.limit > 0 {
		most = int(min(int64(most), f.limit))
	}
	b.err = f.records.fill(b, most)
	if f.source {
		b.numberRows(f.in.name, f.records.records)
	}
	switch found := int64(len(b.pieces)); {
	case f.limit > 0 && found == f.limit:
		b.err = io.EOF
	case f.limit > 0:
		f.limit -= found
	}
	b.err = f.atEnd(b.err)
	b.bytes, b.sum = f.in.stored.bytes, f.in.stored.sum
}

// atEnd gives the error of an end with no row before it, or err.
func (f *finder) atEnd(err error) error {
	switch {
	case !errors.Is(err, io.EOF) || f.records.records > f.first:
		return err
	case f.from != nil:
		return f.records.misplaced(*f.from, "as there is none")
	case f.source:
		return inputError(f.in.name, CodeNoRows, 0, "the source gave no row: there is nothing to upload")
	}
	return inputError(f.in.name, CodeNoRows, 0, "the file has a header and no row after it: there is nothing to upload")
}

// blockPool keeps blocks for their next use.
type blockPool chan *block

// newBlockPool keeps as many blocks as are alive while so many goroutines
// parse.
func newBlockPool(parallel int) blockPool { return make(blockPool, parallel+2) }

func (p blockPool) get() *block {
	select {
	case b := <-p:
		return b
	default:
		return newBlock()
	}
}

func (p blockPool) put(b *block) {
	b.reset()
	select {
	case p <- b:
	default: // the caller has kept some for long
	}
}

// ahead is the goroutines that make blocks of rows ahead of the caller: one
// finds the records, others parse the blocks, and the order of the input is
// kept by a queue.
//
// Memory: the blocks in the queue, which are at most as many as the goroutines
// that parse, one that is being filled, and those that the caller has.
type ahead struct {
	queue   chan *block // in the order of the input, some not parsed yet
	quit    chan struct{}
	stopped bool
	running sync.WaitGroup
}

func startAhead(parallel int, f *finder, pool blockPool, newParser func() *parser) *ahead {
	a := &ahead{queue: make(chan *block, parallel), quit: make(chan struct{})}
	work := make(chan *block, parallel)
	a.running.Go(func() {
		defer f.in.closeUnpack()
		defer close(work)
		a.find(f, pool, work)
	})
	for range parallel {
		a.running.Go(func() {
			p := newParser()
			for b := range work {
				p.parse(b)
				b.parsed <- struct{}{}
			}
		})
	}
	return a
}

// find fills blocks up to the end of the input, or until quit.
func (a *ahead) find(f *finder, pool blockPool, work chan<- *block) {
	for ended := false; !ended; {
		b := pool.get()
		f.find(b)
		ended = b.err != nil
		work <- b
		select {
		case a.queue <- b:
		case <-a.quit:
			return
		}
	}
}

// next gives the next block. The one with an error is the last.
func (a *ahead) next() *block {
	b := <-a.queue
	<-b.parsed
	return b
}

// stop tells the goroutines to end.
func (a *ahead) stop() {
	if !a.stopped {
		a.stopped = true
		close(a.quit)
	}
}

// wait waits until the goroutines have ended.
func (a *ahead) wait() { a.running.Wait() }
