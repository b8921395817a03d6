package live

import (
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"poolfill/cmd/poolfill/internal/backfill"
)

//go:embed backfills.html
var backfillsTemplate string

// Statuses returns the backfills that there are, the latest first.
type Statuses func(context.Context) ([]backfill.Status, error)

// Backfills shows backfills: a page at /, metrics at /metrics, /healthz, and
// River's own page below /river/ where there is one.
func Backfills(statuses Statuses, o Options) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(newBackfillCollector(statuses)); err != nil {
		return nil, err
	}
	page := o.guarded(o.mux(registry, func(ctx context.Context, w io.Writer) error {
		all, err := statuses(ctx)
		if err != nil {
			return fmt.Errorf("the database doesn't answer: %w", err)
		}
		return backfillsPage(w, all, o)
	}))
	if o.River == nil {
		return page, nil
	}
	// River's page has scripts of its own and is kept from others by the host
	// alone.
	outer := http.NewServeMux()
	outer.Handle("/", page)
	outer.Handle("/river/", o.hostGuard(o.River))
	return outer, nil
}

// backfillCollector hands Prometheus how far the backfills have come.
type backfillCollector struct {
	statuses              Statuses
	rows, segments, pools *prometheus.Desc
}

func newBackfillCollector(statuses Statuses) *backfillCollector {
	return &backfillCollector{
		statuses,
		prometheus.NewDesc("poolfill_backfill_rows", "Rows of a backfill: planned, created and rejected so far.", []string{"backfill", "outcome"}, nil),
		prometheus.NewDesc("poolfill_backfill_segments", "Segments of a backfill by their state.", []string{"backfill", "state"}, nil),
		prometheus.NewDesc("poolfill_backfill_pools", "Pools of a backfill: planned, and there.", []string{"backfill", "state"}, nil),
	}
}

// Describe is part of prometheus.Collector.
func (c *backfillCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.rows
	out <- c.segments
	out <- c.pools
}

// Collect is part of prometheus.Collector.
func (c *backfillCollector) Collect(out chan<- prometheus.Metric) {
	all, err := c.statuses(context.Background())
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.rows, err)
		return
	}
	gauge := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	for _, s := range all {
		gauge(c.rows, s.Rows, s.Name, "planned")
		gauge(c.rows, s.Created, s.Name, "created")
		gauge(c.rows, s.Rejected, s.Name, "rejected")
		for _, state := range []backfill.State{backfill.Waiting, backfill.Running, backfill.Finished, backfill.Failed} {
			gauge(c.segments, s.Segments[state], s.Name, string(state))
		}
		there := int64(0)
		for _, p := range s.Pools {
			if p.Pool != "" {
				there++
			}
		}
		gauge(c.pools, int64(len(s.Pools)), s.Name, "planned")
		gauge(c.pools, there, s.Name, "there")
	}
}

// mostPools bounds the pools of one backfill on the page.
const mostPools = 200

// backfillsPage writes the page of backfills.
func backfillsPage(w io.Writer, all []backfill.Status, o Options) error {
	for i := range all {
		all[i].Pools = all[i].Pools[:min(len(all[i].Pools), mostPools)]
	}
	page, err := template.New("").Funcs(template.FuncMap{"share": share, "in": in}).Parse(backfillsTemplate)
	if err != nil {
		return err
	}
	return page.Execute(w, struct {
		Backfills []backfill.Status
		River     bool
	}{all, o.River != nil})
}

// in counts the segments in a state.
func in(segments map[backfill.State]int64, state string) int64 {
	return segments[backfill.State(state)]
}

// share is a part in percent.
func share(part, of int64) string {
	if of == 0 {
		return "0"
	}
	return fmt.Sprintf("%.1f", 100*float64(part)/float64(of))
}
