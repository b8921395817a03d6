// Package table is the seam between the formats of inputs and the reader that makes
// tasks of their rows.
//
// What goes in: the bytes or the text of an input, as Storage. What comes out: a
// Table, which has a header and finds records in their order, in blocks that can be
// cut into cells on any goroutine.
//
// A format is a package below reader. It imports this package and verdict, and its
// tests call tabletest.Run.
package table

import (
	"io"

	"poolfill/reader/verdict"
)

// BlockBytes is about how many bytes of an input a block holds, unless Options say
// otherwise. It is large enough that handing a block over costs next to nothing, and
// small enough that a few of them are little memory.
const BlockBytes = 160 << 10

// Default limits of one cell and one record, in bytes of decoded text.
const (
	DefaultMaxCellBytes   = 4 << 20
	DefaultMaxRecordBytes = 16 << 20
)

// Format is one kind of input, such as delimited text.
type Format interface {
	// Name is what messages and Info call the format, such as "delimited".
	Name() string
	// Sniff reports whether an input is of this format. head is the start of its
	// decompressed bytes, at most 64 KiB, in whatever charset; name is the input's.
	Sniff(head []byte, name string) bool
	// Open returns the table of an input, with its header read. An input that can't
	// be read as a table is an *InputError, a failure of reading a *ReadError.
	Open(in Storage, o Options) (Table, error)
}

// Options are the settings that all formats have in common. Each zero value means the
// default.
type Options struct {
	// MaxCellBytes and MaxRecordBytes bound one cell and one record. A record over a
	// bound has a finding, and no Raw.
	MaxCellBytes   int
	MaxRecordBytes int
	// BlockBytes is about how many bytes of the input a block holds.
	BlockBytes int
}

// WithDefaults returns o with the defaults in place of zeros.
func (o Options) WithDefaults() Options {
	if o.MaxCellBytes <= 0 {
		o.MaxCellBytes = DefaultMaxCellBytes
	}
	if o.MaxRecordBytes <= 0 {
		o.MaxRecordBytes = DefaultMaxRecordBytes
	}
	if o.BlockBytes <= 0 {
		o.BlockBytes = BlockBytes
	}
	return o
}

// Storage is an opened and decompressed input. A format reads either its text or
// its bytes.
type Storage interface {
	// Name is the input as the user named it, without secrets.
	Name() string
	// Text returns the input as UTF-8 text. An input that is no text is an
	// *InputError that says what it is.
	Text() (*Text, error)
	// Bytes returns the decompressed bytes from the first one on.
	Bytes() io.Reader
}

// Text is an input decoded to UTF-8, without its byte order mark.
type Text struct {
	io.Reader
	// Name is the input's, for positions and errors.
	Name string
	// Head is the start of the text, at most 64 KiB, which Read returns too; Whole
	// says that it is all of it.
	Head  []byte
	Whole bool
	// Base is how many bytes of the file stand before the text: positions count
	// from the file's start.
	Base int64
	// Lossy says that U+FFFD stands for what could not be decoded.
	Lossy bool
	// Seek makes Read go on at an offset, counted as in Position.Offset. It is nil
	// where the text can only be read on.
	Seek func(offset int64) error
}

// Table is the records of one input: a header, and rows after it.
//
// One goroutine at a time uses a table and finds records in its blocks. Close may come
// from any other.
type Table interface {
	// Header returns the first record; its Position.Record is 0. It stays valid.
	Header() Record
	// Layout says how the Raw of records, and of the header, is cut into cells.
	Layout() Layout
	// NewBlock returns an empty block for the table's records.
	NewBlock() Block
	// Seek makes the records behind a mark come next. It is called before the first
	// record is found. A mark of another input, or of one that has changed, is an
	// error where that can be seen.
	Seek(m Mark) error
	// Close ends the reading: no more records are found after it, but for a call of
	// Find that is under way. It doesn't close the Storage.
	Close() error
}

// Block is records that stand one after the other. Its memory is used again after
// Reset, and so bounded by the longest record and Options.BlockBytes.
type Block interface {
	// Find finds the records that come next in the table, at most so many. The block
	// must be empty. It returns with fewer where more of the input would have to be
	// waited for, and with none only where there is an error: io.EOF at the end, a
	// *ReadError where the input breaks off. Records before an error are in the block;
	// the error comes again in later calls.
	Find(most int) error
	// Len is the number of records.
	Len() int
	// Marks returns the places where finding began and behind the last record.
	Marks() (from, to Mark)
	// Cut cuts record i into cells; each is cut once. What rec refers to is valid until the next call of
	// Reset, but for Cells, which are valid until the next call of Cut.
	Cut(i int, rec *Record)
	// Warnings returns what was odd about the records that were found and cut, and
	// about what was skipped between them. It is valid until Reset.
	Warnings() []Warning
	// Reset empties the block, and frees memory that one long record has taken.
	Reset()
}

// Mark is a place between two records of an input. Only the format knows what its
// numbers mean; for the same bytes read with the same settings they are the same on
// any machine.
type Mark struct {
	// Offset is the place in the input, as in Position.Offset; the difference of two
	// is about how much stands between them.
	Offset int64 `json:"offset"`
	// Line and Record are the numbers of the physical line and of the data row
	// that come next, both from 1.
	Line   int64 `json:"line"`
	Record int64 `json:"record"`
}

// Record is one record of an input: the header, or a data row.
type Record struct {
	// Position is where the record starts. Position.Record is 0 for the header,
	// which is the first record, then 1, 2, and so on.
	Position verdict.Position
	// Lines counts the physical lines that the record spans.
	Lines int
	// Cells are the decoded cells.
	Cells [][]byte
	// Raw is the record as a line of delimited text, without its end: as it stood,
	// where the input is such text. It is nil where the record is over a limit.
	Raw []byte
	// Findings says why the record is broken; it is empty for a good one. The
	// cells of a broken record may be incomplete. Finding.Field stays empty
	// here: the columns' names belong to the header's reader.
	Findings []verdict.Finding
}

// Layout says how the Raw of a record is cut into cells again.
type Layout struct {
	Delimiter byte
	Quotes    QuoteMode
}

// QuoteMode says what a quotation mark means.
type QuoteMode string

// The quote modes.
const (
	// QuotesAuto reads quoted cells where the quotes enclose the whole cell and
	// takes every other quote as an ordinary character: nothing is lost.
	QuotesAuto QuoteMode = "auto"
	// QuotesToloka does as Toloka's web upload: a quote toggles quoting
	// wherever it stands and is dropped; two inside are one.
	QuotesToloka QuoteMode = "toloka"
	// QuotesNone knows no quoting at all.
	QuotesNone QuoteMode = "none"
)
