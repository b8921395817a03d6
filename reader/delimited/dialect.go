package delimited

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"poolfill/reader/table"
)

// Dialect says how lines are cut into cells. The zero value is tab-separated
// text with quotes as QuotesAuto reads them.
type Dialect struct {
	// Delimiter separates the cells: an ASCII character other than a quotation mark
	// or a line end. Zero means a tab; for a Format, that it is found from the header
	// and the first rows.
	Delimiter byte
	// Quotes is the quote mode; empty means QuotesAuto.
	Quotes table.QuoteMode
	// KeepLineEnds keeps CR and CR LF inside quoted cells; false makes them LF.
	KeepLineEnds bool
	// Multiline says that quoted cells may hold lines that look like rows;
	// false makes such a cell a finding SWALLOWED_ROWS.
	Multiline bool
	// Options bound cells, records and blocks. A record never may have more than
	// 1 GiB.
	table.Options
}

// maxMaxRecordBytes bounds the bound.
const maxMaxRecordBytes = 1 << 30

func (d Dialect) withDefaults() Dialect {
	if d.Delimiter == 0 {
		d.Delimiter = '\t'
	}
	if d.Quotes == "" {
		d.Quotes = table.QuotesAuto
	}
	d.Options = d.WithDefaults()
	d.MaxRecordBytes = min(d.MaxRecordBytes, maxMaxRecordBytes)
	return d
}

// validate takes a dialect with its defaults filled in.
func (d Dialect) validate() error {
	var errs []error
	if c := d.Delimiter; c == '"' || c == '\n' || c == '\r' || c >= utf8.RuneSelf {
		errs = append(errs, fmt.Errorf("the delimiter %q can't part cells: take an ASCII character that is no quotation mark and no line end", rune(c)))
	}
	switch d.Quotes {
	case table.QuotesAuto, table.QuotesToloka, table.QuotesNone:
	default:
		errs = append(errs, fmt.Errorf("the quote mode %q is unknown: take %s, %s or %s", d.Quotes, table.QuotesAuto, table.QuotesToloka, table.QuotesNone))
	}
	return errors.Join(errs...)
}
