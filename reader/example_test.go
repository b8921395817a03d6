package reader_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"poolfill/internal/toloka"
	"poolfill/reader"
)

func ExampleNew() {
	file := "INPUT:image\tINPUT:width\tGOLDEN:result\n" +
		"https://example.com/1.jpg\t0640\tcat\n" +
		"example.com/2.jpg\t3,5\tdog\n" +
		"https://example.com/3.jpg\t800\n"
	spec := &toloka.TaskSpec{
		Input:  map[string]toloka.FieldSpec{"image": {Type: toloka.TypeURL, Required: true}, "width": {Type: toloka.TypeInteger}},
		Output: map[string]toloka.FieldSpec{"result": {Type: toloka.TypeString}},
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
	// line 3, column 2 INPUT:width: INTEGER_EXPECTED: "3,5" is not an integer: it has a comma, write digits only
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
	spec := &toloka.TaskSpec{Input: map[string]toloka.FieldSpec{"image": {Type: toloka.TypeString}}}
	_, err = reader.Open(path, os.Stdin, reader.Config{Spec: spec})
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
