package batcher_test

import (
	"fmt"

	"poolfill/batcher"
	"poolfill/reader"
)

func ExampleBatcher() {
	b, err := batcher.New(batcher.Config{PoolID: "12", MaxTasks: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	show := func(c *batcher.Chunk) { fmt.Printf("chunk %d: %s\n", c.Number, c.Body()) }
	for _, word := range []string{"one", "two", "three"} {
		input := fmt.Sprintf(`{"word":%q}`, word)
		full, rejected := b.Add(reader.Task{JSON: []byte(`"input_values":` + input), InputBytes: len(input)})
		if rejected != nil { // too large even for a chunk of its own
			fmt.Println(rejected)
			return
		}
		if full != nil {
			show(full)
			b.Recycle(full) // once it is sent: the next chunk gets its buffers
		}
	}
	if last := b.Flush(); last != nil {
		show(last)
	}
	// Output:
	// chunk 0: [{"pool_id":"12","input_values":{"word":"one"}},{"pool_id":"12","input_values":{"word":"two"}}]
	// chunk 1: [{"pool_id":"12","input_values":{"word":"three"}}]
}
