package pipeline

import (
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// Recorder takes what became of each row. A failure of it ends the run.
//
// Of a run with a Ledger the rows come at its end, as the ledger has them, so
// that what is recorded is what is kept. Of a check they come while it goes on.
// Either way Record is called by one goroutine at a time, and the rows come in
// the order of the inputs. Only in an upload that keeps no ledger do they come
// as soon as they are known, from several goroutines and in any order.
type Recorder interface {
	// Input announces an input before the first result of one of its rows. The
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
