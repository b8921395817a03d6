package uploader_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"poolfill/batcher"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/uploader"
)

func ExampleUploader() {
	// A server that creates whatever comes, and knows its one operation.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "POST /api/v1/tasks":
			_, _ = fmt.Fprintf(w, `{"id": %q, "type": "TASK.BATCH_CREATE", "status": "SUCCESS"}`, r.URL.Query().Get("operation_id"))
		default:
			_, _ = io.WriteString(w, `[{"type": "TASK_CREATE", "success": true,
				"input": {"__item_idx": "0", "input_values": {"image": "https://example.com/1.jpg"}}, "output": {"task_id": "0001"}}]`)
		}
	}))
	defer server.Close()

	gate, err := ratelimit.New(ratelimit.Config{RequestsPerSecond: 300, TasksPerMinute: 200_000})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := uploader.NewClient(uploader.ClientConfig{BaseURL: server.URL, Token: "a-token", Gate: gate})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	up, err := uploader.New(client, uploader.Config{PoolID: "12", RunKey: "images of May", SkipInvalid: true})
	if err != nil {
		fmt.Println(err)
		return
	}

	batches, err := batcher.New(batcher.Config{PoolID: "12", ItemIndex: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	batches.Add(reader.Task{JSON: []byte(`"input_values":{"image":"https://example.com/1.jpg"}`), InputBytes: 38})
	outcome, err := up.Upload(context.Background(), batches.Flush(), uploader.Prior{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range outcome.Rows {
		fmt.Println(row.Status, row.TaskID)
	}
	// Output: created 0001
}
