package reader

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
)

// sniffedRows is how many rows after the header are looked at to find the
// delimiter.
const sniffedRows = 20

// detectDialect finds how the lines of an input are cut, from its first bytes.
// What the configuration gives is taken as it is. A doubt is an *InputError
// that shows both readings.
func detectDialect(name string, head []byte, cfg Config) (Dialect, error) {
	d := Dialect{
		Delimiter: cfg.Delimiter, Quotes: cfg.Quotes, KeepLineEnds: cfg.KeepLineEnds, Multiline: cfg.Multiline,
		MaxCellBytes: cfg.MaxCellBytes, MaxRecordBytes: cfg.MaxRecordBytes,
	}
	if d.Delimiter == 0 {
		delimiter, err := detectDelimiter(name, head, d)
		if err != nil {
			return Dialect{}, err
		}
		d.Delimiter = delimiter
	}
	d = d.withDefaults()
	return d, d.validate()
}

func detectDelimiter(name string, head []byte, d Dialect) (byte, error) {
	line, candidates := headerDelimiters(head, d.Quotes)
	switch len(candidates) {
	case 0:
		return delimiterByName(name), nil
	case 1:
		return candidates[0], nil
	}
	readings := make([]reading, 0, len(candidates))
	for _, c := range candidates {
		d.Delimiter = c
		readings = append(readings, readAs(head, d))
	}
	// Names that can be columns' names and rows of one length are a proof
	// together; each alone is one where only one reading has it.
	for _, proof := range []func(reading) bool{
		func(r reading) bool { return r.named && r.even },
		func(r reading) bool { return r.named },
		func(r reading) bool { return r.even },
	} {
		proven := keepIf(readings, proof)
		if len(proven) == 1 {
			return proven[0].delimiter, nil
		}
		if len(proven) > 1 {
			readings = proven
			break
		}
	}
	return 0, inputError(name, CodeDelimiter, line, fmt.Sprintf(
		"the header can be read in two ways: %s or %s; say which with --delimiter", readings[0], readings[1]))
}

func keepIf(readings []reading, keep func(reading) bool) []reading {
	var kept []reading
	for _, r := range readings {
		if keep(r) {
			kept = append(kept, r)
		}
	}
	return kept
}

// headerDelimiters lists the delimiters that stand outside quotes in the
// header, and the line of the header.
func headerDelimiters(head []byte, quotes QuoteMode) (line int64, found []byte) {
	text := bytes.TrimLeft(head, "\r\n")
	line = int64(countLineEnds(head[:len(head)-len(text)])) + 1
	header := text[:min(indexFrom(text, '\n', 0), indexFrom(text, '\r', 0))]
	if quotes != QuotesNone {
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

// outsideQuotes gives the header's text without what is in quotes. ok is false
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

func readAs(head []byte, d Dialect) reading {
	result := reading{delimiter: d.Delimiter, named: true, even: true}
	d.Multiline = true
	if len(head) == headSize {
		// The last line may be cut.
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

// canBeName says whether a text can be a column's name: a field id, with one
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
	return text != "" && strings.IndexFunc(text, func(c rune) bool { return !isFieldRune(c) }) < 0
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
		names = append(names, fmt.Sprintf("%q", startOf([]byte(name))))
	}
	return fmt.Sprintf("%s by %s (%s)", plural(len(r.header), "column", "columns"), delimiterName(r.delimiter), strings.Join(names, ", "))
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

// delimiterByName gives the delimiter that a file's name promises, for a
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
