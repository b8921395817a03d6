// Package reader turns dataset files into Toloka tasks.
//
// What goes in: a path, standard input or any io.Reader with CSV or TSV text,
// plain or compressed (gzip, zstd, bzip2, xz), in any charset. What comes out:
// one Row for each record, in file order: a Task, or a RowError that names
// every problem of the row with line, column, code and message.
//
// The way of the data inside:
//
//	Open ─ decompress ─ decode ─► RecordReader ─► Record ─► mapping ─► Row
//
// Memory: one record, bounded by Config.MaxRecordBytes, plus fixed buffers of
// the decompressor; nothing grows with the length of the input.
package reader
