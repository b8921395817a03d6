package report

import "os"

const (
	// behindBuffer is how much is written at once, in bytes.
	behindBuffer = 128 << 10
	// syncEvery is how much is written until it is brought to the disk, in bytes. Else
	// all of it would have to be at the end, when there is nothing else to do.
	syncEvery = 8 << 20
)

// behind writes a file in a goroutine of its own, so that rows are formatted while
// earlier ones are written and reach the disk. An error comes with a later call.
//
// Memory: three buffers of behindBuffer, whatever is written.
type behind struct {
	buf  []byte        // what was not handed over yet
	full chan []byte   // to the goroutine; nil once all was
	free chan []byte   // and back; nil for a buffer that wasn't needed so far
	end  chan struct{} // closed when the goroutine has ended
	err  error         // why it did, if it was no close of full
}

// writeBehind starts writing to f. Until stop, f must not be used otherwise.
func writeBehind(f *os.File) *behind {
	b := &behind{
		buf:  make([]byte, 0, behindBuffer),
		full: make(chan []byte, 1), free: make(chan []byte, 3), end: make(chan struct{}),
	}
	b.free <- nil
	b.free <- nil
	go func(full <-chan []byte) {
		defer close(b.end)
		b.err = write(f, full, b.free)
	}(b.full)
	return b
}

func write(f *os.File, full <-chan []byte, free chan<- []byte) error {
	unsynced := 0
	for buf := range full {
		n, err := f.Write(buf)
		if unsynced += n; err == nil && unsynced >= syncEvery {
			unsynced = 0
			err = f.Sync()
		}
		if err != nil {
			return err
		}
		free <- buf
	}
	return nil
}

// AvailableBuffer gives an empty buffer to append to, for the next Write, which then
// copies nothing.
func (b *behind) AvailableBuffer() []byte { return b.buf[len(b.buf):] }

// Write takes a copy of p.
func (b *behind) Write(p []byte) (int, error) {
	n := 0
	for room := cap(b.buf) - len(b.buf); len(p)-n > room; room = cap(b.buf) {
		b.buf = append(b.buf, p[n:n+room]...)
		n += room
		if err := b.swap(); err != nil {
			return n, err
		}
	}
	b.buf = append(b.buf, p[n:]...)
	return len(p), nil
}

// swap gives what there is to the goroutine, and takes an empty buffer.
func (b *behind) swap() error {
	select {
	case b.full <- b.buf:
	case <-b.end:
		return b.err
	}
	select {
	case buf := <-b.free:
		if buf == nil {
			buf = make([]byte, 0, behindBuffer)
		}
		b.buf = buf[:0]
		return nil
	case <-b.end:
		return b.err
	}
}

// stop waits until all is written, and gives the error where it can't be.
func (b *behind) stop() error {
	if b.full != nil {
		select {
		case b.full <- b.buf:
		case <-b.end:
		}
		close(b.full)
		b.full = nil
	}
	<-b.end
	return b.err
}
