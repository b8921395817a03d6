package pipeline_test

import (
	"sync"
	"testing"
	"time"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
)

func TestProgressIsToldWhileTheRunGoesOnAndAtItsEnd(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	_, url := serve(t, emulator.Config{}, holdPosts(release, arrived))
	cfg := config(url, write(t, "a.tsv", images(50)))
	cfg.ChunkSize, cfg.Workers, cfg.ProgressEvery = 10, 2, time.Millisecond
	var last pipeline.Progress // calls come one at a time
	var once sync.Once
	cfg.OnProgress = func(now pipeline.Progress) {
		if last = now; now.InFlight > 0 {
			once.Do(func() { close(release) }) // nobody else does
		}
	}
	r, err := run(t, cfg)
	if err != nil || r.Totals.Created != 50 {
		t.Fatalf("%v: %+v", err, r.Totals)
	}
	if last.Totals != r.Totals || last.InFlight != 0 || last.Started.IsZero() {
		t.Errorf("the last call has %+v", last)
	}

	cfg.ProgressEvery = time.Hour
	calls := 0
	cfg.OnProgress = func(pipeline.Progress) { calls++ }
	if _, err := run(t, cfg); err != nil || calls != 1 {
		t.Errorf("%v, %d calls within an hour", err, calls)
	}
	cfg.ProgressEvery = -1
	if _, err := pipeline.New(cfg); err == nil {
		t.Error("a negative time")
	}
}
