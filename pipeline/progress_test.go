package pipeline_test

import (
	"context"
	"math"
	"sync"
	"testing"
	"time"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
	"poolfill/uploader/toloka"
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

func TestProgressIsThatOfTheRowsWhateverIsReadAhead(t *testing.T) {
	const rows = 3000
	_, url := serve(t, emulator.Config{}, nil)
	cfg := config(url, write(t, "a.tsv", images(rows)))
	cfg.ChunkSize, cfg.Workers = 100, 1
	var p *pipeline.Pipeline
	looks := 0
	cfg.API.Observe = func(toloka.Exchange) {
		now := p.Progress()
		o := now.Outlook(now.Started.Add(time.Second))
		if o.Done == 0 {
			return
		}
		looks++
		if want := float64(o.Done) / rows; math.Abs(o.Share-want) > 0.02 {
			t.Errorf("%d of %d rows are done, which is said to be %.3f of all", o.Done, rows, o.Share)
		}
	}
	var err error
	if p, err = pipeline.New(cfg); err != nil {
		t.Fatal(err)
	}
	if r, err := p.Run(context.Background()); err != nil || r.Totals.Created != rows || looks < 20 {
		t.Fatalf("%v: %+v, %d looks", err, r.Totals, looks)
	}
	if now := p.Progress(); now.BytesRead != now.BytesTotal {
		t.Errorf("%d of %d bytes at the end", now.BytesRead, now.BytesTotal)
	}
}
