package reader

import (
	"poolfill/reader/delimited"
	"poolfill/reader/table"
)

// formats returns the formats that an input may have. Delimited text comes last, as
// it takes what no other does.
func (c *Config) formats() []table.Format {
	if c.Formats != nil {
		return c.Formats
	}
	return []table.Format{
		delimited.Format{Dialect: delimited.Dialect{
			Delimiter: c.Delimiter, Quotes: c.Quotes, KeepLineEnds: c.KeepLineEnds, Multiline: c.Multiline,
		}},
	}
}

// options returns the settings that all formats have in common.
func (c *Config) options() table.Options {
	return table.Options{MaxCellBytes: c.MaxCellBytes, MaxRecordBytes: c.MaxRecordBytes}
}
