// Package uploader brings chunks of tasks into a pool.
//
// What goes in: batcher.Chunks. What comes out: for each an Outcome, which says
// for every row whether it was created (with the task's id), rejected (with the
// server's reasons), or not sent. One call of Upload is a chunk's whole life:
// attempts, back-off, splitting, the operation's end and its log.
//
// A chunk is never created twice. In asynchronous mode the server sees to that:
// the operation's id is a name for the chunk's content (see OperationID), and
// the server takes each id once, so whatever is in doubt is simply sent again.
// In synchronous mode the server gives no such help: a chunk whose answer was
// lost is looked for in the pool before it is sent again, among what came since
// the newest task that was noted before (see Mark). What that can't guard
// against is said at Sync.
//
// Where an operation's log doesn't say what became of its rows, they too are
// looked for in the pool, while no other chunk is under way. Tasks are equal
// where all is that they were sent with, see package identity. Equal ones are
// interchangeable, so that a row can be given a task that was created for an
// equal row whose own upload was left in doubt. Where the pool has a task that
// nobody knows of, rows that it doesn't have stay in doubt: they are not sent.
//
// An upload that was broken off, by a kill or an error, goes on: a Journal keeps
// what is about to be sent, and Upload takes what was kept as a Prior.
//
// Failures of rows are data. An error ends the run: a refused token, an unknown
// pool, retries that are used up. The Outcome beside it still says what is known
// of each row, and which rows the server may have all the same.
//
// Memory: answers are parsed as they stream in. A chunk at work holds, beside
// itself, about
//
//	320 bytes × tasks + 64 KiB + the largest single task in an answer
//
// plus the errors of rejected rows; an error answer is held whole, up to 8 MiB.
// A chunk that had to be split or sent in part holds a second body. For each
// task that was created, 8 bytes are kept too, until Kept says that its id is
// found elsewhere. A search holds some 100 bytes for each task that came since
// the chunk began and whose row isn't known here.
package uploader
