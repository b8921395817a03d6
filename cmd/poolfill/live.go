package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/live"
	"poolfill/pipeline"
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

// liveView is the view of a run, between the settings and the start.
type liveView struct {
	liveFlags
	view *live.View
}

// prepare lets the view see the requests of the run; nil where none is asked
// for.
func (f liveFlags) prepare(cfg *pipeline.Config) (*liveView, error) {
	if f.listen == "" {
		if f.pprof {
			return nil, &usageError{errors.New("--pprof needs --listen ADDRESS, such as --listen :9090")}
		}
		return nil, nil
	}
	v := &liveView{f, live.New()}
	cfg.API.Observe = v.view.Observe
	return v, nil
}

// start serves a run until stop is called. Where it is, it says on w.
func (v *liveView) start(ctx context.Context, w io.Writer, run live.Run) (stop func() error, err error) {
	if v == nil {
		return func() error { return nil }, nil
	}
	listener, local, err := live.Listen(ctx, v.listen)
	if err != nil {
		return nil, &usageError{err}
	}
	handler, err := v.view.Handler(run, live.Options{Pprof: v.pprof, LocalOnly: local})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	fmt.Fprintf(w, "poolfill: the run is shown at http://%s/ while it goes on\n", listener.Addr())
	if !local {
		fmt.Fprintln(w, "poolfill: warning: anyone who reaches this address sees the run, with samples of its rows: --listen 127.0.0.1:PORT keeps it to this machine")
	}
	return live.Serve(ctx, listener, handler), nil
}
