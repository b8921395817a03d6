package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"poolfill/batcher"
	"poolfill/internal/concurrency"
	"poolfill/internal/contract"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// OnInvalid says what an invalid row does to the run.
type OnInvalid string

// The rules for invalid rows.
const (
	// SkipInvalid uploads every valid row and reports the others.
	SkipInvalid OnInvalid = "skip"
	// StopAtInvalid creates nothing after the first invalid row that the check
	// or the server finds. Chunks then go one at a time, in file order.
	StopAtInvalid OnInvalid = "stop"
)

// MaxRejected bounds the rejected rows of a run. The zero value sets no bound.
type MaxRejected struct {
	// Rows stops the run when more rows than this are rejected; 0 sets no bound.
	Rows int64
	// Percent does the same for the share of the rows read, from 0 to 100. It
	// is looked at from 1,000 rows on and before the last chunk is sent.
	Percent float64
	// None allows no rejected row at all. Rows and Percent have no effect then.
	None bool
}

// percentFrom is the number of rows from which on a share says something.
const percentFrom = 1000

// exceeded reports whether the counts are over the bound. atEnd says that the
// whole input was read.
func (m MaxRejected) exceeded(rejected, rows int64, atEnd bool) bool {
	switch {
	case m.None:
		return rejected > 0
	case m.Rows > 0 && rejected > m.Rows:
		return true
	case m.Percent > 0 && (atEnd || rows >= percentFrom):
		return float64(rejected)*100 > m.Percent*float64(rows)
	}
	return false
}

func (m MaxRejected) String() string {
	switch {
	case m.None:
		return "0"
	case m.Percent > 0:
		return fmt.Sprintf("%g%%", m.Percent)
	default:
		return fmt.Sprint(m.Rows)
	}
}

// Config says what to upload, where to and by which rules.
type Config struct {
	// Files are the inputs, in order: paths and URLs as in reader.Open; "-" is
	// Stdin. There is at least one of Files and Sources. A URL is called by its
	// reader.Name everywhere else, so that a secret behind its ? is kept nowhere.
	Files []string
	// Stdin is read for the input "-"; nil is an empty one.
	Stdin io.Reader
	// Sources are rows of the program itself, which come after those of Files.
	// To the ledger a source is its name: GuardFile skips the rows that earlier
	// runs created from sources of that name in the pool, finished or not, in
	// whatever order they come. So a name is used again to go on with an upload,
	// and another one to upload the same rows once more.
	Sources []reader.Source
	// Reader says how inputs are read. Its Spec is used where it is set;
	// otherwise the spec of the pool's project is, unless NoSpec is set.
	Reader reader.Config
	// NoSpec asks for no spec: every value is a string.
	NoSpec bool

	// PoolID is the pool. It may be empty in a check that has a spec or NoSpec.
	PoolID string
	// Check does everything but send.
	Check bool
	// API says how the server is reached. A check without PoolID doesn't use it.
	API toloka.Config
	// Limits are the account's quotas; 0 in each of them means no limit.
	Limits ratelimit.Config
	// Mode is the way tasks are created; empty means uploader.Async.
	Mode uploader.Mode
	// ChunkSize is the most tasks in a request; 0 picks it from the mode and
	// the quota, see chunkTasks.
	ChunkSize int
	// Workers is the number of chunks that are uploaded at once. 0 finds out how
	// many pay, from 1 to 64: more while that gets more done, fewer where the
	// server is overloaded, and no more than fit into some 12 MiB.
	Workers int
	// Buffers are what chunks are made in. Runs of one process that follow each
	// other, or go on at the same time, can have them in common, which saves them
	// making their own; nil means that the run does.
	Buffers *batcher.Buffers
	// RunKey makes the names of operations: the same key, pool and rows give
	// the same operations, which the server creates once. Empty means the
	// pool's id, as no server knows it but the one that has the pool, and the
	// names of the Sources. With a Ledger it has no effect, as that knows the keys
	// of its runs.
	RunKey string
	// OnInvalid is the rule for invalid rows; empty means SkipInvalid.
	OnInvalid OnInvalid
	// MaxRejected ends the run when too many rows are rejected.
	MaxRejected MaxRejected
	// OpenPool opens the pool after every row was uploaded or rejected.
	OpenPool bool
	// PrintTasks receives each valid task as it would be sent, one JSON object
	// a line, in file order; nil prints none.
	PrintTasks io.Writer
	// Chunks receives each chunk that a check would send, in their order; it is
	// only valid during the call. nil receives none.
	Chunks func(*batcher.Chunk)

	// Ledger remembers what was uploaded, so that the run can be continued and
	// no row is uploaded twice; nil remembers nothing. A check has none.
	Ledger *Ledger
	// OpenLedger gives the Ledger where it is not open yet, which takes as long
	// as the first questions to the server and so is done beside them. An error
	// ends the run before anything is sent. The caller closes what it opened,
	// after Run. nil where the Ledger is open, or there is none.
	OpenLedger func(context.Context) (*Ledger, error)
	// Guard says which rows count as uploaded before; empty means GuardFile.
	// Without a Ledger it has no effect.
	Guard Guard
	// Command is kept in the ledger, for people: the command that continues the
	// run. It must not hold a secret.
	Command string

	// Part, where not empty, makes the run one part of a larger job, and is its
	// name: it goes on with the run of exactly this name, or begins it. Any
	// number of processes may run it, one after the other or at once, and create
	// each row once, see the documentation of the package. It needs a ledger, one
	// file and asynchronous mode; which part of the file it is stands in Reader,
	// see reader.Segment.
	Part string

	// RunID names the run in its report. A run that is continued keeps its first
	// name.
	RunID string
	// Recorder receives what became of each row; nil keeps only the counts.
	Recorder Recorder
	// OnProgress is told how far the run is, each ProgressEvery, and a last time
	// when every row has its outcome; nil is told nothing. The calls come one at a
	// time, from the first row to before Run returns. See also Pipeline.Progress.
	OnProgress func(Progress)
	// ProgressEvery is the time between two calls of OnProgress; 0 means a second.
	ProgressEvery time.Duration
	// Log receives what happens on the way; nil logs nothing.
	Log *zap.Logger
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if len(c.Files) == 0 && len(c.Sources) == 0 {
		errs = append(errs, errors.New("no input file: name at least one, or - for standard input"))
	}
	names := c.inputs()
	for i, path := range c.Files {
		if reader.IsURL(path) && slices.Contains(names[:i], names[i]) {
			errs = append(errs, fmt.Errorf("two inputs have the name %q", names[i]))
		}
	}
	for i, s := range c.Sources {
		if err := s.Validate(); err != nil {
			errs = append(errs, err)
		}
		if slices.Contains(names[:len(c.Files)+i], s.Name) {
			errs = append(errs, fmt.Errorf("two inputs have the name %q", s.Name))
		}
	}
	if c.PoolID == "" && !c.Check {
		errs = append(errs, errors.New("no pool: name it with --pool"))
	}
	if c.PoolID == "" && c.Check && c.Reader.Spec == nil && !c.NoSpec {
		errs = append(errs, errors.New("nothing to check against: give --pool, --spec FILE or --no-spec"))
	}
	if c.NoSpec && c.Reader.Spec != nil {
		errs = append(errs, errors.New("--spec and --no-spec exclude each other"))
	}
	if c.ChunkSize < 0 {
		errs = append(errs, fmt.Errorf("the chunk size is negative: %d", c.ChunkSize))
	}
	if c.Mode == uploader.Sync && c.ChunkSize > contract.MaxTasksSync {
		errs = append(errs, fmt.Errorf("the chunk size is %d: a synchronous request holds at most %d tasks", c.ChunkSize, contract.MaxTasksSync))
	}
	if c.Limits.TasksPerMinute > 0 && c.ChunkSize > c.Limits.TasksPerMinute {
		errs = append(errs, fmt.Errorf("the chunk size %d is over the limit of %d tasks a minute", c.ChunkSize, c.Limits.TasksPerMinute))
	}
	if c.ProgressEvery < 0 {
		errs = append(errs, fmt.Errorf("the time between two looks at the progress is negative: %v", c.ProgressEvery))
	}
	if c.Workers < 0 {
		errs = append(errs, fmt.Errorf("the number of workers is negative: %d", c.Workers))
	}
	switch c.Guard {
	case "", GuardFile, GuardLedger, GuardPool, GuardNone:
	default:
		errs = append(errs, fmt.Errorf("there is no guard %q", c.Guard))
	}
	if c.Part != "" {
		errs = append(errs, c.validatePart())
	}
	switch c.OnInvalid {
	case "", SkipInvalid, StopAtInvalid:
	default:
		errs = append(errs, fmt.Errorf("the rule for invalid rows is skip or stop, not %q", c.OnInvalid))
	}
	if err := c.Reader.Validate(); err != nil {
		errs = append(errs, err)
	}
	if err := c.Limits.Validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	c.Mode = cmp.Or(c.Mode, uploader.Async)
	c.Guard = cmp.Or(c.Guard, GuardFile)
	if c.Part != "" {
		c.RunID, c.Guard, c.RunKey = c.Part, guardPart, partKey(c.PoolID, c.Part)
	}
	if c.Check {
		c.Ledger, c.OpenLedger = nil, nil
	}
	if c.OnInvalid == "" {
		c.OnInvalid = SkipInvalid
	}
	if c.OnInvalid == StopAtInvalid {
		c.Workers = 1
	}
	c.ProgressEvery = cmp.Or(c.ProgressEvery, time.Second)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c
}

// inputs are the names of all inputs: the files, then the sources.
func (c Config) inputs() []string {
	names := make([]string, 0, len(c.Files)+len(c.Sources))
	for _, path := range c.Files {
		names = append(names, reader.Name(path))
	}
	for _, s := range c.Sources {
		names = append(names, s.Name)
	}
	return names
}

// firstKey is the key of a run that no other one went before.
func (c Config) firstKey() string {
	key := c.PoolID
	for _, s := range c.Sources {
		// Unlike files, sources of the same rows are told apart by their names.
		key += "/" + strconv.Quote(s.Name)
	}
	return key
}

// places says how many chunks may be uploaded at once.
func (c Config) places() concurrency.Config {
	switch {
	case c.Workers > 0:
		return concurrency.Config{Min: c.Workers, Start: c.Workers, Max: c.Workers, MaxBytes: math.MaxInt64}
	case c.Mode == uploader.Async:
		// Most of an operation's time is spent waiting for its end.
		return concurrency.Config{Start: 2 * concurrency.DefaultStart}
	}
	return concurrency.Config{}
}

// settings are those that a report shows.
func (c Config) settings() Settings {
	s := Settings{
		Command: c.Command, ChunkSize: chunkTasks(c.ChunkSize, c.Limits), Workers: c.Workers,
		OnInvalid: c.OnInvalid, Guard: c.Guard, OpenPool: c.OpenPool,
	}
	if c.usesAPI() {
		s.Server = c.API.BaseURL
	}
	if c.MaxRejected != (MaxRejected{}) {
		s.MaxRejected = c.MaxRejected.String()
	}
	return s
}

// usesAPI reports whether the run talks to the server at all.
func (c Config) usesAPI() bool { return !c.Check || c.PoolID != "" }

// chunkTasks picks the most tasks in a chunk.
//
// A request takes its tasks out of the minute's window whole, so what is left
// of the window when the next chunk no longer fits stays unused. Chunks of a
// hundredth of the window waste at most 1% of it.
func chunkTasks(asked int, limits ratelimit.Config) int {
	if asked > 0 {
		return asked
	}
	n := contract.MaxTasksSync
	for _, window := range []int{limits.TasksPerMinute, limits.TasksPerDay} {
		if window > 0 {
			n = min(n, max(1, window/100))
		}
	}
	return n
}
