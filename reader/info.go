package reader

// Info describes an input as it was found.
type Info struct {
	// File is the input as the user named it.
	File string
	// Format is the name of the input's format, such as "delimited".
	Format string
	// Compression is "gzip", "zstd", "bzip2", "xz", or empty.
	Compression string
	// Encoding is the charset that was decoded, such as "utf-8" or "utf-16le".
	Encoding string
	// Delimiter and Quotes say how a row as it stood is cut into cells.
	Delimiter byte
	Quotes    QuoteMode
	// Header has the columns' names as they stand in the file; HeaderRaw is the
	// header's line as it stood, without its end.
	Header    []string
	HeaderRaw string
	// Targets has the full name of what each column fills, such as
	// "INPUT:image", whatever the file calls it; empty for a column left out.
	Targets []string
	// Bytes counts the bytes read so far as they are stored, before
	// decompression, as Reader.Bytes does; Size is the size of the file, 0 where it is unknown.
	Bytes int64
	Size  int64
	// SHA256 is the hash of the stored bytes in hex. It is empty until the
	// input was read to its end and its rows were given.
	SHA256 string
	// Prefix is the hash of the first Bytes of the stored bytes in hex; empty where
	// not all of them were read. End is behind the last row that was given.
	Prefix string `json:",omitempty"`
	End    Mark   `json:",omitzero"`
}
