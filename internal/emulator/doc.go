// Package emulator is a local Toloka: an http.Handler with the paths, limits,
// errors, operations and idempotency of Toloka's API, as far as filling pools
// and reading them back needs them. It is the default target of a first run,
// what continuous integration runs against and what users try their own
// pipelines with.
//
// What goes in: HTTP requests under /api/v1, as Toloka's API reference
// describes them. What comes out: its answers, and what happened as numbers
// under /emulator/stats. A fault script with a seed makes it fail as networks
// and servers do.
//
// It has its own wire types and its own checks, written from Toloka's
// documentation, and imports nothing of this module, so that it can disagree
// with the code that is tested against it.
//
// Memory: less than half a KiB for each POST /tasks and four bytes for each 256
// of its tasks, and about twice the bodies of the requests in flight. Tasks and
// what operation logs are made of live as lines of JSON in an append-only file:
// a temporary one, or Config.State, which is read again at the next start.
package emulator
