package simulation

import (
	"context"
	"net/http"
	"sync"
	"time"

	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// This file is all that the simulation knows of the module: how an upload is begun, and
// what it says in the end.

// settings are the flags of a command.
type settings struct {
	sync      bool
	workers   int // 0 is auto
	chunk     int // 0 is the default
	perMinute int // 0 is no quota
	retryFor  time.Duration
	progress  time.Duration
}

// command is one start of the program.
type command struct {
	settings
	name   string // of the run
	folder string // of the ledger
	file   string
	pool   string
	line   http.RoundTripper
}

// fate is what the program says of a row, in its words.
type fate struct {
	record int64
	status string // created, rejected, duplicate, unsent
	id     string
}

// outcome is what the program says in the end.
type outcome struct {
	rows   []fate
	closes bool // its counts
	// ok is exit code 0, or 3: every row is in the pool, or named as rejected.
	ok  bool
	err error
}

// upload runs a command to its end.
func (c command) upload(ctx context.Context) outcome {
	lock, err := pipeline.LockPool(c.folder, server, c.pool, c.name)
	if err != nil {
		return outcome{closes: true, err: err}
	}
	defer lock.Release() //nolint:errcheck // the folder goes with the test
	l, err := ledger.Open(ctx, c.folder)
	if err != nil {
		return outcome{closes: true, err: err}
	}
	defer l.Close()
	heard := &recorder{}
	mode := uploader.Async
	if c.sync {
		mode = uploader.Sync
	}
	p, err := pipeline.New(pipeline.Config{
		Input: pipeline.Input{Files: []string{c.file}, Reader: reader.Config{Parallel: 1}},
		Target: pipeline.Target{
			PoolID: c.pool, Limits: ratelimit.Config{TasksPerMinute: c.perMinute},
			API: toloka.Config{BaseURL: server, Token: "token", HTTP: &http.Client{Transport: c.line}, RetryFor: c.retryFor},
		},
		Sending:  pipeline.Sending{Mode: mode, ChunkSize: c.chunk, Workers: c.workers},
		Keeping:  pipeline.Keeping{Ledger: l, RunID: c.name},
		Recorder: heard, OnProgress: func(pipeline.Progress) {}, ProgressEvery: c.progress,
	})
	if err != nil {
		return outcome{closes: true, err: err}
	}
	r, err := p.Run(ctx)
	t := r.Totals
	return outcome{
		rows: heard.rows, err: err,
		closes: t.Rows == t.Created+t.Rejected+t.Duplicate+t.Unsent,
		ok:     err == nil && r.State == pipeline.Finished && t.Unsent == 0 && (r.Verification == nil || r.Verification.Own() == 0),
	}
}

// recorder keeps what a run says of its rows.
type recorder struct {
	mu   sync.Mutex
	rows []fate
}

func (r *recorder) Input(reader.Info) error { return nil }

func (r *recorder) Record(results []verdict.Verdict) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range results {
		r.rows = append(r.rows, fate{row.Position.Record, row.Status.String(), row.TaskID})
	}
	return nil
}

func (r *recorder) Finish(report pipeline.Report) (pipeline.Report, error) { return report, nil }
