package delimited

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize/english"

	"poolfill/reader/table"
)

// sniffedRows is how many rows after the header are looked at to find the
// delimiter.
const sniffedRows = 20

// detect finds the delimiter of a text where the dialect has none. A doubt is an
// *InputError that shows both readings.
func (d Dialect) detect(text *table.Text) (Dialect, error) {
	if d.Delimiter == 0 {
		var err error
		if d.Delimiter, err = d.detectDelimiter(text); err != nil {
			return Dialect{}, err
		}
	}
	d = d.withDefaults()
	return d, d.validate()
}

func (d Dialect) detectDelimiter(text *table.Text) (byte, error) {
	line, candidates := headerDelimiters(text.Head, d.Quotes)
	switch len(candidates) {
	case 0:
		return delimiterByName(text.Name), nil
	case 1:
		return candidates[0], nil
	}
	readings := make([]reading, 0, len(candidates))
	for _, c := range candidates {
		d.Delimiter = c
		readings = append(readings, readAs(text, d))
	}
	// Names that can be columns' names and rows of one length are a proof
	// together; each alone is one where only one reading has it.
	for _, proof := range []func(reading) bool{
		func(r reading) bool { return r.named && r.even },
		func(r reading) bool { return r.named },
		func(r reading) bool { return r.even },
	} {
		proven := slices.DeleteFunc(slices.Clone(readings), func(r reading) bool { return !proof(r) })
		if len(proven) == 1 {
			return proven[0].delimiter, nil
		}
		if len(proven) > 1 {
			readings = proven
			break
		}
	}
	return 0, table.Refuse(text.Name, table.CodeDelimiter, line, fmt.Sprintf(
		"the header can be read in two ways: %s or %s; say which with --delimiter", readings[0], readings[1]))
}

// headerDelimiters lists the delimiters that stand outside quotes in the
// header, and the line of the header.
func headerDelimiters(head []byte, quotes table.QuoteMode) (line int64, found []byte) {
	text := bytes.TrimLeft(head, "\r\n")
	line = int64(table.CountLineEnds(head[:len(head)-len(text)])) + 1
	header := text[:min(indexFrom(text, '\n', 0), indexFrom(text, '\r', 0))]
	if quotes != table.QuotesNone {
		if outside, ok := outsideQuotes(text); ok {
			header = outside
		}
	}
	for _, c := range []byte("\t,;|") {
		if bytes.IndexByte(header, c) >= 0 {
			found = append(found, c)
		}
	}
	return line, found
}

// outsideQuotes returns the header's text without what is in quotes. ok is false
// where a quote is not closed.
func outsideQuotes(text []byte) (outside []byte, ok bool) {
	quoted := false
	for _, b := range text {
		switch {
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '\n' || b == '\r':
			return outside, true
		default:
			outside = append(outside, b)
		}
	}
	return outside, !quoted
}

// reading is how the start of an input looks with one delimiter.
type reading struct {
	delimiter byte
	header    []string
	named     bool // each name can be a column's name
	even      bool // the first rows have as many cells as the header
}

func readAs(text *table.Text, d Dialect) reading {
	result := reading{delimiter: d.Delimiter, named: true, even: true}
	d.Multiline = true
	head := text.Head
	if !text.Whole { // the last line may be cut
		if i := bytes.LastIndexAny(head, "\r\n"); i >= 0 {
			head = head[:i]
		}
	}
	records := NewRecordReader("", bytes.NewReader(head), d)
	for range sniffedRows + 1 {
		record, err := records.Read()
		if err != nil {
			break
		}
		if result.header != nil {
			result.even = result.even && len(record.Findings) == 0 && len(record.Cells) == len(result.header)
			continue
		}
		for _, cell := range record.Cells {
			result.header = append(result.header, string(cell))
			result.named = result.named && canBeName(string(cell))
		}
		result.named = result.named && len(record.Findings) == 0
	}
	return result
}

// canBeName reports whether a text can be a column's name: a field id, with one
// of Toloka's prefixes or without.
func canBeName(text string) bool {
	prefix, field, prefixed := strings.Cut(text, ":")
	if !prefixed {
		return isFieldID(text)
	}
	prefix, index, indexed := strings.Cut(prefix, "[")
	if indexed && strings.Trim(strings.TrimSuffix(index, "]"), "0123456789") != "" {
		return false
	}
	return isFieldID(prefix) && isFieldID(strings.TrimLeft(field, " "))
}

func isFieldID(text string) bool {
	return text != "" && strings.IndexFunc(text, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	}) < 0
}

// String shows the reading for an error.
func (r reading) String() string {
	const most = 4
	var names []string
	for _, name := range r.header {
		if len(names) == most {
			names = append(names, "…")
			break
		}
		names = append(names, fmt.Sprintf("%q", table.StartOf([]byte(name))))
	}
	return fmt.Sprintf("%s by %s (%s)", english.Plural(len(r.header), "column", ""), delimiterName(r.delimiter), strings.Join(names, ", "))
}

func delimiterName(c byte) string {
	switch c {
	case '\t':
		return "tabs"
	case ',':
		return "commas"
	case ';':
		return "semicolons"
	case '|':
		return "pipes"
	}
	return fmt.Sprintf("%q", rune(c))
}

// delimiterByName returns the delimiter that a file's name promises, for a
// header of one column, which shows none.
func delimiterByName(name string) byte {
	name = strings.ToLower(name)
	switch filepath.Ext(name) {
	case ".gz", ".gzip", ".zst", ".zstd", ".bz2", ".bzip2", ".xz":
		name = strings.TrimSuffix(name, filepath.Ext(name))
	}
	if filepath.Ext(name) == ".csv" {
		return ','
	}
	return '\t'
}
