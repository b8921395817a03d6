package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/live"
	"poolfill/internal/visible"
)

// liveFlags say whether a run is shown over HTTP while it goes on.
type liveFlags struct {
	listen string
	pprof  bool
}

func (f *liveFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.listen, "listen", "", `show the run while it goes on, at this address: a page for people at /, metrics
for Prometheus at /metrics, and /healthz; :9090 is 127.0.0.1:9090, which only this
machine reaches, and port 0 picks a free one`)
	flags.BoolVar(&f.pprof, "pprof", false, "with --listen: serve Go's profiles at /debug/pprof/ too")
}

// validate reports a flag that lacks the one that it belongs to.
func (f liveFlags) validate() error {
	if f.pprof && f.listen == "" {
		return &usageError{errors.New("--pprof needs --listen ADDRESS, such as --listen :9090")}
	}
	return nil
}

// serve serves what handler makes until stop is called, and says so on w; nothing
// without --listen. says has a %s for the address.
func (f liveFlags) serve(ctx context.Context, w io.Writer, says string, handler func(live.Options) (http.Handler, error)) (stop func() error, err error) {
	if f.listen == "" {
		return func() error { return nil }, nil
	}
	listener, local, err := live.Listen(ctx, f.listen)
	if err != nil {
		return nil, &usageError{err}
	}
	h, err := handler(live.Options{Pprof: f.pprof, LocalOnly: local})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	visible.Fprintf(w, says, listener.Addr())
	return live.Serve(ctx, listener, h), nil
}

// serveRun is serve for a run.
func (f liveFlags) serveRun(ctx context.Context, w io.Writer, view *live.View, run live.Run) (stop func() error, err error) {
	warning := ""
	stop, err = f.serve(ctx, w, "poolfill: the run is shown at http://%s/ while it goes on\n", func(o live.Options) (http.Handler, error) {
		if !o.LocalOnly {
			warning = "poolfill: warning: anyone who reaches this address sees the run, with samples of its rows: --listen 127.0.0.1:PORT keeps it to this machine\n"
		}
		return view.Handler(run, o)
	})
	fmt.Fprint(w, warning)
	return stop, err
}
