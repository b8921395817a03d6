package reader

import "poolfill/reader/table"

// QuoteMode says what a quotation mark means.
type QuoteMode = table.QuoteMode

// The quote modes.
const (
	QuotesAuto   = table.QuotesAuto
	QuotesToloka = table.QuotesToloka
	QuotesNone   = table.QuotesNone
)

// Default limits of one cell and one record, in bytes of decoded text.
const (
	DefaultMaxCellBytes   = table.DefaultMaxCellBytes
	DefaultMaxRecordBytes = table.DefaultMaxRecordBytes
)

// The special values of Config.ControlOverlap.
const (
	// ControlOverlapInfinite returns control and training tasks an infinite
	// overlap, as the web upload does.
	ControlOverlapInfinite = 0
	// ControlOverlapPool leaves their overlap to the pool's default.
	ControlOverlapPool = -1
)

// Config says how an input is read. The zero value reads any file by its own
// signs and without a spec.
type Config struct {
	// Formats are those that an input may have; the first that knows it is taken. nil
	// means all that this module reads, which are those of formats.go, with the
	// settings below.
	Formats []table.Format `json:"-"`
	// Delimiter separates the cells; 0 finds it from the header and the first rows.
	Delimiter byte
	// Quotes is the quote mode; empty means QuotesAuto.
	Quotes QuoteMode
	// KeepLineEnds keeps CR and CR LF inside quoted cells; false makes them LF.
	KeepLineEnds bool
	// Multiline says that quoted cells may hold lines that look like rows.
	Multiline bool
	// Encoding names the charset by its WHATWG or IANA name; empty means UTF-8,
	// or UTF-16 where the bytes plainly are.
	Encoding string
	// MaxCellBytes and MaxRecordBytes bound one cell and one record; zero means
	// the defaults above. A record over a bound is a rejected row.
	MaxCellBytes   int
	MaxRecordBytes int
	// SkipRows leaves out that many data rows at the start, LimitRows stops
	// after that many rows that were not skipped; 0 has no effect.
	SkipRows  int64
	LimitRows int64
	// From, where not nil, is where the rows begin, as Cut has found it: those
	// before are not read at all where the file is plain UTF-8, and passed over
	// unlooked at where it has to be unpacked or decoded. It can't be used
	// together with SkipRows. A mark that doesn't fit the file is an error.
	From *table.Mark `json:",omitempty"`
	// Parallel is how many goroutines make rows of records, next to one that
	// reads ahead of the caller; the rows are the same whatever their number.
	// 1 starts none: all is done in the calls of Next and NextBatch. 0 means
	// as many as may run at once, at most 8. An input of less than 64 KiB of
	// text is read without goroutines.
	Parallel int

	// Spec is the project's spec; nil makes every value a string.
	Spec *Spec
	// Map returns the target of a column: its name in the file to a column name
	// such as "INPUT:image" or "GOLDEN:result". Ignore names columns to leave out.
	Map    map[string]string
	Ignore []string
	// TrustServer sends rows that only the local check against the spec (stage
	// check) refuses.
	TrustServer bool
	// Contents asks for Task.Content, by which an upload knows its tasks again.
	Contents bool `json:"-"`
	// ControlOverlap is the overlap of control and training tasks whose row has
	// none: ControlOverlapInfinite, ControlOverlapPool, or a number from 1 to
	// 30,000.
	ControlOverlap int
}
