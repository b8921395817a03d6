//go:build unix

package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"poolfill/reader/verdict"
)

// tolokaID looks like the ids of a pool of Toloka: a number of the pool, and an
// object's id with a counter at its end.
func tolokaID(n int) string { return fmt.Sprintf("00014495f0--60213f7c25a8b84e2f%06x", n) }

// emulatorID looks like the ids of the emulator: half of it is as good as random.
func emulatorID(n int) string {
	return fmt.Sprintf("%010x--%08x%016x", n, 1_760_000_000+n/4000, uint64(n+1)*0x9e3779b97f4a7c15)
}

// chunkOf makes a chunk of created rows: one row in fifty spans two lines.
func chunkOf(number, tasks int, id func(int) string) Result {
	rows := make([]verdict.Verdict, tasks)
	r := Result{Chunk: number, Keys: make([]Key, tasks), Rows: rows}
	for i := range tasks {
		n := number*tasks + i
		binary.BigEndian.PutUint64(r.Keys[i][:], uint64(n+1)*0xbf58476d1ce4e5b9)
		binary.BigEndian.PutUint64(r.Keys[i][8:], uint64(n+1)*0x94d049bb133111eb)
		rows[i] = verdict.Verdict{Position: verdict.Position{File: fileName, Line: int64(n + n/50 + 2), Record: int64(n + 1)}, Status: verdict.Created, TaskID: id(n)}
	}
	return r
}

// BenchmarkChunk keeps an attempt and an outcome. Its cpu-ns/row are of the
// processor, without the waits for the disk.
func BenchmarkChunk(b *testing.B) {
	for _, ids := range []struct {
		name string
		id   func(int) string
	}{{"toloka", tolokaID}, {"emulator", emulatorID}} {
		for _, tasks := range []int{2000, 5000} {
			b.Run(fmt.Sprintf("%s-%d", ids.name, tasks), func(b *testing.B) { benchmarkChunk(b, tasks, ids.id) })
		}
	}
}

func benchmarkChunk(b *testing.B, tasks int, id func(int) string) {
	dir := b.TempDir()
	l, err := Open(context.Background(), dir)
	if err != nil {
		b.Fatal(err)
	}
	run, err := l.Begin(Run{Name: "r", Settings: []byte{1}, Files: []File{{Path: fileName}}})
	if err != nil {
		b.Fatal(err)
	}
	r := chunkOf(0, tasks, id)
	b.ReportAllocs()
	var number atomic.Int64
	before := cpuTime(b)
	b.SetParallelism(4) // so many workers for each processor
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := r
			r.Chunk = int(number.Add(1))
			err := l.Entry(run).Sending(Attempt{Chunk: r.Chunk, Keys: r.Keys, Positions: positions(r.Rows), Operation: fmt.Sprint(r.Chunk), Tasks: tasks})
			if err == nil {
				err = l.Entry(run).Finish(r)
			}
			if err != nil {
				b.Error(err)
			}
		}
	})
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	n := float64(b.N * tasks)
	b.ReportMetric(float64(cpuTime(b)-before)/n, "cpu-ns/row")
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/n, "B/row")
}

// cpuTime is the processor's time of this process so far.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOpen opens and closes a ledger: a new one, and one of some size.
func BenchmarkOpen(b *testing.B) {
	ctx := context.Background()
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			l, err := Open(ctx, b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, chunks := range []int{0, 10, 30, 120} {
		b.Run(fmt.Sprintf("chunks-%d", chunks), func(b *testing.B) {
			dir := b.TempDir()
			l, err := Open(ctx, dir)
			if err != nil {
				b.Fatal(err)
			}
			run, err := l.Begin(Run{Name: "r", Settings: []byte{1}, Files: []File{{Path: fileName}}})
			if err != nil {
				b.Fatal(err)
			}
			for number := range chunks {
				if err := l.Entry(run).Finish(chunkOf(number, 5000, emulatorID)); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				l, err := Open(ctx, dir)
				if err != nil {
					b.Fatal(err)
				}
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRows packs the rows of a chunk, and unpacks them.
func BenchmarkRows(b *testing.B) {
	c, err := newCodec()
	if err != nil {
		b.Fatal(err)
	}
	const tasks = 5000
	for name, id := range map[string]func(int) string{"toloka": tolokaID, "emulator": emulatorID, "other": func(n int) string { return fmt.Sprint("task-", n) }} {
		r := chunkOf(0, tasks, id)
		p := c.packer()
		blob, err := p.pack([]string{fileName}, all(r.Rows))
		if err != nil {
			b.Fatal(err)
		}
		b.Run("pack-"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.pack([]string{fileName}, all(r.Rows)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*tasks), "ns/row")
			b.ReportMetric(float64(len(blob))/tasks, "B/row")
		})
		b.Run("unpack-"+name, func(b *testing.B) {
			b.ReportAllocs()
			var rows []verdict.Verdict
			for b.Loop() {
				if rows, err = c.unpack([]string{fileName}, blob, rows); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*tasks), "ns/row")
		})
	}
}
