//go:build unix

package uploader

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"poolfill/batcher"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// The benchmarks send chunks of benchTasks tasks by benchWorkers workers.
const (
	benchTasks   = 5000
	benchWorkers = 8
)

// BenchmarkUpload measures the CPU of whole uploads over loopback, the server's
// and the kernel's included. "floor" is the least that net/http needs for the
// same bytes: what an upload costs beyond that is this package's own.
func BenchmarkUpload(b *testing.B) {
	for _, mode := range []Mode{Sync, Async} {
		chunk := benchChunk(b, mode == Async)
		server := startBenchServer(b, chunk)
		b.Run(string(mode), func(b *testing.B) {
			client, err := toloka.NewClient(toloka.Config{BaseURL: server.url, Token: testToken, Connections: benchWorkers})
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			u, err := New(client, Config{PoolID: "12", Mode: mode, RunKey: "run"})
			if err != nil {
				b.Fatal(err)
			}
			benchChunks(b, func() error {
				o, err := u.Upload(b.Context(), chunk, Prior{})
				if err == nil && o.Count(verdict.Created) != chunk.Len() {
					err = fmt.Errorf("%d of %d rows are created", o.Count(verdict.Created), chunk.Len())
				}
				return err
			})
		})
		b.Run(string(mode)+"-floor", func(b *testing.B) {
			own := plainTransport()
			defer own.CloseIdleConnections()
			client := &http.Client{Transport: own}
			do := func(method, path string, body io.Reader) error {
				req, err := http.NewRequestWithContext(b.Context(), method, server.url+path, body)
				if err != nil {
					return err
				}
				resp, err := client.Do(req)
				if err != nil {
					return err
				}
				_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, make([]byte, 32<<10))
				return joinClose(err, resp.Body)
			}
			benchChunks(b, func() error {
				if err := do(http.MethodPost, "/tasks", bytes.NewReader(chunk.Body())); err != nil || mode == Sync {
					return err
				}
				if err := do(http.MethodGet, "/operations/x", nil); err != nil {
					return err
				}
				return do(http.MethodGet, "/operations/x/log", nil)
			})
		})
	}
}

// plainTransport is as the client's own.
func plainTransport() *http.Transport {
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return &http.Transport{Protocols: &http1, MaxIdleConnsPerHost: benchWorkers}
}

func joinClose(err error, c io.Closer) error {
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	return err
}

// benchChunks runs upload b.N times and reports its CPU time for each row.
func benchChunks(b *testing.B, upload func() error) {
	b.ReportAllocs()
	next := make(chan struct{})
	var group sync.WaitGroup
	report := reportCPU(b)
	b.ResetTimer()
	for range benchWorkers {
		group.Go(func() {
			for range next {
				if err := upload(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range b.N {
		next <- struct{}{}
	}
	close(next)
	group.Wait()
	b.StopTimer()
	report()
}

// reportCPU reports the CPU time for each row from now until the end.
func reportCPU(b *testing.B) (end func()) {
	start := cpuTime(b)
	return func() { b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N)/benchTasks, "cpu-ns/row") }
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// benchChunk has tasks of about 110 bytes.
func benchChunk(b *testing.B, indexed bool) *batcher.Chunk {
	batches, err := batcher.New(batcher.Config{PoolID: "12", ItemIndex: indexed})
	if err != nil {
		b.Fatal(err)
	}
	for i := range benchTasks {
		quote := ""
		if i%50 == 0 {
			quote = `\"`
		}
		input := fmt.Sprintf(`{"url":"https://example.com/images/%08[1]d.jpg","title":"Picture %[2]snumber %[1]d%[2]s of a set","size":%[3]d}`, i, quote, i%100)
		batches.Add(reader.Task{JSON: []byte(`"input_values":` + input), InputBytes: len(input)})
	}
	return batches.Flush()
}

// benchServer answers at next to no cost: each answer is written as it stands.
type benchServer struct {
	url     string
	answers map[string][]byte // by the first words of a request
}

func startBenchServer(b *testing.B, chunk *batcher.Chunk) *benchServer {
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &benchServer{url: "http://" + l.Addr().String()}
	if strings.Contains(string(chunk.Task(0)), "__item_idx") {
		s.answers = map[string][]byte{
			"POST": benchAnswer(202, []byte(`{"type":"TASK.BATCH_CREATE","status":"PENDING"}`)),
			"GET":  benchAnswer(200, []byte(`{"id":"x","type":"TASK.BATCH_CREATE","status":"SUCCESS"}`)),
			"log":  benchAnswer(200, benchLog(chunk)),
		}
	} else {
		s.answers = map[string][]byte{
			"POST": benchAnswer(201, benchItems(chunk)),
			"GET":  benchAnswer(200, []byte(`{"items":[],"has_more":false}`)),
		}
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { s.serve(conn) })
		}
	})
	b.Cleanup(func() {
		_ = l.Close()
		group.Wait()
	})
	return s
}

func (s *benchServer) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		method, path, _ := strings.Cut(line, " ")
		if strings.Contains(path, "/log") {
			method = "log"
		}
		length := 0
		for {
			header, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if header == "\r\n" {
				break
			}
			if n, ok := strings.CutPrefix(header, "Content-Length: "); ok {
				length, _ = strconv.Atoi(strings.TrimSpace(n))
			}
		}
		if _, err := in.Discard(length); err != nil {
			return
		}
		if _, err := conn.Write(s.answers[method]); err != nil {
			return
		}
	}
}

func benchAnswer(status int, body []byte) []byte {
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", status, http.StatusText(status), len(body))
	return append([]byte(head), body...)
}

// benchItems is the answer to a synchronous upload.
func benchItems(chunk *batcher.Chunk) []byte {
	b := []byte(`{"items":{`)
	for i := range chunk.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `"%d":{"id":"00000a1b2c--65f0c0ffee%06x",%s,"overlap":3,"created":"2026-11-24T12:00:00.123"}`,
			i, i, inner(chunk.Task(i)))
	}
	return append(b, `},"validation_errors":{}}`...)
}

// benchLog is the log of an operation, not in the order of the tasks.
func benchLog(chunk *batcher.Chunk) []byte {
	b := []byte(`[`)
	for n, i := range rand.New(rand.NewPCG(1, 2)).Perm(chunk.Len()) {
		if n > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"type":"TASK_CREATE","success":true,"input":%s,"output":{"task_id":"00000a1b2c--65f0c0ffee%06x"}}`, chunk.Task(i), i)
	}
	return append(b, ']')
}

// inner gives the members of an object without its braces.
func inner(object []byte) []byte { return object[1 : len(object)-1] }
