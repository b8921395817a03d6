package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// floor posts ready-made requests and reads the answers, and nothing else: what
// it costs is the price of the network alone.
func floor(ctx context.Context, args []string, log io.Writer) error {
	flags := flagSet("floor", log)
	url := flags.String("url", "http://127.0.0.1:8091", "the server")
	path := flags.String("bodies", "rows.bodies", "the requests, as generate writes them")
	connections := flags.Int("connections", 8, "how many requests are under way at once")
	if err := flags.Parse(args); err != nil {
		return err
	}
	f, err := os.Open(*path)
	if err != nil {
		return err
	}
	bodies := bodyReader{r: bufio.NewReader(f)}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *connections, DisableCompression: true}}
	workers, ctx := errgroup.WithContext(ctx)
	for range *connections {
		workers.Go(func() error {
			var body []byte
			answer := make([]byte, 1<<18)
			for {
				var err error
				if body, err = bodies.next(body); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := post(ctx, client, *url+"/api/v1/tasks?allow_defaults=true&async_mode=false", body, answer); err != nil {
					return err
				}
			}
		})
	}
	return errors.Join(workers.Wait(), f.Close())
}

// post sends a body and reads the answer through a buffer.
func post(ctx context.Context, client *http.Client, url string, body, answer []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "OAuth floor")
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("the server answers %s", resp.Status)
	}
	// io.Copy would read in smaller pieces, for more CPU, as Discard would itself.
	_, readErr := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, answer)
	return errors.Join(err, readErr, resp.Body.Close())
}

// bodyReader reads what writeBodies wrote, for many at a time.
type bodyReader struct {
	mu sync.Mutex
	r  *bufio.Reader
}

// next returns a body in buf, or in a larger buffer; io.EOF after the last.
func (b *bodyReader) next(buf []byte) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var n int
	if _, err := fmt.Fscanf(b.r, "%d\n", &n); err != nil {
		return buf, err
	}
	buf = slices.Grow(buf[:0], n)[:n]
	_, err := io.ReadFull(b.r, buf)
	return buf, err
}
