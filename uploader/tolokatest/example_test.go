package tolokatest_test

import (
	"context"
	"fmt"
	"slices"

	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/uploader/tolokatest"
)

// In a test New does the same, and closes the server at the test's end.
func ExampleStart() {
	server, err := tolokatest.Start(tolokatest.Config{
		Spec: []byte(`{"input_spec": {"word": {"type": "string", "required": true}}, "output_spec": {}}`),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }() // a test server: nothing is lost

	words := [][]string{{"Haus"}, {"casa"}}
	p, err := pipeline.New(pipeline.Config{
		Input: pipeline.Input{
			Sources: []reader.Source{{Name: "words", Columns: []string{"INPUT:word"}, Rows: reader.NoError(slices.Values(words))}},
		},
		Target: pipeline.Target{PoolID: server.PoolID, API: server.API()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := p.Run(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	tasks, err := server.Tasks()
	fmt.Println(len(tasks), err)
	// Output: 2 <nil>
}
