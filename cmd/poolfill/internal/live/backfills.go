package live

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"poolfill/cmd/poolfill/internal/backfill"
)

// Statuses gives the backfills that there are, the latest first.
type Statuses func(context.Context) ([]backfill.Status, error)

// Backfills shows backfills: a page at /, metrics at /metrics, /healthz, and
// River's own page below /river/ where there is one.
func Backfills(statuses Statuses, o Options) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(&backfillCollector{statuses}); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { backfillsPage(w, r, statuses, o.River != nil) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	if o.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	guardedMux := guarded(mux, o.LocalOnly)
	if o.River == nil {
		return guardedMux, nil
	}
	// River's page has scripts of its own and is kept from others by the host
	// alone.
	outer := http.NewServeMux()
	outer.Handle("/", guardedMux)
	outer.Handle("/river/", hostGuard(o.River, o.LocalOnly))
	return outer, nil
}

// backfillCollector tells Prometheus how far the backfills have come.
type backfillCollector struct{ statuses Statuses }

func (*backfillCollector) descs() (rows, segments, pools *prometheus.Desc) {
	return prometheus.NewDesc("poolfill_backfill_rows", "Rows of a backfill: planned, created and rejected so far.", []string{"backfill", "outcome"}, nil),
		prometheus.NewDesc("poolfill_backfill_segments", "Segments of a backfill by their state.", []string{"backfill", "state"}, nil),
		prometheus.NewDesc("poolfill_backfill_pools", "Pools of a backfill: planned, and there.", []string{"backfill", "state"}, nil)
}

// Describe is part of prometheus.Collector.
func (c *backfillCollector) Describe(out chan<- *prometheus.Desc) {
	rows, segments, pools := c.descs()
	out <- rows
	out <- segments
	out <- pools
}

// Collect is part of prometheus.Collector.
func (c *backfillCollector) Collect(out chan<- prometheus.Metric) {
	rows, segments, pools := c.descs()
	all, err := c.statuses(context.Background())
	if err != nil {
		out <- prometheus.NewInvalidMetric(rows, err)
		return
	}
	gauge := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	for _, s := range all {
		gauge(rows, s.Rows, s.Name, "planned")
		gauge(rows, s.Created, s.Name, "created")
		gauge(rows, s.Rejected, s.Name, "rejected")
		for _, state := range []backfill.State{backfill.Waiting, backfill.Running, backfill.Finished, backfill.Failed} {
			gauge(segments, s.Segments[state], s.Name, string(state))
		}
		there := int64(0)
		for _, p := range s.Pools {
			if p.Pool != "" {
				there++
			}
		}
		gauge(pools, int64(len(s.Pools)), s.Name, "planned")
		gauge(pools, there, s.Name, "there")
	}
}

// mostPools bounds the pools of one backfill on the page.
const mostPools = 200

func backfillsPage(w http.ResponseWriter, r *http.Request, statuses Statuses, river bool) {
	all, err := statuses(r.Context())
	if err != nil {
		http.Error(w, "the database doesn't answer: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	for i := range all {
		all[i].Pools = all[i].Pools[:min(len(all[i].Pools), mostPools)]
	}
	page, err := template.New("").Funcs(template.FuncMap{"share": share, "in": in}).Parse(backfillsTemplate)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var b bytes.Buffer
	if err := page.Execute(&b, struct {
		Backfills []backfill.Status
		River     bool
	}{all, river}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // who went away needs no answer
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

const backfillsTemplate = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>poolfill backfills</title>
<style>
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.3rem}h2{font-size:1.1rem;margin:2rem 0 .3rem}
table{border-collapse:collapse;width:100%}td,th{text-align:right;padding:.2rem .6rem;border-bottom:1px solid #8884}
td:first-child,th:first-child{text-align:left}
progress{width:100%;height:.8rem}.trouble{color:#c33}small{opacity:.75}
</style></head><body>
<h1>poolfill backfills</h1>
{{if .River}}<p><a href="/river/">The jobs, on River's page</a></p>{{end}}
{{range .Backfills}}
<h2>{{.Name}} <small>{{.State}}, begun {{.Begun.Format "2006-01-02 15:04 UTC"}}</small></h2>
<progress max="{{.Rows}}" value="{{.Done}}"></progress>
<p>{{share .Done .Rows}}%: {{.Created}} of {{.Rows}} rows created, {{.Rejected}} rejected.
Segments: {{in .Segments "finished"}} finished, {{in .Segments "running"}} under way, {{in .Segments "waiting"}} waiting, {{in .Segments "failed"}} failed.
{{with .Until}}Waits for the day's quota until {{.Format "2006-01-02 15:04:05 UTC"}}.{{end}}</p>
{{range .Trouble}}<p class="trouble">{{.Segment}} ({{.File}}): {{.Error}}</p>{{end}}
<table><tr><th>pool</th><th>rows</th><th>created</th><th>rejected</th></tr>
{{range .Pools}}<tr><td>{{if .Pool}}{{.Pool}}{{else}}clone of {{.Template}}{{end}}</td><td>{{.Rows}}</td><td>{{.Created}}</td><td>{{.Rejected}}</td></tr>{{end}}
</table>
{{else}}<p>There are none.</p>{{end}}
</body></html>
`
