// Package importer is a program outside of poolfill's module that uses it: a test
// of poolfill compiles and runs it.
package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// Animal is a row of the program's own, and a row of a task file.
type Animal struct {
	Image   string       `csv:"INPUT:image"`
	Tags    reader.Array `csv:"INPUT:tags"`
	Answer  string       `csv:"GOLDEN:result"`
	Overlap *int         `csv:"TASK:overlap"`
}

// Upload uploads animals, each once, however often it is called with the name of
// the same shipment. It writes what became of them to out.
func Upload(ctx context.Context, api toloka.Config, pool, state, shipment string, animals iter.Seq2[Animal, error], out io.Writer) (report pipeline.Report, err error) {
	lock, err := pipeline.LockPool(state, api.BaseURL, pool, "shipment "+shipment)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	book, err := ledger.Open(ctx, state)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, book.Close()) }()

	p, err := pipeline.New(pipeline.Config{
		Input: pipeline.Input{Sources: []reader.Source{reader.Structs(shipment, animals)}},
		Target: pipeline.Target{
			PoolID: pool,
			API:    api,
			Limits: ratelimit.Config{RequestsPerSecond: 300, TasksPerMinute: 200_000, TasksPerDay: 4_000_000},
		},
		Keeping:       pipeline.Keeping{Ledger: book},
		Recorder:      &outcomes{out: out},
		OnProgress:    func(now pipeline.Progress) { fmt.Fprintf(out, "%d rows so far\n", now.Totals.Rows) },
		ProgressEvery: time.Minute,
	})
	if err != nil {
		return report, err
	}
	report, err = p.Run(ctx)
	if errors.Is(err, pipeline.ErrNoRows) {
		return report, nil
	}
	return report, err
}

// outcomes writes what became of each row.
type outcomes struct{ out io.Writer }

func (o *outcomes) Input(reader.Info) error { return nil }

func (o *outcomes) Record(rows []verdict.Verdict) error {
	for _, row := range rows {
		text := row.Status.String()
		for _, f := range row.Findings {
			text += fmt.Sprintf(", %s: %s", f.Field, f.Code)
		}
		if _, err := fmt.Fprintf(o.out, "%s:%d %s\n", row.Position.File, row.Position.Line, text); err != nil {
			return err
		}
	}
	return nil
}

func (o *outcomes) Finish(r pipeline.Report) (pipeline.Report, error) { return r, nil }

// LastRun gives the latest run that the ledger knows, and its report.
func LastRun(ctx context.Context, book *ledger.Ledger) (run ledger.Run, report pipeline.Report, err error) {
	if run, err = book.Find(ctx, ""); err != nil {
		return run, report, err
	}
	report, err = pipeline.Rebuild(ctx, book, run, nil)
	return run, report, err
}

// Spec is a spec that the program makes itself.
func Spec() *reader.Spec {
	var longest = 200
	return &reader.Spec{
		Input:  map[string]reader.FieldSpec{"title": {Type: reader.TypeString, Required: true, MaxLength: &longest}},
		Output: map[string]reader.FieldSpec{"result": {Type: reader.ArrayPrefix + reader.TypeString}},
	}
}
