package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/uploader"
)

type picture struct {
	Image string `csv:"INPUT:image"`
	Title string `csv:"INPUT:title"`
}

// pictures gives n rows, of which those whose numbers are in bad have a broken
// URL. Their titles have two lines, so that rows and lines are not the same.
func pictures(n int, bad ...int) []picture {
	rows := make([]picture, n)
	for i := range rows {
		rows[i] = picture{fmt.Sprintf("https://example.com/%d.jpg", i+1), fmt.Sprintf("number\n%d", i+1)}
		if slices.Contains(bad, i+1) {
			rows[i].Image = "example.com"
		}
	}
	return rows
}

func album(name string, rows []picture) []reader.Source {
	return []reader.Source{reader.Structs(name, reader.NoError(slices.Values(rows)))}
}

func TestRowsOfAProgramAreUploadedOnceByTheirName(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	ctx := context.Background()
	b := openBook(t)
	cfg := config(url)
	cfg.ChunkSize = 10
	upload := func(what, name string, rows []picture, created, duplicate, rejected int64) (pipeline.Report, *memory) {
		t.Helper()
		cfg.Sources = album(name, rows)
		r, heard := b.upload(t, ctx, cfg)
		wantTotals(t, what, r, created, duplicate, rejected)
		return r, heard
	}

	r, heard := upload("the first run", "album", pictures(30, 7), 29, 0, 1)
	if len(r.Rejections) != 1 || !slices.Equal(r.Rejections[0].Samples, []string{"album:7"}) {
		t.Errorf("the rejections are %+v", r.Rejections)
	}
	if len(r.Files) != 1 || r.Files[0].Path != "album" || r.Files[0].Rows != 30 || len(heard.inputs) != 1 || heard.inputs[0].File != "album" {
		t.Errorf("the inputs are %+v and %+v", r.Files, heard.inputs)
	}
	if row := heard.rows["album:30"]; row.Position.Line != 30 || row.TaskID == "" {
		t.Errorf("the last row is %+v", row)
	}
	upload("the same rows", "album", pictures(30, 7), 0, 29, 1)
	reversed := pictures(32)
	slices.Reverse(reversed)
	upload("in another order, fixed and two more", "album", reversed, 3, 29, 0)
	upload("one of them twice", "album", append(pictures(32), pictures(1)...), 1, 32, 0)
	upload("under another name", "album of June", pictures(30, 7), 29, 0, 1)
	cfg.Job = pipeline.Upload{Guard: pipeline.GuardLedger}
	upload("under a third name, by the ledger", "album of July", pictures(33), 1, 32, 0)
	cfg.Job = pipeline.Upload{Guard: pipeline.GuardNone}
	upload("once more", "album", pictures(32), 32, 0, 0)
	if got := server.Stats().Pools["1"]; got != 29+3+1+29+1+32 {
		t.Errorf("%d tasks in the pool", got)
	}
}

// A run over rows of a program that was cut off is gone on with by their name,
// whether they come as before or not.
func TestRowsOfAProgramThatWasCutOffAreUploadedOnce(t *testing.T) {
	for _, mode := range []uploader.Mode{uploader.Async, uploader.Sync} {
		for _, shuffled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, shuffled: %v", mode, shuffled), func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				server, url := serve(t, emulator.Config{}, carriedOut(2, cancel))
				b := openBook(t)
				cfg := config(url)
				cfg.Mode, cfg.ChunkSize, cfg.Workers, cfg.Sources = mode, 10, 2, album("album", pictures(50))
				r, _ := b.upload(t, ctx, cfg)
				if r.State != pipeline.Interrupted || r.Totals.Created != 0 {
					t.Fatalf("%s with %+v", r.State, r.Totals)
				}
				if shuffled {
					rows := pictures(50)
					slices.Reverse(rows)
					cfg.Sources = album("album", rows)
				}
				r, heard := b.upload(t, context.Background(), cfg)
				wantTotals(t, "the second attempt", r, 30, 20, 0)
				ids := map[string]bool{}
				for _, row := range heard.rows {
					ids[row.TaskID] = true
				}
				if len(ids) != 50 || ids[""] || server.Stats().Pools["1"] != 50 {
					t.Errorf("%d ids, %d tasks in the pool", len(ids), server.Stats().Pools["1"])
				}
			})
		}
	}
}

func TestWithoutALedgerTheServerKnowsTheSameSource(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	for _, again := range []struct {
		name    string
		want    int
		earlier int64
	}{{"album", 30, 0}, {"album", 30, 30}, {"album of June", 60, 0}} {
		cfg := config(url)
		cfg.Sources = album(again.name, pictures(30))
		r, err := run(t, cfg)
		if err != nil || r.Totals.Created != 30 || r.Earlier != again.earlier || server.Stats().Pools["1"] != again.want {
			t.Errorf("%s: %v, %+v, %d earlier, %d in the pool", again.name, err, r.Totals, r.Earlier, server.Stats().Pools["1"])
		}
	}
}

func TestAnErrorOfTheRowsEndsTheRunAndItCanBeGoneOnWith(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	b := openBook(t)
	cfg := config(url)
	cfg.ChunkSize, cfg.Ledger = 10, b.Ledger
	broken := errors.New("the database went away")
	cfg.Sources = []reader.Source{reader.Structs("album", func(yield func(picture, error) bool) {
		for _, row := range pictures(25) {
			if !yield(row, nil) {
				return
			}
		}
		yield(picture{}, broken)
	})}
	r, err := run(t, cfg)
	var failed *reader.ReadError
	if !errors.Is(err, broken) || !errors.As(err, &failed) || failed.Line != 26 || r.State != pipeline.Failed || r.Totals.Rows != 25 {
		t.Errorf("%v: %s with %+v", err, r.State, r.Totals)
	}
	cfg.Sources = album("album", pictures(40))
	r, _ = b.upload(t, context.Background(), cfg)
	if r.Totals.Created+r.Totals.Duplicate != 40 || server.Stats().Pools["1"] != 40 {
		t.Errorf("%+v, %d in the pool", r.Totals, server.Stats().Pools["1"])
	}
}

func TestSourcesComeAfterFiles(t *testing.T) {
	_, url := serve(t, emulator.Config{}, nil)
	b := openBook(t)
	cfg := config(url, write(t, "a.tsv", images(20)))
	cfg.Sources = slices.Concat(album("one", pictures(3)), album("none", nil), album("two", pictures(4)))
	r, heard := b.upload(t, context.Background(), cfg)
	wantTotals(t, "all", r, 27, 0, 0)
	var names []string
	for _, i := range heard.inputs {
		names = append(names, i.File)
	}
	if !slices.Equal(names, []string{cfg.Files[0], "one", "none", "two"}) {
		t.Errorf("the inputs are %q", names)
	}
	r, _ = b.upload(t, context.Background(), cfg)
	wantTotals(t, "again", r, 0, 7, 0) // the file is as it was
}

func TestASourceIsCheckedBeforeItsRowsAreAsked(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	asked := false
	cfg := config(url)
	cfg.Sources = []reader.Source{{Name: "album", Columns: []string{"INPUT:imagis"}, Rows: func(func([]string, error) bool) { asked = true }}}
	_, err := run(t, cfg)
	var setup *pipeline.SetupError
	if !errors.As(err, &setup) || asked || server.Stats().Tasks != 0 {
		t.Errorf("%v, asked: %v", err, asked)
	}
	cfg.Sources = album("album", nil)
	if _, err = run(t, cfg); !errors.As(err, &setup) || !errors.Is(err, pipeline.ErrNoRows) {
		t.Errorf("no rows: %v", err)
	}
	cfg.Sources = slices.Concat(album("album", nil), album("album", nil))
	if _, err = pipeline.New(cfg); err == nil {
		t.Error("two sources with one name")
	}
	cfg.Sources = []reader.Source{{}}
	if _, err = pipeline.New(cfg); err == nil {
		t.Error("a source without anything")
	}
}
