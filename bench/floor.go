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
	"strconv"
	"strings"
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
	// io.Copy would read in smaller pieces, for more CPU.
	for readErr := error(nil); readErr == nil && err == nil; {
		if _, readErr = resp.Body.Read(answer); readErr != nil && !errors.Is(readErr, io.EOF) {
			err = readErr
		}
	}
	return errors.Join(err, resp.Body.Close())
}

// bodyReader reads what a bodyWriter wrote, for many at a time.
type bodyReader struct {
	mu sync.Mutex
	r  *bufio.Reader
}

// next gives a body in buf, or in a larger buffer.
func (b *bodyReader) next(buf []byte) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	line, err := b.r.ReadString('\n')
	if err != nil {
		return buf, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(line, "\n"))
	if err != nil {
		return buf, fmt.Errorf("no length of a request: %w", err)
	}
	if cap(buf) < n {
		buf = make([]byte, n+n/8)
	}
	buf = buf[:n]
	if _, err = io.ReadFull(b.r, buf); errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the end comes before a length, not behind one
	}
	return buf, err
}
