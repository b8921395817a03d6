package reader

import (
	"slices"

	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

const (
	// blockRows bounds the rows of a block, as table.BlockBytes does its text.
	blockRows = 4096
	// rowJSON is about what the JSON of a short row takes, and jsonBytes that of all rows
	// of a block: mostly it needs not grow.
	rowJSON, jsonBytes = 256, table.BlockBytes * 3 / 2
	// spareBytes is how much memory for JSON a block keeps for its next use.
	spareBytes = 4 * table.BlockBytes
)

// block is records that stand one after the other, and the rows that a parser makes
// of them. Its memory is used again for later blocks.
type block struct {
	records table.Block

	// err is what comes after these records.
	err error
	// bytes counts the stored bytes that were read so far; sum is their hash
	// where they are all.
	bytes int64
	sum   string
	// prefix is the hash of the bytes that were read; end is behind the last record.
	prefix string
	end    Mark

	rows     []Row
	json     []byte     // of rows
	odd      warningLog // of records that were left out before
	warnings warningLog // of the rows

	parsed chan struct{} // has an entry when the rows are there
}

// reset makes the block ready for its next use.
func (b *block) reset() {
	clear(b.rows) // also for the garbage collector: rejected rows are the caller's
	b.records.Reset()
	b.rows, b.json = b.rows[:0], b.json[:0]
	if cap(b.json) > spareBytes {
		b.json = nil // one long record has taken it
	}
	b.err, b.sum = nil, ""
	b.odd.reset()
	b.warnings.reset()
}

// parser makes rows of the records of blocks.
type parser struct {
	mapping *mapping
	builder *rowBuilder
	record  table.Record
}

// parse fills the rows of a block, and what is odd about them.
func (p *parser) parse(b *block) {
	n := b.records.Len()
	p.builder.json, p.builder.warnings = slices.Grow(b.json, min(n*rowJSON, jsonBytes)), &b.warnings
	b.rows = slices.Grow(b.rows, n)[:n] // all zero
	for i := range b.rows {
		b.records.Cut(i, &p.record)
		p.row(&b.rows[i], &p.record)
	}
	b.json = p.builder.json
}

// row makes a row of a record.
func (p *parser) row(row *Row, rec *table.Record) {
	var findings []verdict.Finding
	switch {
	case len(rec.Findings) > 0:
		findings = nameFields(slices.Clone(rec.Findings), p.mapping.names)
	case len(rec.Cells) != len(p.mapping.names):
		findings = []verdict.Finding{p.mapping.countFinding(rec.Position.Line, rec.Cells)}
	default:
		findings = p.builder.build(&row.Task, rec.Position.Line, rec.Cells)
	}
	if len(findings) > 0 {
		row.Err = table.Reject(rec, findings)
		return
	}
	row.Task.Position, row.Task.Raw = rec.Position, rec.Raw
}

// nameFields fills the names of the columns into the findings of a record.
func nameFields(findings []verdict.Finding, names []string) []verdict.Finding {
	for i := range findings {
		f := &findings[i]
		if f.Column > 0 && f.Column <= len(names) && f.Code != table.CodeColumnCount {
			f.Field = names[f.Column-1]
		}
	}
	return findings
}
