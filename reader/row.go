package reader

import (
	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

// RowError is a row that can't become a task.
type RowError = table.RowError

// Warning is something odd in an input that doesn't stop a row.
type Warning = table.Warning

// Kind says what a task is for.
type Kind uint8

// The kinds of task. Toloka tells them apart by what the task carries.
const (
	General  Kind = iota // no known solution
	Control              // has a known solution
	Training             // has a known solution and a hint
)

// InfiniteOverlap is the Task.Overlap of a task that has no end of performers.
const InfiniteOverlap = -1

// Task is one row, ready to be sent.
//
// JSON and Raw are only valid until the next call of Next or the release of the
// Batch: who keeps a task copies them.
type Task struct {
	Position verdict.Position
	Kind     Kind
	// JSON holds the members of the API's task object without the braces and
	// without pool_id: `"input_values":{…},"known_solutions":[…],"overlap":3`.
	// Fields stand in the order of the file's columns, since Toloka merges
	// tasks with equal input_values in equal order.
	JSON []byte
	// InputBytes is the size of the value of input_values in JSON, OutputBytes
	// that of all output_values together. Toloka bounds both per request.
	InputBytes  int
	OutputBytes int
	// Overlap is how many performers are to do the task: InfiniteOverlap, 0 for
	// the pool's default, or a number from 1 to 30,000.
	Overlap int
	// Content sums up all that JSON holds but the overlap, so that equal tasks have
	// equal sums, see package identity; zero unless Config.Contents asks for it.
	Content [2]uint64
	// Raw is the record as it stood in the input, as in RowError.
	Raw []byte
}

// Row is what one record of an input became: a task, or an error.
type Row struct {
	Task Task
	// Err is nil where the row is a task. It is the caller's to keep.
	Err *RowError
}
