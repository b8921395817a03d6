package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"

	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// library uploads a file as a Go program does, with a ledger or without, which
// the command line can't. Nothing is written but the ledger.
func library(ctx context.Context, args []string, log io.Writer) (err error) {
	flags := flagSet("library", log)
	var url, file, mode, state string
	flags.StringVar(&url, "url", "", "the server")
	flags.StringVar(&file, "file", "", "the input")
	flags.StringVar(&mode, "mode", "sync", "sync or async")
	flags.StringVar(&state, "state", "", "the folder for a ledger; without, there is none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	debug.SetGCPercent(40) // as the command does once it collects
	cfg := pipeline.Config{
		Input:   pipeline.Input{Files: []string{file}},
		Target:  pipeline.Target{PoolID: "1", API: toloka.Config{BaseURL: url, Token: "bench"}},
		Sending: pipeline.Sending{Mode: uploader.Mode(mode), ChunkSize: 5000},
	}
	if state != "" {
		l, err := ledger.Open(ctx, state)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		cfg.Ledger, cfg.Recorder = l, deaf{} // its rows are read again, as for a report
	}
	p, err := pipeline.New(cfg)
	if err != nil {
		return err
	}
	_, err = p.Run(ctx)
	return err
}

// deaf is a Recorder that listens to nothing.
type deaf struct{}

func (deaf) Input(reader.Info) error                           { return nil }
func (deaf) Record([]verdict.Verdict) error                    { return nil }
func (deaf) Finish(r pipeline.Report) (pipeline.Report, error) { return r, nil }

// ledger compares uploads with a ledger and without, to the emulator.
func (b *bench) ledger(ctx context.Context) error {
	file, err := b.input(ctx, plain(), b.rows)
	if err != nil {
		return err
	}
	t := newTable(fmt.Sprintf("%d rows to the emulator, best of %d", b.rows, b.repeat), "mode", "ledger", "wall s", "user + system s", "peak MiB")
	for _, mode := range []string{"sync", "async"} {
		all := map[string][]usage{}
		for n := range b.repeat {
			for name, state := range map[string]string{"without": "", "with": filepath.Join(b.dir, fmt.Sprintf("ledger-%s-%d", mode, n))} {
				s, err := b.serveEmulator(ctx, unlimited()...)
				if err != nil {
					return err
				}
				u, err := measure(ctx, []string{b.self, "library", "-url", s.url, "-file", file, "-mode", mode, "-state", state})
				if err := errors.Join(err, s.stop()); err != nil {
					return err
				}
				all[name] = append(all[name], u)
			}
		}
		for _, name := range []string{"without", "with"} {
			u := best(all[name])
			t.add(mode, name, seconds(u.wall), seconds(u.cpu), mebibytes(u.peak))
		}
	}
	return t.print(b.out)
}
