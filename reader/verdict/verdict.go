// Package verdict has the one type that says what became of a row: from the
// reader's check or the server's answer to the ledger and the last report it is
// the same value.
//
// What goes in: what reader and uploader find out. What comes out: the same, to
// whoever counts, keeps or shows it. A Verdict holds the text of its findings and,
// where the row was rejected, the row itself; nothing else is referred to.
package verdict

import (
	"fmt"
	"strings"
)

// Position says where a record stands in its input.
type Position struct {
	// File is the input as the user named it; "-" is standard input.
	File string
	// Line is the physical line on which the record starts; the first line of
	// the file is 1, and empty lines count.
	Line int64
	// Record is the number of the data row; the first row after the header is 1.
	Record int64
	// Offset is the place of the record's first byte in the decompressed input.
	// Where the input was decoded from another charset, it counts the bytes
	// of the decoded text.
	Offset int64
}

// Stage says which step of the way found something wrong with a row.
type Stage string

// The stages, in the order in which a row passes them.
const (
	StageParse  Stage = "parse"  // the record itself: cells, quotes, bytes
	StageMap    Stage = "map"    // its columns and what belongs to no field
	StageCheck  Stage = "check"  // the values against the project's spec
	StageServer Stage = "server" // the API's own validation
)

// Finding is one thing that is wrong with a row.
type Finding struct {
	Stage Stage
	// Line is the physical line, which is that of the record unless the
	// finding belongs to a later line of a record that spans several.
	Line int64
	// Column is the number of the column, from 1; 0 where the finding is
	// about the whole record.
	Column int
	// Field is the column's name as the header has it, such as "INPUT:image";
	// empty where the finding is not about one column's value.
	Field string
	// Path is the API's name of what a finding of the server is about, such as
	// "known_solutions.1.output_values.result"; empty in the other stages, and where
	// it is the whole task.
	Path string
	// Code is Toloka's in the stages check and server, and one of the Code
	// constants of package reader in parse and map.
	Code string
	// Message is a sentence for a person. It never holds a long cell whole.
	Message string
	// Value is the start of the offending cell, cut to a few dozen bytes.
	Value string
}

// Describe returns one line for people: the place in the file, and the message.
func (f Finding) Describe(file string) string {
	var b strings.Builder
	b.WriteString(file)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	if f.Column > 0 {
		fmt.Fprintf(&b, ", column %d", f.Column)
		if f.Field != "" {
			fmt.Fprintf(&b, " (%s)", f.Field)
		}
	}
	fmt.Fprintf(&b, ": %s", f.Message)
	return b.String()
}

// Status says what became of a row. Every row that is read ends in exactly one.
type Status uint8

// The statuses of a row.
const (
	// Unsent rows were read and not uploaded; Verdict.Reason says why.
	Unsent Status = iota
	// Created rows are tasks in the pool.
	Created
	// Valid rows passed a check that sends nothing.
	Valid
	// Rejected rows were refused, by the reader or by the server.
	Rejected
	// Duplicate rows were in the pool before.
	Duplicate
)

// String returns the status as reports have it, such as "created".
func (s Status) String() string {
	switch s {
	case Created:
		return "created"
	case Valid:
		return "valid"
	case Rejected:
		return "rejected"
	case Duplicate:
		return "duplicate"
	}
	return "unsent"
}

// Verdict is what became of one row.
type Verdict struct {
	Position Position
	Status   Status
	// InDoubt says of an Unsent row that the server may have created its task all
	// the same.
	InDoubt bool
	// TaskID is the task's id, where the row was created, or is a Duplicate, and
	// the id is known.
	TaskID string
	// Reason says why a row is Unsent, or why the id of a created one is unknown; a
	// clause for people.
	Reason string
	// Findings says why a row was Rejected; all findings of the row are there.
	Findings []Finding
	// Raw is a Rejected row as it stood in the input, without its line end. It is
	// nil for a record over the size limit, which is not kept.
	Raw []byte
}
