package delimited

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"poolfill/reader/table"
)

func BenchmarkRecordReader(b *testing.B) {
	for _, c := range []struct {
		name, row string
		dialect   Dialect
	}{
		{"TSV", "https://example.com/images/0001234.jpg\tA short description of it\t12.5\ttrue\n", Dialect{}},
		{"TSV, CR LF", "https://example.com/images/0001234.jpg\tA short description of it\t12.5\ttrue\r\n", Dialect{}},
		{"TSV, Cyrillic", "https://example.com/images/0001234.jpg\tКороткое описание картинки\t12.5\ttrue\n", Dialect{}},
		{"CSV, quoted", "\"https://example.com/images/0001234.jpg\",\"A short description of it\",\"12.5\",\"true\"\n", Dialect{Delimiter: ','}},
		{"CSV, JSON cells", "a,\"{\"\"label\"\": \"\"cat\"\", \"\"box\"\": [1, 2, 3, 4], \"\"sure\"\": true}\",12\n", Dialect{Delimiter: ','}},
		{"CSV, cells over lines", "a,\"one\ntwo\nthree\",12\n", Dialect{Delimiter: ','}},
		{"CSV, toloka", "a,\"one \"\"and\"\" two\",12\n", Dialect{Delimiter: ',', Quotes: table.QuotesToloka}},
		{"each row opens a quote", "a,\"one,12\n", Dialect{Delimiter: ','}},
	} {
		b.Run(c.name, func(b *testing.B) {
			header := strings.Join([]string{"a", "b", "c", "d"}[:max(3, strings.Count(c.row, "\t")+1)], string(c.dialect.withDefaults().Delimiter)) + "\n"
			text := []byte(header + strings.Repeat(c.row, (8<<20)/len(c.row)))
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				r := NewRecordReader("f", bytes.NewReader(text), c.dialect)
				for {
					if _, err := r.Read(); err != nil {
						if !errors.Is(err, io.EOF) {
							b.Fatal(err)
						}
						break
					}
				}
			}
		})
	}
}
