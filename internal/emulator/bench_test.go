package emulator

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
)

// discard is an answer that nobody reads.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header { return d.header }

func (d *discard) WriteHeader(status int) { d.status = status }

func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// tasksBody is a request of n good tasks for the demo pool.
func tasksBody(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		separator := ","
		if i == 0 {
			separator = "["
		}
		fmt.Fprintf(&b, `%s{"pool_id":"1","__item_idx":"%d","input_values":{"image":"https://example.com/pictures/%08d.jpg","title":"Picture %d","weight":12.50,"tags":["a","b"]}}`,
			separator, i, i, i)
	}
	b.WriteByte(']')
	return b.Bytes()
}

func BenchmarkCreateTasks(b *testing.B) {
	for _, mode := range []string{"sync", "async"} {
		b.Run(mode, func(b *testing.B) {
			s := unlimited(b)
			const n = 5000
			body := tasksBody(n)
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api/v1/tasks?allow_defaults=true&async_mode="+
					map[string]string{"sync": "false", "async": "true&operation_id=" + uuid.NewString()}[mode], bytes.NewReader(body))
				r.Header.Set("Authorization", "OAuth t")
				r.Header.Set("Content-Type", "application/json")
				w := &discard{header: make(http.Header)}
				s.ServeHTTP(w, r)
				if w.status/100 != 2 {
					b.Fatalf("status %d", w.status)
				}
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}

func BenchmarkOperationLog(b *testing.B) {
	s := unlimited(b)
	const n = 10000
	id := uuid.NewString()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api/v1/tasks?allow_defaults=true&async_mode=true&operation_id="+id, bytes.NewReader(tasksBody(n)))
	r.Header.Set("Authorization", "OAuth t")
	r.Header.Set("Content-Type", "application/json")
	s.ServeHTTP(&discard{header: make(http.Header)}, r)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v1/operations/"+id+"/log", http.NoBody)
		r.Header.Set("Authorization", "OAuth t")
		w := &discard{header: make(http.Header)}
		s.ServeHTTP(w, r)
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "entries/s")
}

// unlimited starts a server without quotas.
func unlimited(tb testing.TB) *Server {
	tb.Helper()
	s, err := New(Config{Limits: Limits{
		RequestsPerSecond: NoLimit, TasksPerMinute: NoLimit, TasksPerDay: NoLimit, PoolTasks: NoLimit, InputBytes: NoLimit,
	}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

var _ io.Writer = (*discard)(nil)
