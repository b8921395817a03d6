package toloka

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"testing"
)

// benchTasks is how many tasks the answers of the benchmarks are about.
const benchTasks = 5000

// benchInputs are the inputs of a task of about 110 bytes.
func benchInputs(i int) []byte {
	quote := ""
	if i%50 == 0 {
		quote = `\"`
	}
	return fmt.Appendf(nil, `"input_values":{"url":"https://example.com/images/%08[1]d.jpg","title":"Picture %[2]snumber %[1]d%[2]s of a set","size":%[3]d}`, i, quote, i%100)
}

// BenchmarkAnswers measures what reading answers costs, without the network.
func BenchmarkAnswers(b *testing.B) {
	sent := make([][]byte, benchTasks)
	items := []byte(`{"items":{`)
	for i := range sent {
		sent[i] = benchInputs(i)
		if i > 0 {
			items = append(items, ',')
		}
		items = fmt.Appendf(items, `"%d":{"id":"00000a1b2c--65f0c0ffee%06x",%s,"overlap":3,"created":"2026-11-24T12:00:00.123"}`, i, i, sent[i])
	}
	items = append(items, `},"validation_errors":{}}`...)
	log := []byte(`[`)
	for n, i := range rand.New(rand.NewPCG(1, 2)).Perm(benchTasks) { // no server keeps their order
		if n > 0 {
			log = append(log, ',')
		}
		log = fmt.Appendf(log, `{"type":"TASK_CREATE","success":true,"input":{"pool_id":"12","__item_idx":"%d",%s},"output":{"task_id":"00000a1b2c--65f0c0ffee%06x"}}`, i, sent[i], i)
	}
	log = append(log, ']')

	var p decoders
	for _, bench := range []struct {
		name   string
		answer []byte
		read   func(r io.Reader, take func(iter.Seq[Item])) error
	}{
		{"sync", items, func(r io.Reader, take func(iter.Seq[Item])) error {
			return p.answer(r, benchTasks, func(i int) []byte { return sent[i] }, take)
		}},
		{"log", log, func(r io.Reader, take func(iter.Seq[Item])) error {
			return p.log(r, Tasks(), benchTasks, func(i int) []byte { return sent[max(i, 0)] }, take)
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.answer)))
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				err := bench.read(bytes.NewReader(bench.answer), func(all iter.Seq[Item]) {
					for range all {
						n++
					}
				})
				if err != nil || n != benchTasks {
					b.Fatal(n, err)
				}
			}
		})
	}
}
