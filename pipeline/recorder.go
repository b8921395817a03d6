package pipeline

import (
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// Recorder takes what became of each row. A failure of it ends the run.
//
// Of a run with a ledger the rows come at its end, as the ledger has them, so
// that what is recorded is what is kept. Of a check they come while it goes on.
// Either way Record is called by one goroutine at a time, and the rows come in
// the order of the inputs. Only in an upload that keeps no ledger do they come
// as soon as they are known, from several goroutines and in any order.
type Recorder interface {
	// Input announces an input before the first verdict of one of its rows. The
	// first call comes before anything is sent.
	Input(reader.Info) error
	// Record takes verdicts, in the order of the input within one call. The
	// verdicts and what they hold are only valid during the call.
	Record([]verdict.Verdict) error
	// Finish is called once, after the last Record, and only in a run that began.
	// What it returns is the run's report. The run counts as finished in the
	// ledger only after that, so that one that is killed here is gone on with.
	// After an error of Record it may return that error again.
	Finish(Report) (Report, error)
}

// nobody is a Recorder that takes nothing.
type nobody struct{}

func (nobody) Input(reader.Info) error         { return nil }
func (nobody) Record([]verdict.Verdict) error  { return nil }
func (nobody) Finish(r Report) (Report, error) { return r, nil }
func listens(to Recorder) bool                 { _, deaf := to.(nobody); return !deaf }

// sideline gathers the verdicts of rows that never reach a chunk, to hand them on
// together: so many, or as soon as what is kept of them is so large.
type sideline struct {
	handOn func([]verdict.Verdict) error
	rows   []verdict.Verdict
	bytes  int
}

const (
	maxAside      = 4096
	maxAsideBytes = 256 << 10
)

// next returns the place of the next verdict, which is all zero. Where there are
// enough before it, they are handed on.
func (s *sideline) next() (*verdict.Verdict, error) {
	var err error
	if len(s.rows) >= maxAside || s.bytes >= maxAsideBytes {
		err = s.flush()
	}
	s.rows = append(s.rows, verdict.Verdict{})
	return &s.rows[len(s.rows)-1], err
}

func (s *sideline) add(v verdict.Verdict) error {
	place, err := s.next()
	*place = v
	s.bytes += len(v.Raw) + 256*len(v.Findings)
	return err
}

// flush hands on what there is.
func (s *sideline) flush() error {
	if len(s.rows) == 0 {
		return nil
	}
	err := s.handOn(s.rows)
	clear(s.rows)
	s.rows, s.bytes = s.rows[:0], 0
	return err
}
