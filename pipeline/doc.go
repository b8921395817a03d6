// Package pipeline runs an upload from end to end.
//
// What goes in: a Config that names the inputs (files, or the rows of a program),
// the pool and the rules. What comes out: a Report whose counts close, and,
// row by row, a verdict.Verdict, handed to a Recorder.
//
// A Pipeline only wires the rooms that a row passes:
//
//	inputs ─► intake ─► loader ─► sender ─► uploader
//	            │ put aside         │ outcome
//	            ▼                   ▼
//	          keeper ◄──────────────┘      books count both
//	            │
//	            ▼ at the end, from the ledger
//	         Recorder
//
// history runs before them: with a ledger it settles which run this is (plan.go), what
// is in doubt (settle.go) and which rows are not sent again (known.go). A keeper is the
// ledger's, or one that keeps nothing and tells the Recorder at once. A check has an
// examiner in place of the loader, and sends nothing.
//
// A Part goes by its name alone: it takes no row of another run as uploaded before,
// and can be run by several processes. They name the same operations, which the server
// carries out once; the one that comes last takes the run over, and the others end with
// a ledger.TakenOverError. A part that is finished is only reported again. It is refused
// where its file or its settings are not what they were, and fails where the file
// changes while it is read.
//
// An auditor lists the pool at the end of a run that may have sent a row twice, and accounts
// for each task (accounts.go); Verify does the same for a run that has ended, and for files.
//
// It is the only package with an errgroup: one goroutine reads and batches, and each
// chunk is uploaded in one of its own, as soon as package concurrency has a place.
//
// Stopping has two steps. Stop ends the reading and lets the chunks in flight
// finish; cancelling the context given to Run leaves at once. Either way every
// row that was read ends in exactly one verdict.Status.
//
// Memory: at most Workers + 2 chunks are alive, or some 12 MiB of them where
// Workers is 0, whatever the length of the input (see package batcher for the
// size of a chunk), and the rejections are
// merged into at most 1,000 groups of a few samples each. Where earlier runs
// created tasks of the same files, about 60 bytes are held for each of these.
package pipeline
