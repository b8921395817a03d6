package ledger

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkChunk keeps an attempt and an outcome: 2,000 rows.
func BenchmarkChunk(b *testing.B) {
	const tasks = 2000
	l, err := Open(context.Background(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	run, err := l.Begin(Run{Name: "r", Settings: []byte{1}})
	if err != nil {
		b.Fatal(err)
	}
	r := Result{Keys: make([]Key, tasks), Rows: make([]Row, tasks)}
	rows := make([]Row, tasks)
	for i := range tasks {
		r.Keys[i] = Key{byte(i * 7), byte(i >> 3), byte(i * 13), byte(i * 31)}
		rows[i] = Row{Line: int64(i), Record: int64(i), Status: InDoubt}
		r.Rows[i] = Row{Line: int64(i), Record: int64(i), Status: Created, TaskID: fmt.Sprintf("00012f4c3e--65d3c1%018x", i*3)}
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Chunk++
		err := l.Sending(run.ID, Attempt{Chunk: r.Chunk, Keys: r.Keys, Rows: rows, Operation: fmt.Sprint(r.Chunk), Tasks: tasks})
		if err == nil {
			err = l.Finish(run.ID, r)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
