package uploader

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Mode is how a chunk is sent.
type Mode string

// The modes.
const (
	// Async sends each chunk as an operation, which the server takes only once
	// however often it comes: no task is ever created twice.
	Async Mode = "async"
	// Sync creates the tasks within the request. Where an answer is lost, the
	// chunk is looked for among the tasks created since, by all that they were sent
	// with. That is exact as long as nobody else uploads equal tasks to the same pool at
	// the same time, and the server has finished with a request within Config.Settle
	// after its connection was lost. A server that takes longer can create a chunk
	// twice: Outcome.Resent says where that can be.
	Sync Mode = "sync"
)

// The defaults of Config.
const (
	DefaultOperationTimeout = 30 * time.Minute
	DefaultSettle           = 3 * time.Second
)

// Config is what is uploaded and how.
type Config struct {
	// PoolID is the pool that the chunks are for. It must not be empty.
	PoolID string
	// Mode is Async or Sync; empty means Async.
	Mode Mode
	// SkipInvalid lets the valid rows of a chunk be created when others are
	// refused. When it is false, a chunk with a refused row creates nothing; but
	// where the chunk was too large for the server and was split (answer 413), the
	// rows before it have been created.
	SkipInvalid bool
	// RunKey tells this upload apart from others to the same pool: the same
	// chunk of the same RunKey is created once. It must not be empty in Async.
	RunKey string
	// DefaultOverlap is what the pool gives a task without an overlap of its own, as in
	// batcher.Config; 0 where that isn't known.
	DefaultOverlap int
	// OperationTimeout bounds the time that is waited for an operation; 0 means 30
	// minutes. The rows of one that takes longer end as Unsent and InDoubt.
	OperationTimeout time.Duration
	// Stop, once closed, keeps chunks from being sent of which nothing was sent
	// yet: their rows end as Unsent, instead of waiting for a quota. Upload's
	// error is canceled then. Nil never stops.
	Stop <-chan struct{}
	// Settle is how long a search of the pool waits, twice, for the server to
	// finish with what is in doubt, and five times as long where there was no
	// answer in time; 0 means 3 seconds.
	Settle time.Duration
	// Journal hears of everything before it is sent; nil means none.
	Journal Journal
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.PoolID == "" {
		errs = append(errs, errors.New("the pool's id is empty"))
	}
	switch c.Mode {
	case "", Async:
		if c.RunKey == "" {
			errs = append(errs, errors.New("the run's key is empty"))
		}
	case Sync:
	default:
		errs = append(errs, fmt.Errorf("the mode must be async or sync: %q", c.Mode))
	}
	if c.DefaultOverlap < 0 {
		errs = append(errs, fmt.Errorf("the pool's default overlap is negative: %d", c.DefaultOverlap))
	}
	if c.OperationTimeout < 0 {
		errs = append(errs, fmt.Errorf("the time for an operation is negative: %v", c.OperationTimeout))
	}
	if c.Settle < 0 {
		errs = append(errs, fmt.Errorf("the time to settle is negative: %v", c.Settle))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	c.Mode = cmp.Or(c.Mode, Async)
	c.OperationTimeout = cmp.Or(c.OperationTimeout, DefaultOperationTimeout)
	c.Settle = cmp.Or(c.Settle, DefaultSettle)
	if c.Journal == nil {
		c.Journal = noJournal{}
	}
	return c
}
