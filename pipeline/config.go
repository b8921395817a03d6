package pipeline

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"poolfill/batcher"
	"poolfill/internal/concurrency"
	"poolfill/internal/contract"
	"poolfill/pipeline/ledger"
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

// Config says what to read, where to send it, how, and what to keep. Its groups
// are embedded: the pool of cfg is cfg.PoolID.
type Config struct {
	Input
	Target
	Sending
	Rules
	Keeping
	// Job is what is done with the valid rows: a Check, an Upload or a Part. nil is
	// an Upload with nothing set.
	Job Job

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

// Input is what is read. There is at least one of Files and Sources.
type Input struct {
	// Files are the inputs, in order: paths and URLs as in reader.Open; "-" is
	// Stdin. A URL is called by its reader.Name everywhere else, so that a secret
	// behind its ? is kept nowhere.
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
}

// Target is where tasks are sent.
type Target struct {
	// PoolID is the pool. It may be empty in a Check that has a spec or NoSpec.
	PoolID string
	// API says how the server is reached. A Check without PoolID doesn't use it.
	// Its Gate is the run's to make, from Limits, and must be nil.
	API toloka.Config
	// Limits are the account's quotas; 0 in each of them means no limit. Where
	// its Book is nil, a run with a ledger keeps the use of the quotas there.
	Limits ratelimit.Config
}

// Sending is how tasks are put into requests. A Check makes the same requests, and
// sends none.
type Sending struct {
	// Mode is the way tasks are created; empty means uploader.Async.
	Mode uploader.Mode
	// ChunkSize is the most tasks in a request; 0 means DefaultChunkSize, whatever the
	// quotas are, since the names of operations depend on it.
	ChunkSize int
	// Workers is the number of chunks that are uploaded at once. 0 finds out how
	// many pay, from 1 to 64: more while that gets more done, fewer where the
	// server is overloaded, and no more than fit into some 12 MiB.
	Workers int
	// Buffers are what chunks are made in. Runs of one process that follow each
	// other, or go on at the same time, can have them in common, which saves them
	// making their own; nil means that the run does.
	Buffers *batcher.Buffers
}

// DefaultChunkSize is the most tasks in a request where nothing else is asked for. A
// request takes its tasks out of the minute's quota whole: of Toloka's own, 1% at most
// stays unused.
const DefaultChunkSize = 2000

func (s Sending) chunkSize() int { return cmp.Or(s.ChunkSize, DefaultChunkSize) }

// Rules say what rejected rows do to the run, and when it is verified.
type Rules struct {
	// OnInvalid is the rule for invalid rows; empty means SkipInvalid.
	OnInvalid OnInvalid
	// MaxRejected ends the run when too many rows are rejected.
	MaxRejected MaxRejected
	// Verify says whether the pool is listed at the end of the run, to see that it holds
	// each row once; empty means VerifyAuto. What is found is in Report.Verification.
	// Without a ledger nothing is verified.
	Verify VerifyMode
	// VerifyAfter is how long after rows were sent again the pool is listed, as those
	// that were sent first may yet turn up; 0 means DefaultVerifyAfter.
	VerifyAfter time.Duration
	// KeepGoing sends further chunks even if the server has refused all rows of one, which
	// are more than a few, for the same reason. Mostly that is no matter of single rows.
	KeepGoing bool
}

// Keeping is what is remembered of the run.
type Keeping struct {
	// Ledger remembers what was uploaded, so that the run can be continued and
	// no row is uploaded twice; nil remembers nothing. A Check uses none.
	Ledger *ledger.Ledger
	// OpenLedger opens the Ledger where it is not open yet, which takes as long
	// as the first questions to the server and so is done beside them. An error
	// ends the run before anything is sent. The caller closes what it opened,
	// after Run. nil where the Ledger is open, or there is none.
	OpenLedger func(context.Context) (*ledger.Ledger, error)
	// RunID names the run in its report, and must be one that the ledger doesn't
	// have; empty makes one at random. A run that is continued keeps its first
	// name, and a Part has its own.
	RunID string
	// Command is kept in the ledger, for people: the command that continues the
	// run. It must not hold a secret.
	Command string
}

// Job is what a run does with its valid rows: it is a Check, an Upload or a Part.
type Job interface {
	// describe fills in what the job is.
	describe(*job)
}

// Check does everything but send.
type Check struct {
	// PrintTasks receives each valid task as it would be sent, one JSON object
	// a line, in the order of the inputs; nil prints none.
	PrintTasks io.Writer
	// Chunks receives each chunk that would be sent, in their order; it is only
	// valid during the call. nil receives none.
	Chunks func(*batcher.Chunk)
}

// Upload creates a task for each valid row that was not uploaded before.
type Upload struct {
	// Guard says which rows count as uploaded before; empty means GuardFile.
	// GuardLedger and GuardPool need a ledger.
	Guard Guard
	// RunKey makes the names of operations: the same key, pool and rows give
	// the same operations, which the server creates once. Empty means the
	// pool's id, as no server knows it but the one that has the pool, and the
	// names of the Sources. With a ledger, which knows the keys of its runs, it
	// must be empty.
	RunKey string
	// OpenPool opens the pool after every row was uploaded or rejected.
	OpenPool bool
}

// Part is one part of a larger job. It goes on with the run of exactly its name, or
// begins it. Any number of processes may run it, one after the other or at once, and
// create each row once, see the documentation of the package. It needs a ledger, one
// file and asynchronous mode; which part of the file it is stands in Config.Reader,
// see reader.Segment.
type Part struct{ Name string }

// job is a Job as the run sees it.
type job struct {
	check  *Check // nil where tasks are sent
	part   string // the part's name; empty where it is none
	guard  Guard
	runKey string
	open   bool // the pool, at the end
}

func (c Check) describe(j *job) { j.check, j.guard = &c, GuardFile }
func (u Upload) describe(j *job) {
	j.guard, j.runKey, j.open = cmp.Or(u.Guard, GuardFile), u.RunKey, u.OpenPool
}
func (p Part) describe(j *job) { j.part, j.guard = p.Name, guardPart }

func (c Config) job() (j job) {
	if c.Job == nil {
		c.Job = Upload{}
	}
	c.Job.describe(&j)
	return j
}

func (c Config) hasLedger() bool { return c.Ledger != nil || c.OpenLedger != nil }

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	j := c.job()
	errs := []error{c.validateInputs(), c.validateTarget(j)}
	report := func(text string, args ...any) { errs = append(errs, fmt.Errorf(text, args...)) }
	if c.ChunkSize < 0 {
		report("the chunk size is negative: %d", c.ChunkSize)
	}
	if c.Mode == uploader.Sync && c.ChunkSize > contract.MaxTasksSync {
		report("the chunk size is %d: a synchronous request holds at most %d tasks", c.ChunkSize, contract.MaxTasksSync)
	}
	if c.Limits.TasksPerMinute > 0 && c.ChunkSize > c.Limits.TasksPerMinute {
		report("the chunk size %d is over the limit of %d tasks a minute", c.ChunkSize, c.Limits.TasksPerMinute)
	}
	if c.ProgressEvery < 0 {
		report("the time between two looks at the progress is negative: %v", c.ProgressEvery)
	}
	if c.Workers < 0 {
		report("the number of workers is negative: %d", c.Workers)
	}
	switch j.guard {
	case GuardFile, GuardNone, guardPart:
	case GuardLedger, GuardPool:
		if c.PoolID != "" && !c.hasLedger() {
			report("the guard %q needs a ledger", j.guard)
		}
	default:
		report("there is no guard %q", j.guard)
	}
	if j.runKey != "" && c.hasLedger() {
		report("the ledger knows the keys of its runs: there is nothing to set")
	}
	if _, part := c.Job.(Part); part {
		errs = append(errs, c.validatePart(j.part))
	}
	switch c.Verify {
	case "", VerifyAuto, VerifyNever:
	case VerifyAlways:
		if !c.hasLedger() && j.check == nil {
			report("to be verified, a run needs a ledger")
		}
	default:
		report("a run is verified %s, %s or %s, not %q", VerifyAuto, VerifyAlways, VerifyNever, c.Verify)
	}
	if c.VerifyAfter < 0 {
		report("the time until a run is verified is negative: %v", c.VerifyAfter)
	}
	switch c.OnInvalid {
	case "", SkipInvalid, StopAtInvalid:
	default:
		report("the rule for invalid rows is skip or stop, not %q", c.OnInvalid)
	}
	return errors.Join(append(errs, c.Reader.Validate(), c.Limits.Validate())...)
}

func (c Config) validateTarget(j job) error {
	var errs []error
	if c.PoolID == "" && j.check == nil {
		errs = append(errs, ErrNoPool)
	}
	if c.PoolID == "" && j.check != nil && c.Reader.Spec == nil && !c.NoSpec {
		errs = append(errs, ErrNoSpec)
	}
	if c.NoSpec && c.Reader.Spec != nil {
		errs = append(errs, ErrTwoSpecs)
	}
	if c.API.Gate != nil {
		errs = append(errs, errors.New("the gate is made from the limits: there is none to set"))
	}
	if c.Ledger != nil && c.OpenLedger != nil {
		errs = append(errs, errors.New("a ledger that is open is not to be opened"))
	}
	return errors.Join(errs...)
}

func (c Config) validateInputs() error {
	var errs []error
	if len(c.Files) == 0 && len(c.Sources) == 0 {
		errs = append(errs, errors.New("no input file: name at least one, or - for standard input"))
	}
	names := c.names()
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
	return errors.Join(errs...)
}

// names are those of all inputs: the files, then the sources.
func (c Config) names() []string {
	names := make([]string, 0, len(c.Files)+len(c.Sources))
	for _, path := range c.Files {
		names = append(names, reader.Name(path))
	}
	for _, s := range c.Sources {
		names = append(names, s.Name)
	}
	return names
}

// settings are a Config with its defaults. They are made once, and don't change.
type settings struct {
	Config
	job
	names []string // of the inputs
}

// settle fills in the defaults.
func (c Config) settle() settings {
	s := settings{Config: c, job: c.job(), names: c.names()}
	s.Mode = cmp.Or(c.Mode, uploader.Async)
	s.OnInvalid = cmp.Or(c.OnInvalid, SkipInvalid)
	s.ChunkSize = c.chunkSize()
	s.Verify, s.VerifyAfter = cmp.Or(c.Verify, VerifyAuto), cmp.Or(c.VerifyAfter, DefaultVerifyAfter)
	if s.OnInvalid == StopAtInvalid {
		s.Workers = 1
	}
	s.RunID = cmp.Or(s.part, c.RunID)
	if s.RunID == "" {
		s.RunID = strings.ToLower(rand.Text()[:8])
	}
	s.ProgressEvery = cmp.Or(c.ProgressEvery, time.Second)
	if c.Log == nil {
		s.Log = zap.NewNop()
	}
	if c.Recorder == nil {
		s.Recorder = nobody{}
	}
	if s.check != nil {
		s.Ledger, s.OpenLedger = nil, nil
	}
	return s
}

// firstKey is the key of a run that no other one went before.
func (s *settings) firstKey() string {
	switch {
	case s.part != "":
		return partKey(s.PoolID, s.part)
	case s.runKey != "":
		return s.runKey
	}
	key := s.PoolID
	for _, source := range s.Sources {
		// Unlike files, sources of the same rows are told apart by their names.
		key += "/" + strconv.Quote(source.Name)
	}
	return key
}

// places says how many chunks may be uploaded at once.
func (s *settings) places() concurrency.Config {
	switch {
	case s.Workers > 0:
		return concurrency.Config{Min: s.Workers, Start: s.Workers, Max: s.Workers, MaxBytes: math.MaxInt64}
	case s.Mode == uploader.Async:
		// Most of an operation's time is spent waiting for its end.
		return concurrency.Config{Start: 2 * concurrency.DefaultStart}
	}
	return concurrency.Config{}
}

// shown are the settings that a report shows.
func (s *settings) shown() Settings {
	shown := Settings{
		Command: s.Command, ChunkSize: s.ChunkSize, Workers: s.Workers,
		OnInvalid: s.OnInvalid, Guard: s.guard, OpenPool: s.open,
	}
	if s.usesAPI() {
		shown.Server = s.API.BaseURL
	}
	if s.MaxRejected != (MaxRejected{}) {
		shown.MaxRejected = s.MaxRejected.String()
	}
	return shown
}

// usesAPI reports whether the run talks to the server at all.
func (s *settings) usesAPI() bool { return s.check == nil || s.PoolID != "" }

// mode is that of a report.
func (s *settings) mode() string {
	if s.check != nil {
		return "check"
	}
	return string(s.Mode)
}

// uploading are the settings of an uploader for a run with a key, and for a pool with
// this overlap for new tasks.
func (s *settings) uploading(key string, overlap int, end *ending, journal uploader.Journal) uploader.Config {
	return uploader.Config{
		PoolID: s.PoolID, Mode: s.Mode, SkipInvalid: s.OnInvalid == SkipInvalid,
		Stop: end.stopping, RunKey: key, Journal: journal, DefaultOverlap: overlap,
	}
}

// batching is how chunks are made for a pool with this overlap for new tasks; 0 where
// it is unknown.
func (s *settings) batching(overlap int) batcher.Config {
	return batcher.Config{
		PoolID:         cmp.Or(s.PoolID, "0"), // a check without a pool cuts the same chunks
		MaxTasks:       s.ChunkSize,
		ItemIndex:      s.Mode == uploader.Async,
		Buffers:        s.Buffers,
		DefaultOverlap: overlap,
	}
}

// openInput opens an input from its beginning. A source yields no row by that.
func (s *settings) openInput(ctx context.Context, number int, reading reader.Config) (*reader.Reader, error) {
	if number >= len(s.Files) {
		return s.Sources[number-len(s.Files)].Open(reading)
	}
	return reader.Open(ctx, s.Files[number], s.Stdin, reading)
}

// isPath reports whether an input is a file by its path.
func (s *settings) isPath(number int) bool {
	return number < len(s.Files) && s.Files[number] != stdinName && !reader.IsURL(s.Files[number])
}
