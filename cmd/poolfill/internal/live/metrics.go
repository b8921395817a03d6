package live

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"poolfill/pipeline"
)

// Run is what is shown. Both methods are safe for concurrent use.
type Run interface {
	Progress() pipeline.Progress
	Snapshot() pipeline.Report
}

// newRequestDuration has buckets from a server next door to the longest timeout
// that makes sense.
func newRequestDuration() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "poolfill_request_duration_seconds",
		Help:    "How long requests took, without waiting for the quota.",
		Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120},
	})
}

// newRegistry has all metrics of a run, and those of the process.
func newRegistry(run Run, requests prometheus.Histogram) (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		newCollector(run), requests,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return registry, nil
}

// look is what the metrics are of.
type look struct {
	pipeline.Progress
	outlook pipeline.Outlook
	report  pipeline.Report
	now     time.Time
}

// metric is a name and how its values come out of a look.
type metric struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	values func(l look, set func(value float64, labels ...string))
}

// collector makes metrics of a look at the run each time that it is asked, so
// that nothing is counted twice.
type collector struct {
	run     Run
	metrics []metric
}

// Describe is part of prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
}

// Collect is part of prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	l := look{Progress: c.run.Progress(), report: c.run.Snapshot(), now: time.Now()}
	l.outlook = l.Outlook(l.now)
	for _, m := range c.metrics {
		m.values(l, func(value float64, labels ...string) {
			sample, err := prometheus.NewConstMetric(m.desc, m.kind, value, labels...)
			if err != nil {
				sample = prometheus.NewInvalidMetric(m.desc, err)
			}
			out <- sample
		})
	}
}

func newCollector(run Run) *collector {
	c := &collector{run: run}
	add := func(kind prometheus.ValueType, name, help string, values func(l look, set func(float64, ...string)), labels ...string) {
		c.metrics = append(c.metrics, metric{prometheus.NewDesc("poolfill_"+name, help, labels, nil), kind, values})
	}
	one := func(kind prometheus.ValueType, name, help string, value func(look) float64) {
		add(kind, name, help, func(l look, set func(float64, ...string)) { set(value(l)) })
	}
	// known leaves out what is not known, or has no limit.
	known := func(name, help string, value func(look) float64) {
		add(prometheus.GaugeValue, name, help, func(l look, set func(float64, ...string)) {
			if v := value(l); v > 0 {
				set(v)
			}
		})
	}
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue

	add(gauge, "run_info", "Always 1; the labels name the run.", func(l look, set func(float64, ...string)) {
		set(1, l.report.RunID, l.report.PoolID, l.report.Mode)
	}, "run_id", "pool_id", "mode")
	known("run_start_time_seconds", "When the first row was read, in Unix time.", func(l look) float64 {
		if l.Started.IsZero() {
			return 0
		}
		return float64(l.Started.UnixMilli()) / 1000
	})
	one(gauge, "run_stopping", "1 once the run takes no further rows.", func(l look) float64 {
		if l.Stopping {
			return 1
		}
		return 0
	})
	known("run_remaining_seconds", "How long the rest takes at the mean rate so far; absent where it is unknown.", func(l look) float64 { return l.outlook.Left.Seconds() })
	known("run_progress_ratio", "The share of the rows that is done, from 0 to 1; absent where it is unknown.", func(l look) float64 { return l.outlook.Share })

	one(counter, "input_read_bytes_total", "Bytes read of the inputs, as they are stored.", func(l look) float64 { return float64(l.BytesRead) })
	known("input_bytes", "The size of all inputs, as they are stored; absent where it is unknown.", func(l look) float64 { return float64(l.BytesTotal) })
	one(counter, "rows_read_total", "Rows read.", func(l look) float64 { return float64(l.Totals.Rows) })
	add(counter, "rows_total", "Rows that have their outcome.", func(l look, set func(float64, ...string)) {
		set(float64(l.Totals.Created), "created")
		set(float64(l.Totals.Rejected), "rejected")
		set(float64(l.Totals.Duplicate), "duplicate")
		set(float64(l.Totals.Unsent), "unsent")
	}, "outcome")
	one(gauge, "rows_in_flight", "Rows that were given to the upload and have no outcome yet.", func(l look) float64 { return float64(l.InFlight) })

	add(counter, "requests_total", "Requests that ended, by the HTTP status of the answer or a word for what went wrong.", func(l look, set func(float64, ...string)) {
		for answer, n := range l.Requests.ByStatus {
			set(float64(n), answer)
		}
	}, "answer")
	one(counter, "requests_repeated_total", "Requests that repeated another.", func(l look) float64 { return float64(l.Requests.Retried) })

	one(counter, "quota_wait_seconds_total", "Time that requests waited for the quota, summed over all of them.", func(l look) float64 { return l.Requests.QuotaWait.Seconds() })
	one(gauge, "quota_waiting_requests", "Requests that wait to be sent.", func(l look) float64 { return float64(l.Gate.Waiting) })
	one(gauge, "quota_pause_seconds", "How long the quota lets nothing pass from now on; 0 where requests may pass.", func(l look) float64 {
		return max(0, l.Gate.PausedUntil.Sub(l.now).Seconds())
	})
	add(gauge, "quota_tasks", "Tasks of this process that count against the quota of tasks.", func(l look, set func(float64, ...string)) {
		set(float64(l.Gate.TasksInWindow), "minute")
		set(float64(l.Gate.TasksToday), "day")
	}, "window")
	add(gauge, "quota_tasks_limit", "The quota of tasks; absent where there is no limit.", func(l look, set func(float64, ...string)) {
		for window, limit := range map[string]int{"minute": l.report.Quota.TasksPerMinute, "day": l.report.Quota.TasksPerDay} {
			if limit > 0 {
				set(float64(limit), window)
			}
		}
	}, "window")
	known("quota_requests_per_second_limit", "The quota of requests; absent where there is no limit.", func(l look) float64 { return l.report.Quota.RequestsPerSecond })
	return c
}
