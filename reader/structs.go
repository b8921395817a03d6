package reader

import (
	"encoding"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"

	"github.com/gocarina/gocsv"
)

// Structs makes a Source of structs, or of pointers to structs, whose fields name
// their columns by the tags of github.com/gocarina/gocsv:
//
//	type Animal struct {
//		Image   string       `csv:"INPUT:image"`
//		Tags    reader.Array `csv:"INPUT:tags"`
//		Answer  string       `csv:"GOLDEN:result"`
//		Overlap *int         `csv:"TASK:overlap"`
//		Note    string       `csv:"-"`
//	}
//
// The cells are those that gocsv would write, so a struct that writes a task file
// can be uploaded as it is. An empty string and a nil pointer are absent, the
// number 0 and false are not.
//
// A type that has no cells is reported by Source.Validate: one that is no struct,
// and one with a field that is a slice and says neither how it is written (as
// Array does) nor over how many columns it goes. An error of a field's own
// MarshalCSV ends the rows.
func Structs[T any](name string, rows iter.Seq2[T, error]) Source {
	s := Source{Name: name}
	header := func(columns []string) { s.Columns = columns }
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	problem := sliceWithoutText(t)
	if problem == nil {
		problem = gocsv.MarshalCSV([]T{}, cellsWriter(header))
	}
	if problem != nil {
		s.problem = fmt.Errorf("the rows of the source %q can't be written: %w", name, problem)
		return s
	}
	s.Rows = func(yield func([]string, error) bool) {
		var one [1]T
		var cells []string
		take := cellsWriter(func(row []string) { cells = row })
		for row, err := range rows {
			if one[0] = row; err == nil {
				err = gocsv.MarshalCSVWithoutHeaders(one[:], take)
			}
			if !yield(cells, err) || err != nil {
				return
			}
		}
	}
	return s
}

// NoError makes rows that can't fail, such as those of slices.Values, fit where
// rows may.
func NoError[T any](rows iter.Seq[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// cellsWriter is a gocsv.CSVWriter that hands the cells of each row on.
type cellsWriter func(cells []string)

func (w cellsWriter) Write(cells []string) error {
	w(cells)
	return nil
}

func (cellsWriter) Flush() {}

func (cellsWriter) Error() error { return nil }

// sliceWithoutText finds a field that gocsv would write as JSON, with the text
// "null" where it is nil.
func sliceWithoutText(t reflect.Type) error {
	if t.Kind() != reflect.Struct {
		return fmt.Errorf("%s is no struct", t)
	}
	for i := range t.NumField() {
		field := t.Field(i)
		_, columns := field.Tag.Lookup("csv[]")
		switch kind := field.Type.Kind(); {
		case field.PkgPath != "" || columns || field.Tag.Get("csv") == "-" || hasText(field.Type):
		case kind == reflect.Slice || kind == reflect.Array:
			return fmt.Errorf("the field %s is a slice: make it a reader.Array, or give its type a method MarshalCSV", field.Name)
		case kind == reflect.Struct:
			if err := sliceWithoutText(field.Type); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasText reports whether values of a type say themselves how they are written.
func hasText(t reflect.Type) bool {
	for _, method := range []reflect.Type{
		reflect.TypeFor[gocsv.TypeMarshaller](), reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[fmt.Stringer](),
	} {
		if t.Implements(method) || reflect.PointerTo(t).Implements(method) {
			return true
		}
	}
	return false
}

// Array is the cell of an array's column: its elements, written so that they are
// read back as they are, whatever is in them. An empty one is an absent cell. Of
// an array of JSON the cell is a string instead: the values, separated by commas.
type Array []string

// MarshalCSV returns the cell.
func (a Array) MarshalCSV() (string, error) {
	quoted := make([]string, len(a))
	for i, element := range a {
		quoted[i] = element
		// Blanks at its ends and the signs of the format need quotes; an element
		// without any text does too.
		if strings.Trim(element, " \t") != element || element == "" || strings.ContainsAny(element, "\",\\\r\n") {
			quoted[i] = `"` + strings.ReplaceAll(element, `"`, `""`) + `"`
		}
	}
	return strings.Join(quoted, ","), nil
}

// UnmarshalCSV reads the cell.
func (a *Array) UnmarshalCSV(cell string) error {
	*a = (*a)[:0]
	if cell == "" {
		return nil
	}
	for rest := (elements{rest: []byte(cell)}); ; {
		element, problem, ok := rest.next()
		if !ok {
			return nil
		}
		if problem != "" {
			return errors.New(problem)
		}
		*a = append(*a, string(element))
	}
}
