// Package reader turns dataset files into Toloka tasks.
//
// What goes in: a path, a URL, standard input or any io.Reader with CSV or TSV
// text, plain or compressed (gzip, zstd, bzip2, xz), in any charset; or a Source,
// the rows or structs of a program. What comes out: one Row for each record, in
// file order: a Task, or a RowError that names every problem of the row with line,
// column, code and message.
//
// The way of the data inside:
//
//	Open ─ decompress ─ decode ─► table.Table ─► block ─► cells ─► mapping ─► Batch of Rows
//
// What the records of an input are is up to its format, see Config.Formats and package
// table. Finding where records end must be done in order; all after that is done in
// blocks of about 160 KiB by Config.Parallel goroutines, and the blocks are
// returned in the order of the input.
//
// Memory: Config.Parallel + 2 blocks, and the fixed buffers of the
// decompressor; nothing grows with the length of the input. A block has its
// text, its rows and their JSON, which together are a few times 160 KiB. A
// longer record, up to Config.MaxRecordBytes, is a block of its own size, and
// its JSON may be six times as long, since a character may need six bytes.
package reader
