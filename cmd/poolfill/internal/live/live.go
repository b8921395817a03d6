// Package live shows a run over HTTP while it goes on.
//
// What goes in: looks at a run, and each of its requests as it ends. What comes
// out: an http.Handler with these paths:
//
//	/              the page of report.html as far as the run has come; it renews itself
//	/metrics       the metrics of docs/metrics.md, for Prometheus
//	/healthz       200 as long as the process answers
//	/debug/pprof/  Go's profiles, only where they are asked for
//
// Memory: one answer at a time for each client, bounded as a page is.
package live

import (
	"bytes"
	"context"
	_ "embed" // of the page's script
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"poolfill/cmd/poolfill/internal/report"
	"poolfill/uploader/toloka"
)

//go:embed live.js
var script []byte

// View collects what is shown of a run. It is safe for concurrent use.
type View struct{ requests prometheus.Histogram }

// New returns a View of a run that is still to be made.
func New() *View { return &View{requests: newRequestDuration()} }

// Observe takes a request that has ended; it is an toloka.Config's
// Observe.
func (v *View) Observe(e toloka.Exchange) { v.requests.Observe(e.Took.Seconds()) }

// Options say what a Handler serves, and to whom.
type Options struct {
	// Pprof serves Go's profiles, which tell of the process's memory.
	Pprof bool
	// LocalOnly refuses requests that name another host than this machine: a web
	// page elsewhere could have its name point here, and read along.
	LocalOnly bool
	// River is River's own page over its jobs; nil has none.
	River http.Handler
}

// Handler shows a run.
func (v *View) Handler(run Run, o Options) (http.Handler, error) {
	registry, err := newRegistry(run, v.requests)
	if err != nil {
		return nil, err
	}
	mux := o.mux(registry, func(_ context.Context, w io.Writer) error {
		return report.LivePage(w, run.Snapshot(), run.Progress(), time.Now())
	})
	mux.HandleFunc("GET /live.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(script) // who went away needs no answer
	})
	return o.guarded(mux), nil
}

// mux serves a page at /, and beside it what helps to watch a process.
func (o Options) mux(metrics prometheus.Gatherer, page func(context.Context, io.Writer) error) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer // so that a page is whole, or none
		if err := page(r.Context(), &b); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(b.Bytes()) // who went away needs no answer
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	if o.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// guarded sets what keeps other pages from this one, and this one from anything
// else.
func (o Options) guarded(next http.Handler) http.Handler {
	next = o.hostGuard(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// hostGuard refuses requests that name another host than this machine, where
// only this machine may look.
func (o Options) hostGuard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.LocalOnly && !isLocal(r.Host) {
			http.Error(w, "This address only answers to localhost. To look from elsewhere, forward a port to it (ssh -L), or start the run with --listen and an address of the network.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLocal reports whether a request's Host is a name of this machine alone.
func isLocal(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	ip := net.ParseIP(name)
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}

// Listen listens on an address. One without a host is this machine alone, as
// what a run shows are its rows. local says that nobody else can reach it.
func Listen(ctx context.Context, address string) (l net.Listener, local bool, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, false, fmt.Errorf("--listen is an address such as :9090 or 127.0.0.1:9090, not %q", address)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err = new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, false, fmt.Errorf("the live view can't listen on %s: %w; choose another port with --listen, of which 0 picks a free one", address, err)
	}
	at, ok := l.Addr().(*net.TCPAddr)
	return l, ok && at.IP.IsLoopback(), nil
}

// lastAnswers is how long the answers under way may take when a run has ended.
const lastAnswers = time.Second

// Serve serves until the function that it returns is called; the end of ctx, as
// of the run itself, ends nothing.
func Serve(ctx context.Context, l net.Listener, h http.Handler) (stop func() error) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // those who wait any longer are left
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("the live view stopped: %w", err)
		}
		return nil
	}
}
