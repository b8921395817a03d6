package uploader_test

import (
	"context"
	"fmt"

	"poolfill/batcher"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
	"poolfill/uploader/tolokatest"
)

func ExampleUploader() {
	server, err := tolokatest.Start(tolokatest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }() // a test server: nothing is lost

	gate, err := ratelimit.New(ratelimit.Config{RequestsPerSecond: 300, TasksPerMinute: 200_000})
	if err != nil {
		fmt.Println(err)
		return
	}
	api := server.API() // toloka.Config{BaseURL: "https://toloka.dev", Token: token}
	api.Gate = gate
	client, err := toloka.NewClient(api)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	up, err := uploader.New(client, uploader.Config{PoolID: server.PoolID, RunKey: "images of May", SkipInvalid: true})
	if err != nil {
		fmt.Println(err)
		return
	}

	batches, err := batcher.New(batcher.Config{PoolID: server.PoolID, ItemIndex: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, image := range []string{"https://example.com/1.jpg", "example.com/2.jpg"} {
		input := fmt.Sprintf(`{"image":%q}`, image)
		batches.Add(reader.Task{JSON: []byte(`"input_values":` + input), InputBytes: len(input)})
	}
	outcome, err := up.Upload(context.Background(), batches.Flush(), uploader.Prior{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range outcome.Rows {
		fmt.Print(row.Status)
		for _, e := range row.Findings {
			fmt.Printf(", %s: %s", e.Path, e.Code)
		}
		fmt.Println()
	}
	// Output:
	// created
	// rejected, input_values.image: INVALID_URL_SYNTAX
}
