package reader

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"poolfill/reader/delimited"
	"poolfill/reader/rows"
	"poolfill/reader/table"
)

// packed is a format of a file that is no text: a sign, and cells with NULs between.
type packed struct{}

func (packed) Name() string { return "packed" }

func (packed) Sniff(head []byte, _ string) bool { return bytes.HasPrefix(head, []byte("PK\x03\x04")) }

func (packed) Open(in table.Storage, o table.Options) (table.Table, error) {
	all, err := io.ReadAll(in.Bytes())
	if err != nil {
		return nil, err
	}
	cells := strings.Split(string(all[4:]), "\x00")
	return rows.New(in.Name(), cells[:2], NoError(slices.Chunk(cells[2:], 2)), o), nil
}

func TestAFormatThatIsHandedInIsTakenWhereItKnowsTheFile(t *testing.T) {
	cfg := Config{Formats: []table.Format{packed{}, delimited.Format{}}}
	for text, want := range map[string]string{
		"PK\x03\x04INPUT:a\x00INPUT:b\x001\x00\xC3\xA9\x002\x00x\ty": `packed {"input_values":{"a":"1","b":"é"}} {"input_values":{"a":"2","b":"x\ty"}}`,

		"INPUT:a,INPUT:b\n1,2\n": `delimited {"input_values":{"a":"1","b":"2"}}`,
	} {
		for form, stored := range map[string]string{"plain": text, "gzip": gzipped(t, text)} {
			r, err := New("f", strings.NewReader(stored), cfg)
			if err != nil {
				t.Fatal(err)
			}
			got := r.Info().Format
			for row, err := r.Next(); err == nil; row, err = r.Next() {
				got += " {" + string(row.Task.JSON) + "}"
			}
			if got != want {
				t.Errorf("%s: %s, want %s", form, got, want)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := New("f", strings.NewReader("a\n1\n"), Config{Formats: []table.Format{packed{}}}); err == nil || !strings.Contains(err.Error(), "none of the formats") {
		t.Errorf("a file of no format: %v", err)
	}
}
