package pipeline

import (
	"context"
	"sync"
)

// ending says whether a run still takes rows, and how and why it ended. The first
// cause counts. It is safe for concurrent use.
type ending struct {
	stopping chan struct{} // closed when no further row is taken
	once     sync.Once

	mu    sync.Mutex
	state State
	err   error // nil where the run ended as it should, or the user ended it
}

func newEnding() *ending { return &ending{stopping: make(chan struct{}), state: Finished} }

// stop ends the reading.
func (e *ending) stop(state State, cause error) {
	e.once.Do(func() {
		e.mu.Lock()
		e.state, e.err = state, cause
		e.mu.Unlock()
		close(e.stopping)
	})
}

// fail makes err the run's end, unless it already has one, and returns it.
func (e *ending) fail(err error) error {
	e.stop(Failed, err)
	return err
}

func (e *ending) stopped() bool {
	select {
	case <-e.stopping:
		return true
	default:
		return false
	}
}

// byUser reports whether the user has ended the run.
func (e *ending) byUser() bool { return e.stopped() && e.cause() == nil }

func (e *ending) cause() error {
	_, err := e.outcome()
	return err
}

func (e *ending) outcome() (State, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state, e.err
}

// bind returns a context that also ends when the run takes no further rows.
// release must be called; it waits for nothing.
func (e *ending) bind(ctx context.Context) (taking context.Context, release context.CancelFunc) {
	taking, release = context.WithCancel(ctx)
	go func() {
		select {
		case <-e.stopping:
			release()
		case <-taking.Done():
		}
	}()
	return taking, release
}

// override makes another cause that of the end, as it is worse than any before.
func (e *ending) override(state State, cause error) {
	e.stop(state, cause)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state, e.err = state, cause
}
