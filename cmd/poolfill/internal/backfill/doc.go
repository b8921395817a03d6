// Package backfill uploads many files to many pools over many days, with one
// process or with many on several machines.
//
// What goes in: a manifest that names the files, where they go and by which
// rules. What comes out: tasks in pools, and a report over all of it.
//
// The way of a backfill:
//
//	manifest.go   typed rows of the manifest, their globs expanded
//	plan.go       files cut into segments, and segments laid out over pools: pure
//	alarm.go      errors that no waiting fixes
//	job.go        what River knows of a job, and when it has it again
//	tables.go     the tables in the ledger's database, and how their columns are read
//	store.go      the plan and how far it has come, in those tables
//	pools.go      the next pool, cloned from its template
//	segment.go    the job: one segment through the same pipeline as an upload
//	keeper.go     what no job does: jobs for segments, segments of dead workers
//	schedule.go   uploads that come again
//	manager.go    what a command asks for: plan, begin, pause, cancel, schedule
//	status.go     how far backfills have come
//	report.go     the report over all of one
//	engine.go     River, which runs the jobs
//
// A segment is a range of the rows of one file and belongs to one pool, both of
// which are settled when the backfill begins. So a job is safe to repeat, on any
// machine and even twice at the same time: its requests have the names that they
// had before, and the ledger knows what came of them. River decides when a job
// runs and repeats it when it fails; the tables of this package say what it has
// to do and who is at it. A worker shows that it is alive by counting up a beat
// in the row of its segment; whoever sees the same count for a while takes the
// segment away from it. No clock is compared with another.
//
// Memory: that of an upload for each segment that is under way, and the segments
// of one backfill where it is planned or shown.
package backfill
