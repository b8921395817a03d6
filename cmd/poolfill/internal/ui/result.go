package ui

import (
	"encoding/json"
	"io"
)

// Result is what a command prints: the value itself as JSON for programs, or its text
// for people.
type Result interface {
	// Text writes the text. The error is the writer's.
	Text(w io.Writer) error
}

// EncodeJSON writes a value as a program reads it, and a person too where it has to be.
func EncodeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
