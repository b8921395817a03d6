//go:build unix

package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"poolfill/internal/emulator"
	"poolfill/internal/ledger"
	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/uploader"
)

// deaf is a Recorder that listens to nothing.
type deaf struct{}

func (deaf) Input(reader.Info) error                           { return nil }
func (deaf) Record([]pipeline.Result) error                    { return nil }
func (deaf) Finish(r pipeline.Report) (pipeline.Report, error) { return r, nil }

// What the ledger costs: the same upload with and without one. Its rows are
// read again at the end, as for a report. The emulator is in this process and
// counts in both.
func BenchmarkRun(b *testing.B) {
	const rows = 1_000_000
	var text strings.Builder
	text.WriteString("INPUT:image\tINPUT:title\tGOLDEN:result\n")
	for i := range rows {
		title := fmt.Sprintf("A plain title for the picture number %d", i)
		if i%50 == 7 {
			title = fmt.Sprintf("\"A title with a\ttab, a \"\"quote\"\" and\na line end, number %d\"", i)
		}
		fmt.Fprintf(&text, "https://images.example.com/dataset/%03d/%08d.jpg\t%s\t\n", i%977, i, title)
	}
	path := write(b, "rows.tsv", text.String())
	for _, mode := range []uploader.Mode{uploader.Sync, uploader.Async} {
		for _, with := range []bool{false, true} {
			b.Run(fmt.Sprintf("mode=%s/ledger=%t", mode, with), func(b *testing.B) {
				cpu := time.Duration(0)
				for b.Loop() {
					b.StopTimer()
					_, url := serve(b, emulator.Config{Limits: emulator.Limits{RequestsPerSecond: -1, TasksPerMinute: -1, TasksPerDay: -1}}, nil)
					cfg := config(url, path)
					cfg.Mode, cfg.ChunkSize, cfg.Recorder = mode, 5000, deaf{}
					if with {
						l, err := ledger.Open(context.Background(), b.TempDir())
						if err != nil {
							b.Fatal(err)
						}
						cfg.Ledger = l
						b.Cleanup(func() { _ = l.Close() })
					}
					p, err := pipeline.New(cfg)
					if err != nil {
						b.Fatal(err)
					}
					before := used(b)
					b.StartTimer()
					r, err := p.Run(context.Background())
					b.StopTimer()
					cpu += used(b) - before
					if err = errors.Join(err); err != nil || r.Totals.Created != rows {
						b.Fatal(err, r.Totals)
					}
					cfg.API.HTTP.CloseIdleConnections()
					b.StartTimer()
				}
				b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// used is the CPU time of the process so far.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
