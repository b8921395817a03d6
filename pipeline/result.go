package pipeline

import (
	"poolfill/reader"

	"poolfill/reader/verdict"
)

// Status says what became of a row. Every row that is read ends in exactly one.
type Status string

// The statuses of a row.
const (
	// Created rows are tasks in the pool.
	Created Status = "created"
	// Valid rows passed a check that sends nothing.
	Valid Status = "valid"
	// Rejected rows were refused, by the reader or by the server.
	Rejected Status = "rejected"
	// Duplicate rows were in the pool before.
	Duplicate Status = "duplicate"
	// Unsent rows were read and not uploaded; Result.Reason says why, and
	// whether the server may have them all the same.
	Unsent Status = "unsent"
)

// Result is what became of one row.
type Result struct {
	Position verdict.Position
	Status   Status
	// TaskID is the task's id, where the row was created and the server said it.
	TaskID string
	// Findings says why a row was rejected; all findings of the row are there.
	Findings []verdict.Finding
	// Reason says why a row is unsent.
	Reason string
	// Raw is a rejected row as it stood in the input, as in reader.RowError.
	Raw []byte

	inDoubt bool // the server may have created an Unsent row
}

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
	// Record takes results, in the order of the input within one call. The
	// results and what they hold are only valid during the call.
	Record([]Result) error
	// Finish is called once, after the last Record, and only in a run that began.
	// What it returns is the run's report. The run counts as finished in the
	// ledger only after that, so that one that is killed here is gone on with.
	// After an error of Record it may return that error again.
	Finish(Report) (Report, error)
}
