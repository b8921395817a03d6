package pipeline_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
	"poolfill/uploader"
)

func Example() {
	server, err := emulator.New(emulator.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	api := httptest.NewServer(server)
	defer api.Close()

	p, err := pipeline.New(pipeline.Config{
		Files: []string{"-"},
		Stdin: strings.NewReader("image,title\n" +
			"https://example.com/1.jpg,A cat\n" +
			"example.com/2.jpg,A URL without its scheme\n"),
		PoolID: emulator.DemoPool,
		API:    uploader.ClientConfig{BaseURL: api.URL, Token: "any"},
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
