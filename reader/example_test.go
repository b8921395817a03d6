package reader_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"poolfill/reader"
)

func ExampleNew() {
	file := "INPUT:image\tINPUT:width\tGOLDEN:result\n" +
		"https://example.com/1.jpg\t0640\tcat\n" +
		"example.com/2.jpg\t3,5\tdog\n" +
		"https://example.com/3.jpg\t800\n"
	spec := &reader.Spec{
		Input:  map[string]reader.FieldSpec{"image": {Type: reader.TypeURL, Required: true}, "width": {Type: reader.TypeInteger}},
		Output: map[string]reader.FieldSpec{"result": {Type: reader.TypeString}},
	}
	r, err := reader.New("animals.tsv", strings.NewReader(file), reader.Config{Spec: spec})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }() // nothing to lose: the input was only read
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		if row.Err == nil {
			fmt.Printf("task from line %d: {%s}\n", row.Task.Position.Line, row.Task.JSON)
			continue
		}
		for _, f := range row.Err.Findings {
			fmt.Printf("line %d, column %d %s: %s: %s\n", f.Line, f.Column, f.Field, f.Code, f.Message)
		}
	}
	// Output:
	// task from line 2: {"input_values":{"image":"https://example.com/1.jpg","width":640},"known_solutions":[{"output_values":{"result":"cat"}}],"infinite_overlap":true}
	// line 3, column 1 INPUT:image: INVALID_URL_SYNTAX: "example.com/2.jpg" is not a URL: it must begin with http://, https:// or www and go on after that
	// line 3, column 2 INPUT:width: INTEGER_EXPECTED: "3,5" is not an integer: it has a comma
	// line 4, column 3 : COLUMN_COUNT: the row has 2 cells, the header has 3: the first missing one is "GOLDEN:result"
}

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "poolfill")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }() // only a temporary file is left behind
	path := filepath.Join(dir, "animals.csv")
	if err := os.WriteFile(path, []byte("INPUT:imagis,colour,input:size\n1,2,3\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	spec := &reader.Spec{Input: map[string]reader.FieldSpec{"image": {Type: reader.TypeString}}}
	_, err = reader.Open(context.Background(), path, os.Stdin, reader.Config{Spec: spec})
	var problems *reader.InputError
	if errors.As(err, &problems) {
		for _, f := range problems.Findings {
			fmt.Printf("column %d: %s\n", f.Column, f.Message)
		}
	}
	// Output:
	// column 1: the project has no input field "imagis": did you mean image? Rename the column, or use --map INPUT:imagis=INPUT:image
	// column 2: some columns have a prefix and some have none: "colour" (column 2); name them INPUT:…, or settle each with --map COLUMN=INPUT:name or --ignore-column COLUMN
	// column 3: the prefix "input:" must be written INPUT:, in capitals
}

func ExampleStructs() {
	type animal struct {
		Image   string       `csv:"INPUT:image"`
		Tags    reader.Array `csv:"INPUT:tags"`
		Answer  string       `csv:"GOLDEN:result"`
		Overlap *int         `csv:"TASK:overlap"` // a pointer, as 0 is no overlap
		Note    string       `csv:"-"`
	}
	five := 5
	animals := []animal{
		{Image: "https://example.com/1.jpg", Tags: reader.Array{"small", "black, white"}, Overlap: &five},
		{Image: "https://example.com/2.jpg", Answer: "cat", Note: "not uploaded"},
	}
	source := reader.Structs("animals", reader.NoError(slices.Values(animals)))

	// A pipeline takes the source as it is. Here it is only read.
	r, err := source.Open(reader.Config{Spec: &reader.Spec{
		Input:  map[string]reader.FieldSpec{"image": {Type: reader.TypeURL}, "tags": {Type: reader.ArrayPrefix + reader.TypeString}},
		Output: map[string]reader.FieldSpec{"result": {Type: reader.TypeString}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }() // nothing to lose: the rows were only read
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("row %d: {%s}\n", row.Task.Position.Line, row.Task.JSON)
	}
	// Output:
	// row 1: {"input_values":{"image":"https://example.com/1.jpg","tags":["small","black, white"]},"overlap":5}
	// row 2: {"input_values":{"image":"https://example.com/2.jpg"},"known_solutions":[{"output_values":{"result":"cat"}}],"infinite_overlap":true}
}

func ExampleSource() {
	// Rows may come from anywhere, one after the other: a query, a queue, another
	// file. An error ends them.
	source := reader.Source{
		Name:    "words",
		Columns: []string{"INPUT:word", "GOLDEN:language"},
		Rows: func(yield func([]string, error) bool) {
			if yield([]string{"Haus", "de"}, nil) && yield([]string{"casa"}, nil) {
				yield(nil, errors.New("the connection is lost"))
			}
		},
	}
	r, err := source.Open(reader.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }() // nothing to lose: the rows were only read
	for {
		row, err := r.Next()
		switch {
		case err != nil:
			fmt.Println(err)
			return
		case row.Err != nil:
			fmt.Println(row.Err)
		default:
			fmt.Printf("row %d: {%s}\n", row.Task.Position.Line, row.Task.JSON)
		}
	}
	// Output:
	// row 1: {"input_values":{"word":"Haus"},"known_solutions":[{"output_values":{"language":"de"}}],"infinite_overlap":true}
	// words:2, column 2: the row has 1 cell, the header has 2: the first missing one is "GOLDEN:language"
	// words: reading failed at row 3: the connection is lost
}
