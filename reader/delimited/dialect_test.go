package delimited

import (
	"errors"
	"strings"
	"testing"

	"poolfill/reader/table"
)

func TestTheDelimiterIsFoundOnTheHeaderAndTheFirstRows(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		quotes     table.QuoteMode
		want       byte
	}{
		"tabs":                                  {"f.tsv", "INPUT:a\tINPUT:b\n1\t2\n", "", '\t'},
		"commas":                                {"f.csv", "INPUT:a,INPUT:b\n1,2\n", "", ','},
		"semicolons":                            {"f.csv", "a;b\n1,5;2\n", "", ';'},
		"pipes":                                 {"f.csv", "a|b\n1|2\n", "", '|'},
		"tabs behind .csv":                      {"f.csv", "a\tb\n1,2\t3,4\n", "", '\t'},
		"commas behind .tsv":                    {"f.tsv", "a,b\n1,2\n", "", ','},
		"commas in the rows of a TSV":           {"f.tsv", "text\tn\nOne, two, three\t1\n", "", '\t'},
		"empty lines first":                     {"f.tsv", "\n\r\na;b\n1;2\n", "", ';'},
		"one column, .csv":                      {"f.csv", "text\nOne\n", "", ','},
		"one column, .tsv":                      {"f.tsv", "text\nOne, two\n", "", '\t'},
		"one column, .CSV.gz":                   {"f.CSV.gz", "text\nOne\n", "", ','},
		"one column, .tsv.zst":                  {"f.csv.tsv.zst", "text\nOne\n", "", '\t'},
		"one column, standard input":            {"-", "text\nOne, two\n", "", '\t'},
		"commas in quotes":                      {"f.csv", "\"a,b\"\t\"c\"\n1\t2\n", "", '\t'},
		"a line end in quotes":                  {"f.csv", "\"a\nx;y\",c\n1,2\n", "", ','},
		"a quote without an end":                {"f.csv", "\"a,b\n1,2\n", "", ','},
		"a comma in a name, rows decide":        {"f.tsv", "INPUT:a\tprice, EUR\n1\t2,5\n2\t3\n", "", '\t'},
		"names decide":                          {"f.csv", "\"a\",\"b\"\"|\"\n1,2\n", "", ','},
		"quotes none, rows decide":              {"f.csv", "\"a;b\",c\n1,2\n", table.QuotesNone, ','},
		"a first row of another length, though": {"f.csv", "a;b,c\n1,5;2\n1;2\n", "", ';'},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Dialect{Quotes: c.quotes}.detect(&table.Text{Name: c.file, Head: []byte(c.text), Whole: true})
			if err != nil {
				t.Fatal(err)
			}
			if d.Delimiter != c.want {
				t.Errorf("got %q, want %q", d.Delimiter, c.want)
			}
		})
	}
}

func TestADoubtAboutTheDelimiterShowsBothReadings(t *testing.T) {
	_, err := Dialect{}.detect(&table.Text{Name: "f.csv", Head: []byte("\na;b,c\n1;2,3\n"), Whole: true})
	var refused *table.InputError
	if !errors.As(err, &refused) || len(refused.Findings) != 1 || refused.Findings[0].Code != table.CodeDelimiter || refused.Findings[0].Line != 2 {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{`2 columns by commas ("a;b", "c")`, `2 columns by semicolons ("a", "b,c")`, "--delimiter"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q doesn't say %q", err, part)
		}
	}
}

func TestAGivenDelimiterIsTaken(t *testing.T) {
	want := Dialect{
		Delimiter: ';', Quotes: table.QuotesToloka, KeepLineEnds: true, Multiline: true,
		Options: table.Options{MaxCellBytes: 7, MaxRecordBytes: 9, BlockBytes: 5},
	}
	text := &table.Text{Name: "f.csv", Head: []byte("a,b\n"), Whole: true}
	d, err := want.detect(text)
	if err != nil || d != want {
		t.Errorf("got %+v, %v", d, err)
	}
	if _, err := (Dialect{Delimiter: '"'}).detect(text); err == nil {
		t.Error("a quotation mark is taken as the delimiter")
	}
}

func TestALineCutAtTheEndOfTheHeadDecidesNothing(t *testing.T) {
	head := []byte("a,b;c\n" + strings.Repeat("1,2;3;4\n", 2))
	head = append(head, "1"...)
	d, err := Dialect{}.detect(&table.Text{Name: "f.csv", Head: head})
	if err != nil || d.Delimiter != ',' {
		t.Errorf("got %q, %v", d.Delimiter, err)
	}
}
