package batcher_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"poolfill/batcher"
	"poolfill/internal/contract"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// task makes a task whose input_values take exactly n bytes of JSON.
func task(record int64, n int) reader.Task {
	input := `{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}`
	return reader.Task{
		Position:   verdict.Position{File: "f.tsv", Line: record + 1, Record: record},
		JSON:       []byte(`"input_values":` + input),
		InputBytes: len(input),
		Raw:        fmt.Appendf(nil, "row %d", record),
	}
}

func mustNew(t interface{ Fatal(...any) }, cfg batcher.Config) *batcher.Batcher {
	b, err := batcher.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestChunksAreCutByEachLimit(t *testing.T) {
	output := func(n int) reader.Task {
		task := task(1, 10)
		task.OutputBytes = n
		return task
	}
	tests := map[string]struct {
		cfg   batcher.Config
		tasks []reader.Task
		want  []int
	}{
		"by count, full to the last task": {
			batcher.Config{PoolID: "1", MaxTasks: 3},
			[]reader.Task{task(1, 10), task(2, 10), task(3, 10), task(4, 10)},
			[]int{3, 1},
		},
		"by input bytes, the limit itself still fits": {
			batcher.Config{PoolID: "1", MaxInputBytes: 30},
			[]reader.Task{task(1, 10), task(2, 20), task(3, 10)},
			[]int{2, 1},
		},
		"by input bytes, one byte more does not": {
			batcher.Config{PoolID: "1", MaxInputBytes: 30},
			[]reader.Task{task(1, 10), task(2, 21)},
			[]int{1, 1},
		},
		"by output bytes": {
			batcher.Config{PoolID: "1", MaxOutputBytes: 8},
			[]reader.Task{output(4), output(4), output(1)},
			[]int{2, 1},
		},
		"by the bytes kept of the input": {
			batcher.Config{PoolID: "1", MaxRawBytes: 12},
			[]reader.Task{task(1, 10), task(2, 10), task(3, 10)},
			[]int{2, 1},
		},
		"a row over the kept bytes goes alone": {
			batcher.Config{PoolID: "1", MaxRawBytes: 2},
			[]reader.Task{task(1, 10), task(2, 10)},
			[]int{1, 1},
		},
		"by default at the documented count": {
			batcher.Config{PoolID: "1"},
			func() (all []reader.Task) {
				for i := range contract.MaxTasksSync + 1 {
					all = append(all, task(int64(i), 10))
				}
				return
			}(),
			[]int{contract.MaxTasksSync, 1},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := mustNew(t, tt.cfg)
			var got []int
			for _, task := range tt.tasks {
				full, rejected := b.Add(task)
				if rejected != nil {
					t.Fatalf("rejected: %v", rejected.Findings)
				}
				if full != nil {
					got = append(got, full.Len())
				}
			}
			if c := b.Flush(); c != nil {
				got = append(got, c.Len())
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("chunks of %v tasks, want %v", got, tt.want)
			}
			if b.Flush() != nil {
				t.Error("a second flush gave a chunk")
			}
		})
	}
}

func TestATaskThatNoRequestCanHoldIsARejectedRow(t *testing.T) {
	b := mustNew(t, batcher.Config{PoolID: "1"})
	if _, rejected := b.Add(task(1, contract.MaxInputBytes)); rejected != nil {
		t.Fatalf("a task of exactly the limit was rejected: %v", rejected.Findings)
	}
	big := task(7, contract.MaxInputBytes+1)
	full, rejected := b.Add(big)
	if full != nil {
		t.Error("a rejected task cut the open chunk")
	}
	if rejected == nil {
		t.Fatal("a task over the limit was taken")
	}
	f := rejected.Findings[0]
	if f.Code != contract.CodeObjectSizeGreaterThanMax || f.Line != 8 || rejected.Position.Record != 7 {
		t.Errorf("finding %+v at %+v", f, rejected.Position)
	}
	if len(f.Message) > 300 || !strings.Contains(f.Message, "1048577 bytes") {
		t.Errorf("message %q", f.Message)
	}
	if judged := b.Judge(&big); judged == nil || judged.Findings[0] != f {
		t.Errorf("Judge says %+v, Add says %+v", judged, f)
	}
	big.Raw[0] = '!'
	if string(rejected.Raw) != "row 7" {
		t.Errorf("the rejected row is not the caller's to keep: %q", rejected.Raw)
	}
	solutions := task(8, 20)
	solutions.OutputBytes = contract.MaxOutputBytes + 1
	if _, rejected := b.Add(solutions); rejected == nil || !strings.Contains(rejected.Findings[0].Message, "output_values") {
		t.Errorf("output over the limit: %v", rejected)
	}
	if c := b.Flush(); c.Len() != 1 {
		t.Errorf("the chunk has %d tasks, want 1", c.Len())
	}
}

func TestTheBodyIsTheRequest(t *testing.T) {
	b := mustNew(t, batcher.Config{PoolID: `p"1`, ItemIndex: true})
	for i := range 3 {
		b.Add(task(int64(i+1), 10+i))
	}
	c := b.Flush()
	want := `[{"pool_id":"p\"1","__item_idx":"0","input_values":{"a":"xx"}},` +
		`{"pool_id":"p\"1","__item_idx":"1","input_values":{"a":"xxx"}},` +
		`{"pool_id":"p\"1","__item_idx":"2","input_values":{"a":"xxxx"}}]`
	if got := string(c.Body()); got != want {
		t.Errorf("body\n%s\nwant\n%s", got, want)
	}
	if got := string(c.Task(1)); got != `{"pool_id":"p\"1","__item_idx":"1","input_values":{"a":"xxx"}}` {
		t.Errorf("task 1 is %s", got)
	}
	if got := string(c.Inputs(1)); got != `"input_values":{"a":"xxx"}` {
		t.Errorf("the inputs of task 1 are %s", got)
	}
	if got := string(c.Raw(2)); got != "row 3" {
		t.Errorf("raw row is %q", got)
	}
	if c.Position(2).Line != 4 || c.InputBytes() != 10+11+12 {
		t.Errorf("position %+v, input bytes %d", c.Position(2), c.InputBytes())
	}
	if c.Sum() != batcher.SumOf(c.Keys()) || c.Sum() == batcher.SumOf(c.Keys()[1:]) {
		t.Error("the sum is not that of the keys")
	}
}

// Who makes tasks himself may make them otherwise.
func TestInputsAreOnlyThoseOfTheReader(t *testing.T) {
	for _, task := range []reader.Task{
		{JSON: []byte(`"a":1`), InputBytes: 50},
		{JSON: []byte(`"overlap":3,"input_values":{"a":1}`), InputBytes: 7},
		{JSON: []byte(`"input_values":{"a":1}`), InputBytes: 6},
		{JSON: []byte(`"input_values":`), InputBytes: 0},
		{JSON: []byte(`"input_values":{}`), InputBytes: -3},
		{},
	} {
		b := mustNew(t, batcher.Config{PoolID: "1"})
		b.Add(task)
		if got := b.Flush().Inputs(0); len(got) > 0 {
			t.Errorf("those of %s are %s", task.JSON, got)
		}
	}
}

// A chunk can hold the end of one file and the start of the next.
func TestPositionsNameTheirFile(t *testing.T) {
	b := mustNew(t, batcher.Config{PoolID: "1"})
	files := []string{"a.tsv", "a.tsv", "b.tsv", "a.tsv"}
	for i, file := range files {
		at := task(int64(i), 10)
		at.Position.File = file
		b.Add(at)
	}
	c := b.Flush()
	for i, file := range files {
		if got := c.Position(i); got.File != file || got.Record != int64(i) || got.Line != int64(i+1) {
			t.Errorf("task %d is at %+v", i, got)
		}
	}
}

func TestARecycledChunkLeavesNoTrace(t *testing.T) {
	b := mustNew(t, batcher.Config{PoolID: "1"})
	for i := range 100 {
		b.Add(task(int64(i), 50))
	}
	b.Recycle(b.Flush())
	b.Add(task(5, 10))
	c := b.Flush()
	if c.Len() != 1 || c.Number != 1 || string(c.Body()) != `[{"pool_id":"1","input_values":{"a":"xx"}}]` || c.InputBytes() != 10 {
		t.Errorf("chunk %d of %d tasks: %s", c.Number, c.Len(), c.Body())
	}
}

func TestConfigErrorsAreAllNamed(t *testing.T) {
	_, err := batcher.New(batcher.Config{MaxTasks: -1, MaxRawBytes: -1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"pool", "tasks in a chunk", "kept bytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %q", err, want)
		}
	}
}

// Whatever the sizes: no task is lost, doubled or moved, no chunk is over a
// limit, and none was cut while the next task would still have fitted.
func TestCuttingLosesNothingAndCutsNoSoonerThanItMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const maxTasks, maxInput, maxOutput = 7, 100, 60
		b := mustNew(t, batcher.Config{PoolID: "1", MaxTasks: maxTasks, MaxInputBytes: maxInput, MaxOutputBytes: maxOutput})
		sizes := rapid.SliceOfN(rapid.IntRange(8, 110), 0, 60).Draw(t, "input sizes")
		var chunks []*batcher.Chunk
		var kept []int
		outputs := make(map[int64]int)
		for i, n := range sizes {
			task := task(int64(i), n)
			task.OutputBytes = rapid.IntRange(0, 70).Draw(t, "output size")
			outputs[int64(i)] = task.OutputBytes
			full, rejected := b.Add(task)
			if (rejected != nil) != (n > maxInput || task.OutputBytes > maxOutput) {
				t.Fatalf("input %d, output %d: rejected is %v", n, task.OutputBytes, rejected)
			}
			if rejected == nil {
				kept = append(kept, i)
			}
			if full != nil {
				chunks = append(chunks, full)
			}
		}
		if c := b.Flush(); c != nil {
			chunks = append(chunks, c)
		}
		next := 0
		for n, c := range chunks {
			if c.Number != n {
				t.Fatalf("chunk %d has the number %d", n, c.Number)
			}
			var input, output int
			for i := range c.Len() {
				record := c.Position(i).Record
				if record != int64(kept[next]) {
					t.Fatalf("record %d stands where %d should", record, kept[next])
				}
				next++
				input += sizes[record]
				output += outputs[record]
			}
			if c.Len() > maxTasks || input > maxInput || output > maxOutput {
				t.Fatalf("chunk of %d tasks, %d and %d bytes", c.Len(), input, output)
			}
			if next < len(kept) {
				following := kept[next]
				if c.Len() < maxTasks && input+sizes[following] <= maxInput && output+outputs[int64(following)] <= maxOutput {
					t.Fatalf("chunk %d was cut although record %d would fit", n, following)
				}
			}
			var tasks []json.RawMessage
			if err := json.Unmarshal(c.Body(), &tasks); err != nil || len(tasks) != c.Len() {
				t.Fatalf("body of %d tasks: %v", len(tasks), err)
			}
		}
		if next != len(kept) {
			t.Fatalf("%d tasks came out, %d went in", next, len(kept))
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	batches := mustNew(b, batcher.Config{PoolID: "1", ItemIndex: true})
	t := task(1, 150)
	b.SetBytes(int64(len(t.JSON)))
	b.ReportAllocs()
	for b.Loop() {
		if full, _ := batches.Add(t); full != nil {
			batches.Recycle(full)
		}
	}
}

func Example() {
	b, err := batcher.New(batcher.Config{PoolID: "1238218", MaxTasks: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, image := range []string{"cat.png", "dog.png", "owl.png"} {
		values := fmt.Sprintf(`{"image":"https://example.com/%s"}`, image)
		full, rejected := b.Add(reader.Task{
			Position:   verdict.Position{File: "images.tsv", Line: int64(i) + 2, Record: int64(i) + 1},
			JSON:       []byte(`"input_values":` + values),
			InputBytes: len(values),
		})
		if rejected != nil {
			fmt.Println("rejected:", rejected.Findings[0].Message)
		}
		if full != nil {
			fmt.Println("chunk", full.Number, "has", full.Len(), "tasks")
		}
	}
	if last := b.Flush(); last != nil {
		fmt.Println("chunk", last.Number, "is", string(last.Body()))
	}
	// Output:
	// chunk 0 has 2 tasks
	// chunk 1 is [{"pool_id":"1238218","input_values":{"image":"https://example.com/owl.png"}}]
}

// Were these values to change, uploads that are under way would be doubled, and
// rows that were uploaded would look new.
func TestKeysAreWhatLedgersHave(t *testing.T) {
	b := mustNew(t, batcher.Config{PoolID: "1", DefaultOverlap: 3})
	for content, want := range map[string]string{
		`"input_values":{"a":"x"}`:                                "1b426b7d4c639a9b061a39b93debf168",
		`"overlap":3,"input_values":{"a":"\u0078"}`:               "1b426b7d4c639a9b061a39b93debf168",
		`"input_values":{"a":"x"},"reserved_for":["somebody"]`:    "665185a71e435dc1c4ca72204d600810",
		`"input_values":{"a":"x"},"unavailable_for":["somebody"]`: "d27e08f238af6227f58832b1c27d0425",
	} {
		if key := b.Key(&reader.Task{JSON: []byte(content)}); hex.EncodeToString(key[:]) != want {
			t.Errorf("the key of %s is %x, want %s", content, key, want)
		}
	}
}

func TestTheFirstChunkGetsItsMemoryAtOnce(t *testing.T) {
	t.Run("without growing", func(t *testing.T) {
		one := task(1, 100)
		one.Content = [2]uint64{1, 2} // as reader fills it
		allocs := testing.AllocsPerRun(5, func() {
			b := mustNew(t, batcher.Config{PoolID: "1", MaxTasks: 3000, ItemIndex: true})
			for range 3000 {
				b.Add(one)
			}
			b.Flush()
		})
		const most = 12 // a buffer that grew that far would take as many alone
		if allocs > most {
			t.Errorf("a chunk takes %v allocations, at most %d are expected", allocs, most)
		}
	})
	for name, one := range map[string]reader.Task{
		"a short row":                 {JSON: []byte(`"input_values":{}`), InputBytes: 2},
		"a long row":                  {JSON: make([]byte, 900_000), InputBytes: 900_000, Raw: make([]byte, 900_000)},
		"a long solution":             {JSON: make([]byte, 4_000_000), InputBytes: 2, OutputBytes: 4_000_000, Raw: make([]byte, 4_000_000)},
		"columns that aren't sent":    {JSON: make([]byte, 50), InputBytes: 10, Raw: make([]byte, 1_000_000)},
		"a row that names many users": {JSON: make([]byte, 3_000_000), InputBytes: 10, Raw: make([]byte, 3_000_000)},
	} {
		t.Run("within its bounds for "+name, func(t *testing.T) {
			b := mustNew(t, batcher.Config{PoolID: "1"})
			b.Add(one)
			bound := contract.MaxInputBytes + contract.MaxOutputBytes + batcher.DefaultMaxRawBytes + 200*contract.MaxTasksSync
			if got := b.Flush().Memory(); got > bound+bound/16 {
				t.Errorf("its chunk takes %d bytes, of %d", got, bound)
			}
		})
	}
}
