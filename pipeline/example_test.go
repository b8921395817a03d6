package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader/tolokatest"
)

func Example() {
	server, err := tolokatest.Start(tolokatest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }() // a test server: nothing is lost

	p, err := pipeline.New(pipeline.Config{
		Input: pipeline.Input{
			Files: []string{"-"},
			Stdin: strings.NewReader("image,title\n" +
				"https://example.com/1.jpg,A cat\n" +
				"example.com/2.jpg,A URL without its scheme\n"),
		},
		Target: pipeline.Target{
			PoolID: server.PoolID,
			API:    server.API(), // toloka.Config{BaseURL: "https://toloka.dev", Token: token}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := p.Run(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %d of %d rows created\n", report.State, report.Totals.Created, report.Totals.Rows)
	for _, r := range report.Rejections {
		fmt.Printf("%d × %s in %s at %v\n", r.Count, r.Code, r.Field, r.Samples)
	}
	// Output:
	// finished: 1 of 2 rows created
	// 1 × INVALID_URL_SYNTAX in image at [-:3]
}

// A program uploads its own rows. The ledger knows them by the name of the source,
// so the same call, made again after a crash or by mistake, uploads what is missing.
func Example_sources() {
	server, err := tolokatest.Start(tolokatest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }() // a test server: nothing is lost
	state, err := os.MkdirTemp("", "poolfill")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(state) }() // only temporary files are left behind
	ctx := context.Background()

	book, err := ledger.Open(ctx, state)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = book.Close() }() // all that Run has returned from is on disk

	type picture struct {
		Image string `csv:"INPUT:image"`
		Title string `csv:"INPUT:title"`
	}
	upload := func(runID string, pictures []picture) (pipeline.Report, error) {
		p, err := pipeline.New(pipeline.Config{
			Input: pipeline.Input{
				Sources: []reader.Source{reader.Structs("pictures of May", reader.NoError(slices.Values(pictures)))},
			},
			Target:  pipeline.Target{PoolID: server.PoolID, API: server.API()},
			Keeping: pipeline.Keeping{Ledger: book, RunID: runID},
		})
		if err != nil {
			return pipeline.Report{}, err
		}
		return p.Run(ctx)
	}

	pictures := []picture{{"https://example.com/1.jpg", "A cat"}, {"example.com/2.jpg", "A dog"}}
	for _, runID := range []string{"first", "second"} {
		report, err := upload(runID, pictures)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %d created, %d duplicate, %d rejected\n",
			report.RunID, report.Totals.Created, report.Totals.Duplicate, report.Totals.Rejected)
		for _, r := range report.Rejections {
			fmt.Println(r.Samples, r.Message)
		}
		pictures[1].Image = "https://example.com/2.jpg" // fixed
	}
	// Output:
	// first: 1 created, 0 duplicate, 1 rejected
	// [pictures of May:2] "example.com/2.jpg" is not a URL: it must begin with http://, https:// or www and go on after that
	// second: 1 created, 1 duplicate, 0 rejected
}

// outcomes keeps what became of each row.
type outcomes struct {
	mu     sync.Mutex
	taskOf map[int64]string // by the row's number
}

func (o *outcomes) Input(reader.Info) error { return nil }

func (o *outcomes) Record(rows []verdict.Verdict) error {
	o.mu.Lock() // without a ledger, calls come from several goroutines
	defer o.mu.Unlock()
	for _, row := range rows {
		if row.Status == verdict.Created {
			o.taskOf[row.Position.Record] = row.TaskID
		}
	}
	return nil
}

func (o *outcomes) Finish(r pipeline.Report) (pipeline.Report, error) { return r, nil }

func ExampleRecorder() {
	server, err := tolokatest.Start(tolokatest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }() // a test server: nothing is lost

	heard := &outcomes{taskOf: map[int64]string{}}
	last := int64(0)
	p, err := pipeline.New(pipeline.Config{
		Input: pipeline.Input{Sources: []reader.Source{{
			Name:    "pictures",
			Columns: []string{"INPUT:image"},
			Rows:    reader.NoError(slices.Values([][]string{{"https://example.com/1.jpg"}, {"not a URL"}, {"https://example.com/3.jpg"}})),
		}}},
		Target:     pipeline.Target{PoolID: server.PoolID, API: server.API()},
		Recorder:   heard,
		OnProgress: func(now pipeline.Progress) { last = now.Totals.Rows },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := p.Run(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d rows, %d tasks: row 1 is one: %v, row 2 is one: %v\n",
		last, len(heard.taskOf), heard.taskOf[1] != "", heard.taskOf[2] != "")
	// Output: 3 rows, 2 tasks: row 1 is one: true, row 2 is one: false
}

// A mistake that concerns all rows is found before anything is sent.
func ExampleSetupError() {
	server, err := tolokatest.Start(tolokatest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }() // a test server: nothing is lost

	type picture struct {
		Image string `csv:"INPUT:imagis"`
	}
	p, err := pipeline.New(pipeline.Config{
		Input: pipeline.Input{
			Sources: []reader.Source{reader.Structs("pictures", reader.NoError(slices.Values([]picture{{"https://example.com/1.jpg"}})))},
		},
		Target: pipeline.Target{PoolID: server.PoolID, API: server.API()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = p.Run(context.Background())
	var setup *pipeline.SetupError
	fmt.Println(errors.As(err, &setup))
	fmt.Println(err)
	// Output:
	// true
	// pictures:1: no column fills the required input field "image": add INPUT:image, or say which column it is with --map COLUMN=INPUT:image
	// pictures:1, column 1 (INPUT:imagis): the project has no input field "imagis": did you mean image? Rename the column, or use --map INPUT:imagis=INPUT:image
}

// A pool is listed and accounted for: here another program has uploaded to it, too.
func ExampleVerify() {
	server, err := tolokatest.Start(tolokatest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }() // a test server: nothing is lost
	state, err := os.MkdirTemp("", "poolfill")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(state) }() // only temporary files are left behind
	ctx := context.Background()
	book, err := ledger.Open(ctx, state)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = book.Close() }() // all that Run has returned from is on disk

	upload := func(keeping pipeline.Keeping, rows ...[]string) error {
		p, err := pipeline.New(pipeline.Config{
			Input: pipeline.Input{Sources: []reader.Source{{
				Name: "pictures", Columns: []string{"INPUT:image", "INPUT:title"}, Rows: reader.NoError(slices.Values(rows)),
			}}},
			Target:  pipeline.Target{PoolID: server.PoolID, API: server.API()},
			Keeping: keeping,
		})
		if err != nil {
			return err
		}
		_, err = p.Run(ctx)
		return err
	}
	cat, dog := []string{"https://example.com/1.jpg", "A cat"}, []string{"https://example.com/2.jpg", "A dog"}
	err = upload(pipeline.Keeping{Ledger: book}, cat, dog)
	if err == nil {
		err = upload(pipeline.Keeping{}, dog) // it knows nothing of the ledger
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	run, err := book.Find(ctx, "") // the latest
	if err != nil {
		fmt.Println(err)
		return
	}
	found, err := pipeline.Verify(ctx, pipeline.Verifying{Rows: pipeline.RowsOfRun{Ledger: book, Run: run}, API: server.API()})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d rows, %d tasks, all is well: %v\n", found.Rows, found.Tasks, found.Well())
	for _, d := range found.Differences {
		fmt.Printf("%s: row %d of %s\n", d.Kind, d.Record, d.File)
	}
	// Output:
	// 2 rows, 3 tasks, all is well: false
	// doubled: row 2 of pictures
}
