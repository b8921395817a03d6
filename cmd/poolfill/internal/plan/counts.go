package plan

import (
	"poolfill/batcher"
	"poolfill/reader"
)

// Counts are what an upload would send.
type Counts struct {
	General, Control, Training int64 // tasks by their kind

	Chunks  int64 // each is one request that creates tasks
	Largest int   // tasks of the largest chunk

	BodyBytes   int64 // of all requests that create tasks, uncompressed
	InputBytes  int64 // of all input_values
	OutputBytes int64 // of all output_values

	// The overlaps of the general tasks, which are those that are paid for:
	// the sum of those that rows name, how many tasks leave it to the pool, and
	// how many have no end.
	Overlap         int64
	DefaultOverlap  int64
	InfiniteOverlap int64
}

// Add counts a chunk.
func (c *Counts) Add(chunk *batcher.Chunk) {
	c.Chunks++
	c.Largest = max(c.Largest, chunk.Len())
	c.BodyBytes += int64(len(chunk.Body()))
	c.InputBytes += int64(chunk.InputBytes())
	c.OutputBytes += int64(chunk.OutputBytes())
	for i := range chunk.Len() {
		switch chunk.Kind(i) {
		case reader.Control:
			c.Control++
		case reader.Training:
			c.Training++
		default:
			c.General++
			c.addOverlap(chunk.Overlap(i))
		}
	}
}

func (c *Counts) addOverlap(overlap int) {
	switch overlap {
	case reader.InfiniteOverlap:
		c.InfiniteOverlap++
	case 0:
		c.DefaultOverlap++
	default:
		c.Overlap += int64(overlap)
	}
}

// Tasks is the number of all tasks.
func (c Counts) Tasks() int64 { return c.General + c.Control + c.Training }
