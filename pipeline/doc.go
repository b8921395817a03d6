// Package pipeline runs an upload from end to end.
//
// What goes in: a Config that names the inputs (files, or the rows of a program),
// the pool and the rules. What
// comes out: a Report whose counts close, and, row by row, what became of it,
// handed to a Recorder.
//
//	inputs ─ reader ─► Task ─ batcher ─► Chunk ─ workers (uploader) ─► ledger ─► Recorder
//	            └────► RowError ──────────────────────────────────────┘
//
// With a ledger a run knows of those before it: it continues one that was cut
// off (plan.go), leaves rows out that are uploaded already (guard.go), and keeps
// what it is about to send, and what came of it (record.go). rebuild.go makes the
// report of a run again.
//
// A run that is a part of a larger job (part.go) goes by its name alone: it takes
// no row of another run as uploaded before, and can be run by several processes.
// They name the same operations, which the server carries out once; the one that
// comes last takes the run over, and the others end with a
// ledger.TakenOverError. A part that is finished is only told again. It is
// refused where its file or its settings are not what they were, and fails where
// the file changes while it is read.
//
// It is the only package with an errgroup: one goroutine batches, and each chunk
// is uploaded in one of its own, as soon as package concurrency gives it a place.
//
// Stopping has two steps. Stop ends the reading and lets the chunks in flight
// finish; cancelling the context given to Run leaves at once. Either way every
// row that was read ends in exactly one Status.
//
// Memory: at most Workers + 2 chunks are alive, or some 12 MiB of them where
// Workers is 0, whatever the length of the input (see package batcher for the
// size of a chunk), and the rejections are
// merged into at most 1,000 groups of a few samples each. Where earlier runs
// created tasks of the same files, about 60 bytes are held for each of these.
package pipeline
