package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// crashVariable names where poolfill-crashing crashes: a step and its number,
// such as "post sent:2".
const crashVariable = "CRASH_AT"

// The steps at which a run is crashed, in the order in which they come.
const (
	crashInput    = "input opened"   // the run is in the ledger, nothing was sent
	crashPost     = "post due"       // the attempt is in the ledger, nothing was sent
	crashSent     = "post sent"      // carried out, the answer not yet seen
	crashAnswered = "post answered"  // the answer was read, the ledger doesn't know
	crashPolled   = "operation read" // the operation's end was read
	crashLog      = "log read"       // all is known, the ledger doesn't know
	crashKept     = "chunk kept"     // the ledger has the chunk
	crashRecord   = "rows due"       // every row is kept, the files are being written
	crashFinish   = "names due"      // the files are written and have no names
	crashFinished = "files written"  // the ledger does not say that the run has ended
)

// crashingMain is the program, except that it kills itself at one step.
func crashingMain() {
	c := &crasher{}
	step, number, _ := strings.Cut(os.Getenv(crashVariable), ":")
	c.step = step
	if _, err := fmt.Sscan(number, &c.number); err != nil {
		panic(err)
	}
	os.Exit(run(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, configure: c.configure}))
}

// crasher kills the process when a step is reached for the nth time.
type crasher struct {
	step   string
	number int64
	seen   atomic.Int64
	next   http.RoundTripper
	pipeline.Recorder
}

func (c *crasher) configure(cfg *pipeline.Config) {
	c.next, c.Recorder = http.DefaultTransport, cfg.Recorder
	cfg.API.HTTP, cfg.Recorder = &http.Client{Transport: c}, c
	core, _ := observer.New(zap.DebugLevel)
	cfg.Log = zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		if e.Message == "a chunk is done" {
			c.reach(crashKept)
		}
		return nil
	}))
}

func (c *crasher) reach(step string) {
	if step != c.step || c.seen.Add(1) != c.number {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {} // nothing happens any more until the signal arrives
}

// RoundTrip is part of http.RoundTripper.
func (c *crasher) RoundTrip(r *http.Request) (*http.Response, error) {
	creates := r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/tasks")
	if creates {
		c.reach(crashPost)
	}
	answer, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	step := ""
	switch operation := strings.Contains(r.URL.Path, "/operations/"); {
	case creates:
		c.reach(crashSent)
		step = crashAnswered
	case operation && strings.HasSuffix(r.URL.Path, "/log"):
		step = crashLog
	case operation:
		step = crashPolled
	}
	answer.Body = &crashingBody{answer.Body, func() { c.reach(step) }}
	return answer, nil
}

// crashingBody is an answer; closed is called when it was read.
type crashingBody struct {
	io.ReadCloser
	closed func()
}

func (b *crashingBody) Close() error {
	b.closed()
	return b.ReadCloser.Close()
}

// Input is part of pipeline.Recorder.
func (c *crasher) Input(info reader.Info) error {
	err := c.Recorder.Input(info)
	c.reach(crashInput)
	return err
}

// Record is part of pipeline.Recorder.
func (c *crasher) Record(results []verdict.Verdict) error {
	c.reach(crashRecord)
	return c.Recorder.Record(results)
}

// Finish is part of pipeline.Recorder.
func (c *crasher) Finish(r pipeline.Report) (pipeline.Report, error) {
	c.reach(crashFinish)
	r, err := c.Recorder.Finish(r)
	c.reach(crashFinished)
	return r, err
}

// Wherever a run is killed, the same command finishes it, and every row is
// there once.
func TestACrashAtAnyStepLosesAndDoublesNothing(t *testing.T) {
	const rows = 40
	for mode, steps := range map[string][]string{
		"async": {
			crashInput + ":1", crashPost + ":1", crashPost + ":4", crashSent + ":1", crashSent + ":5", crashAnswered + ":1", crashAnswered + ":8",
			crashPolled + ":1", crashPolled + ":6", crashLog + ":1", crashLog + ":8", crashKept + ":1", crashKept + ":8", crashRecord + ":1", crashFinish + ":1", crashFinished + ":1",
		},
		"sync": {crashPost + ":2", crashSent + ":5", crashAnswered + ":8", crashKept + ":4", crashFinished + ":1"},
	} {
		for _, step := range steps {
			t.Run(mode+", "+step, func(t *testing.T) {
				t.Parallel()
				tr := newTrial(t, mode, rows, nil)
				if code, stderr := tr.run(tr.command("poolfill-crashing", crashVariable+"="+step)); code != killed {
					t.Fatalf("the step was not reached: exit code %d\n%s", code, stderr)
				}
				tr.finish()
				tr.verify()
			})
		}
	}
}

// A run that is killed over and over gets on by a chunk each time.
func TestARunThatCrashesAfterEachChunkEnds(t *testing.T) {
	for _, step := range []string{crashSent, crashAnswered} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, "async", 40, nil)
			code, crashes := killed, 0
			for ; code == killed; crashes++ {
				if crashes > 50 {
					t.Fatal("it gets nowhere")
				}
				var stderr string
				if code, stderr = tr.run(tr.command("poolfill-crashing", crashVariable+"="+step+":1")); code != killed && code != exitOK {
					t.Fatalf("exit code %d:\n%s", code, stderr)
				}
			}
			if crashes < 4 {
				t.Errorf("it was killed %d times only", crashes)
			}
			tr.verify()
		})
	}
}
