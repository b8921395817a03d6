package uploader

import (
	"fmt"
	"slices"

	"poolfill/batcher"
)

// subset is what of a chunk goes into one request, nearly always all of it.
type subset struct {
	chunk *batcher.Chunk
	rows  []int // indexes into the chunk, ascending
	body  []byte
	sum   batcher.Key
	// generation counts the operations of just these rows that failed with
	// nothing done.
	generation int
}

func whole(chunk *batcher.Chunk) subset {
	s := subset{chunk: chunk, rows: make([]int, chunk.Len()), body: chunk.Body(), sum: chunk.Sum()}
	for i := range s.rows {
		s.rows[i] = i
	}
	return s
}

// only returns the subset of a chunk that has these rows.
func only(chunk *batcher.Chunk, rows []int) subset {
	if len(rows) == chunk.Len() {
		return whole(chunk)
	}
	size := 2
	for _, row := range rows {
		size += len(chunk.Task(row)) + 1
	}
	body := append(make([]byte, 0, size), '[')
	for i, row := range rows {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, chunk.Task(row)...)
	}
	s := subset{chunk: chunk, rows: rows, body: append(body, ']')}
	s.sum = batcher.SumOf(s.keys())
	return s
}

// has reports whether a row belongs to the subset.
func (s subset) has(row int) bool {
	if row >= 0 && row < len(s.rows) && s.rows[row] == row {
		return true // it is a whole chunk, as nearly always
	}
	_, found := slices.BinarySearch(s.rows, row)
	return found
}

// inputs returns the member input_values of a row of the chunk; nil where there is
// no such row.
func (s subset) inputs(row int) []byte {
	if row < 0 || row >= s.chunk.Len() {
		return nil
	}
	return s.chunk.Inputs(row)
}

// String is for people, who know of rows and not of chunks.
func (s subset) String() string {
	if len(s.rows) == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", len(s.rows))
}

// keys returns the keys of the rows.
func (s subset) keys() []batcher.Key {
	all := s.chunk.Keys()
	keys := make([]batcher.Key, len(s.rows))
	for i, row := range s.rows {
		keys[i] = all[row]
	}
	return keys
}

// byKey groups the rows by what they are sent with.
func (s subset) byKey() map[batcher.Key][]int {
	keys := s.chunk.Keys()
	rows := make(map[batcher.Key][]int, len(s.rows))
	for _, row := range s.rows {
		rows[keys[row]] = append(rows[keys[row]], row)
	}
	return rows
}
