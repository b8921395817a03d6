package uploader

import (
	"fmt"
	"slices"

	"poolfill/batcher"
	"poolfill/uploader/toloka"
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
	keys := make([]batcher.Key, len(rows))
	for i, row := range rows {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, chunk.Task(row)...)
		keys[i] = chunk.Keys()[row]
	}
	return subset{chunk: chunk, rows: rows, body: append(body, ']'), sum: batcher.SumOf(keys)}
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

// byContent groups the rows by what they hold.
func (s subset) byContent() (map[toloka.Key][]int, error) {
	rows := make(map[toloka.Key][]int, len(s.rows))
	for _, row := range s.rows {
		key, err := toloka.ContentKey(s.chunk.Task(row))
		if err != nil {
			return nil, fmt.Errorf("task %d of %s is no JSON: %w", row, s, err)
		}
		rows[key] = append(rows[key], row)
	}
	return rows, nil
}
