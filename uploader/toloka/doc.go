// Package toloka is a client of the Toloka API
// (https://toloka.ai/docs/api/api-reference/), as far as filling pools needs it.
//
// What goes in: a Config with the server's address and a token, and calls of a
// Client's methods. What comes out: what the server answers, or an *Error that says
// what went wrong, for what request, and what to do about it. A Client waits for the
// quota, repeats what fails for a passing reason, and counts its requests; each of that
// is a layer around the one place that sends them.
//
// Tasks are created from the JSON of whole batches, in one request (Create) or as an
// operation of the server (Submit, Operation, Log). What else a pool may hold is another
// Entity.
//
// Memory: answers about tasks are read as they stream in, in a window of 64 KiB or
// the largest single task, with the ids of the tasks that were created; lists a page at
// a time. All other answers are held whole, up to 32 MiB.
package toloka
