// Package ui shows a run to a person or to a log: its progress while it goes
// on, and a summary at the end.
//
// What goes in: pipeline.Progress, looked at from time to time, and the final
// pipeline.Report. What comes out: text. Progress goes to standard error, only
// the summary is a result.
package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"poolfill/cmd/poolfill/internal/count"
	"poolfill/internal/visible"
	"poolfill/pipeline"
)

// Kind is a way of showing progress.
type Kind string

// The kinds of progress display.
const (
	Bar   Kind = "bar"   // one line that is drawn again; for terminals
	Plain Kind = "plain" // a line every few seconds
	JSON  Kind = "json"  // an object a second, one a line
	None  Kind = "none"
)

// The times between two looks at the run.
const (
	barEvery   = 150 * time.Millisecond
	plainEvery = 10 * time.Second
	jsonEvery  = time.Second
)

// Display shows progress, and passes on other lines, such as a log's, without
// disturbing it. It is safe for concurrent use.
type Display struct {
	kind Kind
	mu   sync.Mutex
	out  io.Writer // where lines go: through the bar while there is one
	base io.Writer
}

// NewDisplay returns a Display that writes to w.
func NewDisplay(kind Kind, w io.Writer) *Display {
	return &Display{kind: kind, out: w, base: w}
}

// Write writes lines beside the progress.
func (d *Display) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(p)
}

func (d *Display) through(w io.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.out = w
}

// Watch shows progress until the function that it returns is called. That
// function waits until the last line is out; more calls of it do nothing.
func (d *Display) Watch(progress func() pipeline.Progress) (stop func()) {
	switch d.kind {
	case Bar:
		return d.watchBar(progress)
	case Plain:
		return every(plainEvery, func() { fmt.Fprintln(d, look(progress(), time.Now()).line()) })
	case JSON:
		e := json.NewEncoder(d)
		return every(jsonEvery, func() {
			// A display that can't be written to is no reason to end an upload.
			_ = e.Encode(look(progress(), time.Now()).object())
		})
	default:
		return func() {}
	}
}

// every calls show at each tick until the function that it returns is called.
func every(d time.Duration, show func()) (stop func()) {
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		ticker := time.NewTicker(d)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				show()
			case <-quit:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(quit)
		done.Wait()
	})
}

// watchBar draws a bar over the bytes of the inputs, with the counts beside it.
func (d *Display) watchBar(progress func() pipeline.Progress) (stop func()) {
	options := []mpb.ContainerOption{mpb.WithOutput(below(d.base)), mpb.WithWidth(24), mpb.WithAutoRefresh(), mpb.WithRefreshRate(barEvery)}
	if file, ok := Terminal(d.base); ok && runtime.GOOS != "windows" { // whose consoles mpb knows better
		options = append(options, mpb.WithConsoleWriter(&console{file: file}))
	}
	container := mpb.New(options...)
	var mu sync.Mutex
	seen := look(progress(), time.Now())
	text := func(f func(view) string) decor.Decorator {
		return decor.Any(func(decor.Statistics) string {
			mu.Lock()
			defer mu.Unlock()
			return f(seen)
		})
	}
	// The scale is the bar's own: the size of the inputs is known only later, and
	// a bar that has reached its total is gone for good.
	const scale = 10_000
	bar := container.New(scale,
		mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]"),
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(text(view.counts)),
		mpb.AppendDecorators(text(func(v view) string { return " " + v.outlook() })))
	d.through(visible.NewWriter(container)) // which moves the cursor itself
	stopTicks := every(barEvery, func() {
		now := look(progress(), time.Now())
		mu.Lock()
		seen = now
		mu.Unlock()
		// It stays short of the end: rows are still in flight then.
		bar.SetCurrent(min(int64(now.Share*scale), scale-1))
	})
	return sync.OnceFunc(func() {
		stopTicks()
		bar.Abort(true)
		container.Wait()
		d.through(d.base)
	})
}

// look is a look at the run at the time now.
func look(p pipeline.Progress, now time.Time) view {
	return view{Progress: p, Outlook: p.Outlook(now), now: now}
}

// view is one look at a run, with what is derived from it.
type view struct {
	pipeline.Progress
	pipeline.Outlook
	now time.Time
}

func (v view) counts() string {
	s := humanize.Comma(v.Done) + " rows"
	if v.Rate >= 1 {
		s += fmt.Sprintf(", %s/s", humanize.Comma(int64(v.Rate)))
	}
	if v.Totals.Rejected > 0 {
		s += fmt.Sprintf(", %s rejected", humanize.Comma(v.Totals.Rejected))
	}
	return s + " "
}

// outlook says how far the run is and what it waits for.
func (v view) outlook() string {
	var parts []string
	if v.Share > 0 {
		parts = append(parts, fmt.Sprintf("%.0f%%", math.Floor(v.Share*100)))
	}
	switch {
	case v.Stopping:
		parts = append(parts, fmt.Sprintf("stopping: %s in flight", count.Of(v.InFlight, "row")))
	case v.waiting() != "":
		parts = append(parts, v.waiting())
	case v.Left > 0:
		parts = append(parts, fmt.Sprintf("%s left", v.Left))
	}
	return strings.Join(parts, ", ")
}

// waiting says what the quota makes the run wait for.
func (v view) waiting() string {
	wait := v.Gate.PausedUntil.Sub(v.now).Round(time.Second)
	if wait <= 0 || v.Gate.Reason == "" {
		return ""
	}
	return visible.Sprintf("waiting %s: %s", wait, v.Gate.Reason)
}

func (v view) line() string {
	s := fmt.Sprintf("%s read, %s done, %s rejected, %s rows/s",
		count.Of(v.Totals.Rows, "row"), humanize.Comma(v.Done), humanize.Comma(v.Totals.Rejected), humanize.Comma(int64(v.Rate)))
	if v.Requests.Retried > 0 {
		s += fmt.Sprintf(", %s repeated", count.Of(v.Requests.Retried, "request"))
	}
	if o := v.outlook(); o != "" {
		s += ", " + o
	}
	return s
}

// object is the JSON form of a look.
func (v view) object() any {
	return struct {
		Time       time.Time       `json:"time"`
		Totals     pipeline.Totals `json:"totals"`
		InFlight   int64           `json:"in_flight"`
		Rate       float64         `json:"rows_per_second"`
		BytesRead  int64           `json:"bytes_read"`
		BytesTotal int64           `json:"bytes_total"`
		Retried    int64           `json:"retried"`
		Left       float64         `json:"seconds_left,omitempty"`
		Waiting    string          `json:"waiting_for,omitempty"`
		Stopping   bool            `json:"stopping,omitempty"`
	}{
		v.now.UTC().Truncate(time.Millisecond), v.Totals, v.InFlight, math.Round(v.Rate*10) / 10,
		v.BytesRead, v.BytesTotal, v.Requests.Retried, v.Left.Seconds(), v.waiting(), v.Stopping,
	}
}
