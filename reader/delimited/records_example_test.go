package delimited_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gocarina/gocsv"

	"poolfill/reader/delimited"
)

func ExampleNewRecordReader() {
	const text = "image,comment\na.jpg,\"two\nlines\"\nb.jpg,\"no end\nc.jpg,5\" wide\n"
	records := delimited.NewRecordReader("tasks.csv", strings.NewReader(text), delimited.Dialect{Delimiter: ','})
	for {
		record, err := records.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("line %d: %q\n", record.Position.Line, record.Cells)
		for _, finding := range record.Findings {
			fmt.Printf("  %s at line %d, column %d\n", finding.Code, finding.Line, finding.Column)
		}
	}
	for _, warning := range records.Warnings() {
		fmt.Println(warning.Code, warning.Lines)
	}
	// Output:
	// line 1: ["image" "comment"]
	// line 2: ["a.jpg" "two\nlines"]
	// line 4: ["b.jpg" "\"no end"]
	//   UNCLOSED_QUOTE at line 4, column 2
	// line 5: ["c.jpg" "5\" wide"]
	// LITERAL_QUOTE [5]
}

func ExampleRecordReader_CSV() {
	type row struct {
		Image string `csv:"INPUT:image"`
		Price int    `csv:"GOLDEN:price"`
	}
	const text = "INPUT:image\tGOLDEN:price\na.jpg\t12\nb.jpg\t7\n"
	records := delimited.NewRecordReader("tasks.tsv", strings.NewReader(text), delimited.Dialect{})
	var rows []row
	if err := gocsv.UnmarshalCSV(records.CSV(), &rows); err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range rows {
		fmt.Println(r.Image, r.Price)
	}
	// Output:
	// a.jpg 12
	// b.jpg 7
}
