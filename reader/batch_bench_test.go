package reader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
)

// threeColumns is rows of about 105 bytes: a URL, a title and an answer. Two in
// a hundred titles are quoted, with a tab, a line end and quotes inside.
func threeColumns(rows int) []byte {
	var text bytes.Buffer
	text.WriteString("INPUT:url\tINPUT:title\tGOLDEN:result\n")
	for i := range rows {
		title := "What does this picture show, and where was it taken?"
		if i%50 == 0 {
			title = "\"What does the \"\"picture\"\"\tshow,\nand where was it taken?\""
		}
		fmt.Fprintf(&text, "https://example.com/dataset/images/%08d.jpg\t%s\tcat\n", i, title)
	}
	return text.Bytes()
}

// tenFields is rows of about 200 bytes with a field of each type, and the spec
// of these fields.
func tenFields(t testing.TB, rows int) ([]byte, *Spec) {
	var text bytes.Buffer
	text.WriteString("INPUT:url\tINPUT:title\tINPUT:count\tINPUT:price\tINPUT:new\tINPUT:place\tINPUT:tags\tINPUT:box\tGOLDEN:answer\tGOLDEN:score\n")
	for i := range rows {
		fmt.Fprintf(&text, "https://example.com/dataset/images/%08d.jpg\tA short title of %d\t%d\t%d.25\ttrue\t53.910236,27.531110\tred, green, dark blue\t{\"x\": %d, \"y\": 20.5, \"label\": \"cat\"}\tcat\t%d\n",
			i, i, i%1000, i%90, i%640, i%10)
	}
	return text.Bytes(), specOf(t, `{"input_spec":{
		"url":{"type":"url","required":true},
		"title":{"type":"string","required":true,"max_length":200},
		"count":{"type":"integer","min_value":0,"max_value":1000},
		"price":{"type":"float","min_value":0,"max_value":99.5},
		"new":{"type":"boolean"},
		"place":{"type":"coordinates"},
		"tags":{"type":"array_string","max_size":5},
		"box":{"type":"json"}},
	"output_spec":{
		"answer":{"type":"string","allowed_values":["cat","dog","none"]},
		"score":{"type":"integer","allowed_values":[0,1,2,3,4,5,6,7,8,9]}}}`)
}

func BenchmarkBatches(b *testing.B) {
	const rows = 100_000
	typed, spec := tenFields(b, rows)
	for _, shape := range []struct {
		name string
		text []byte
		spec *Spec
	}{
		{"three columns", threeColumns(rows), nil},
		{"ten typed fields", typed, spec},
	} {
		for _, parallel := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s, parallel %d", shape.name, parallel), func(b *testing.B) {
				b.SetBytes(int64(len(shape.text)))
				b.ReportAllocs()
				for b.Loop() {
					r, err := New("f.tsv", bytes.NewReader(shape.text), Config{Spec: shape.spec, Parallel: parallel})
					if err != nil {
						b.Fatal(err)
					}
					given := 0
					for {
						batch, err := r.NextBatch()
						if errors.Is(err, io.EOF) {
							break
						}
						if err != nil {
							b.Fatal(err)
						}
						given += len(batch.Rows)
						if batch.Rows[0].Err != nil {
							b.Fatal(batch.Rows[0].Err)
						}
						batch.Release()
					}
					if given != rows || r.Close() != nil {
						b.Fatal(given)
					}
				}
			})
		}
	}
}
