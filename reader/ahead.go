package reader

import (
	"errors"
	"io"
	"sync"

	"poolfill/reader/table"
)

// origin is where the records of a table come from: an input, or the rows of a
// program.
type origin interface {
	// describe returns what is known besides the table itself.
	describe() Info
	// whole reports whether all is read already.
	whole() bool
	// progress returns how many stored bytes were read, and their hash once they all
	// are.
	progress() (bytes int64, sum string)
	// prefix returns the hash of what was read so far; empty where it isn't known.
	prefix() string
	// noRows is the error of a table without rows.
	noRows() error
	// stop ends the reading. A call that is under way may go on; busy reports whether
	// it may take long.
	stop() (busy bool, err error)
	// release frees what reading has needed, once none is under way.
	release()
}

// finder finds the records of an input's rows, block by block.
type finder struct {
	from  origin
	skip  int64       // rows still to be left out
	limit int64       // rows still to be given; 0 where there is no limit
	most  int         // rows of a block
	found int64       // rows so far, with those left out
	mark  *table.Mark // where the rows begin, if not behind the header
}

// find fills a block with the records that come next, and b.err with what comes
// after them.
func (f *finder) find(b *block) {
	if b.err = f.pass(b); b.err == nil {
		most := int64(f.most)
		if f.limit > 0 {
			most = min(most, f.limit)
		}
		b.err = b.records.Find(int(most))
		found := int64(b.records.Len())
		f.found += found
		switch {
		case f.limit > 0 && found == f.limit:
			b.err = io.EOF
		case f.limit > 0:
			f.limit -= found
		}
	}
	b.err = f.atEnd(b.err)
	b.bytes, b.sum = f.from.progress()
	b.prefix = f.from.prefix()
	_, b.end = b.records.Marks()
}

// pass finds the rows that are left out. What is odd about them counts.
func (f *finder) pass(b *block) error {
	for f.skip > 0 {
		var rec table.Record
		err := b.records.Find(int(min(f.skip, blockRows)))
		for i := range b.records.Len() {
			b.records.Cut(i, &rec)
		}
		f.skip -= int64(b.records.Len())
		f.found += int64(b.records.Len())
		b.odd.mergeAll(b.records.Warnings())
		b.records.Reset()
		if err != nil {
			return err
		}
	}
	return nil
}

// atEnd returns the error of an end with no row before it, or err.
func (f *finder) atEnd(err error) error {
	switch {
	case !errors.Is(err, io.EOF) || f.found > 0:
		return err
	case f.mark != nil:
		return table.Misplaced(f.from.describe().File, *f.mark, "as there is none")
	}
	return f.from.noRows()
}

// blockPool keeps blocks for their next use.
type blockPool struct {
	free     chan *block
	newBlock func() table.Block
}

// newBlockPool keeps as many blocks of a table as are alive while so many goroutines
// parse.
func newBlockPool(parallel int, t table.Table) blockPool {
	return blockPool{make(chan *block, parallel+2), t.NewBlock}
}

func (p blockPool) get() *block {
	select {
	case b := <-p.free:
		return b
	default:
		return &block{records: p.newBlock(), parsed: make(chan struct{}, 1)}
	}
}

func (p blockPool) put(b *block) {
	b.reset()
	select {
	case p.free <- b:
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
		defer f.from.release()
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

// next returns the next block. The one with an error is the last.
func (a *ahead) next() *block {
	b := <-a.queue
	<-b.parsed
	return b
}

// stop ends the goroutines.
func (a *ahead) stop() {
	if !a.stopped {
		a.stopped = true
		close(a.quit)
	}
}

// wait waits until the goroutines have ended.
func (a *ahead) wait() { a.running.Wait() }
