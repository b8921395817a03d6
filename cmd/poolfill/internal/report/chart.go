package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"poolfill/pipeline"
)

// The plots are drawn in a box of this size, which the page stretches to
// whatever room there is: lines keep their width, and texts are not in it.
const (
	plotWidth  = 1000.0
	plotHeight = 100.0
)

// minIntervals is the fewest that a plot tells anything with.
const minIntervals = 3

// chart is a plot over time, ready for the page.
type chart struct {
	Title   string
	Summary string // what the plot says, for those who can't see it
	Curves  []curve
	Bands   []band // the times in which the quota held requests back
	Rows    []tick // of the value, from the bottom
	Columns []tick // of the time, from the left
}

// curve is a line, and the area under it where there is one.
type curve struct {
	Name, Class string // Class is its colour in the style sheet
	Line, Area  string // paths
}

// band is a part of the plot from top to bottom.
type band struct{ X, Width string }

// tick is a mark of an axis, at so many percent of its length.
type tick struct {
	At   float64
	Text string
}

// values is a curve as it was measured: one value an interval; NaN is a gap.
type values struct {
	name, class string
	filled      bool
	y           []float64
}

// charts draws a run. A run that was over at once has none.
func charts(r pipeline.Report) []chart {
	if r.Series == nil || !whole(r.Series) || len(r.Series.Accepted) < minIntervals {
		return nil
	}
	s := coarse(r.Series)
	t := timeline{s}
	accepted := "created"
	if r.Mode == "check" {
		accepted = "valid"
	}
	rows := t.plot("Rows a second",
		values{accepted, "created", true, t.rate(s.Accepted)},
		values{"rejected", "rejected", false, t.rate(s.Rejected)})
	rows.Summary = fmt.Sprintf("%s a second on average, %s at most",
		short((sum(s.Accepted)+sum(s.Rejected))/s.Seconds), short(peak(t.rate(s.Accepted))))
	all := []chart{rows}
	if r.Requests.Sent == 0 {
		return all
	}

	requests := t.plot("Requests a second",
		values{"sent", "sent", true, t.rate(s.Requests)},
		values{"repeated", "unsent", false, t.rate(s.Retried)},
		values{"refused (429)", "rejected", false, t.rate(s.Refused)})
	requests.Summary = fmt.Sprintf("%s sent, %s of them repeated, %s refused by the quota",
		humanize.Comma(int64(sum(s.Requests))), humanize.Comma(int64(sum(s.Retried))), humanize.Comma(int64(sum(s.Refused))))

	latency := t.plot("Milliseconds a request took", values{"on average", "latency", false, gaps(s.LatencyMS)})
	latency.Summary = fmt.Sprintf("%s ms on average, %s ms in the slowest interval",
		short(mean(s.LatencyMS, s.Requests)), short(peak(s.LatencyMS)))
	all = append(all, requests, latency)

	if limit := float64(r.Quota.TasksPerMinute); limit > 0 {
		window := floats(s.TasksInMinute)
		used := t.plot("Tasks in the last minute",
			values{"sent", "created", true, window},
			values{"the quota", "limit", false, slices.Repeat([]float64{limit}, len(window))})
		used.Summary = fmt.Sprintf("at most %.0f%% of the quota; requests were held back for %s",
			100*peak(window)/limit, duration(sum(s.Waited)))
		all = append(all, used)
	}
	return all
}

// whole reports whether a series, which may come from a file, can be drawn.
func whole(s *pipeline.Series) bool {
	n := len(s.Accepted)
	for _, m := range []int{len(s.Rejected), len(s.Requests), len(s.Retried), len(s.Refused), len(s.LatencyMS), len(s.Waited), len(s.TasksInMinute)} {
		if m != n {
			return false
		}
	}
	return s.Every > 0 && s.Seconds > float64(n-1)*s.Every
}

// drawn is the most intervals of a plot: rows come in chunks, and the rates of
// shorter ones would be spikes.
const drawn = 80

// coarse puts neighbouring intervals together until they are few enough. The
// last one takes the rest.
func coarse(s *pipeline.Series) *pipeline.Series {
	n := len(s.Accepted)
	k := (n + drawn - 1) / drawn
	groups := max(1, (n+k/2)/k)
	group := func(i int) int { return min(i/k, groups-1) }
	total := func(all []int64) []int64 {
		out := make([]int64, groups)
		for i, x := range all {
			out[group(i)] += x
		}
		return out
	}
	out := &pipeline.Series{
		Every: s.Every * float64(k), Seconds: s.Seconds,
		Accepted: total(s.Accepted), Rejected: total(s.Rejected),
		Requests: total(s.Requests), Retried: total(s.Retried), Refused: total(s.Refused),
		LatencyMS: make([]float64, groups), Waited: make([]float64, groups), TasksInMinute: make([]int64, groups),
	}
	for i := range n {
		g := group(i)
		out.Waited[g] += s.Waited[i]
		out.TasksInMinute[g] = max(out.TasksInMinute[g], s.TasksInMinute[i])
		if out.Requests[g] > 0 {
			out.LatencyMS[g] += s.LatencyMS[i] * float64(s.Requests[i]) / float64(out.Requests[g])
		}
	}
	return out
}

// timeline draws over the time of a series.
type timeline struct{ *pipeline.Series }

// begin returns the second in which interval i begins; the one after the last
// begins at the end of the run.
func (t timeline) begin(i int) float64 {
	if i == len(t.Accepted) {
		return t.Seconds
	}
	return float64(i) * t.Every
}

// x is where interval i begins in the plot.
func (t timeline) x(i int) float64 { return t.begin(i) / t.Seconds * plotWidth }

// rate makes amounts a second of those of the intervals.
func (t timeline) rate(amounts []int64) []float64 {
	out := make([]float64, len(amounts))
	for i, n := range amounts {
		out[i] = float64(n) / (t.begin(i+1) - t.begin(i))
	}
	return out
}

// plot draws curves on one scale.
func (t timeline) plot(title string, curves ...values) chart {
	top := 0.0
	for _, c := range curves {
		top = max(top, peak(c.y))
	}
	step := niceStep(top)
	scale := step * max(1, math.Ceil(top/step))
	c := chart{Title: title, Bands: t.bands()}
	for i, v := range curves {
		if i > 0 && peak(v.y) == 0 {
			continue // nothing of it happened
		}
		c.Curves = append(c.Curves, t.curve(v, scale))
	}
	for y := 0.0; y < scale+step/2; y += step {
		c.Rows = append(c.Rows, tick{100 * y / scale, short(y)})
	}
	every := niceTime(t.Seconds)
	for x := 0.0; x <= t.Seconds; x += every {
		c.Columns = append(c.Columns, tick{100 * x / t.Seconds, duration(x)})
	}
	return c
}

// curve draws a value that holds for the whole of its interval.
func (t timeline) curve(v values, scale float64) curve {
	var line, area strings.Builder
	open := false
	for i, y := range v.y {
		if math.IsNaN(y) {
			open = false
			continue
		}
		height := coordinate(plotHeight * (1 - y/scale))
		command := "L"
		if !open {
			command = "M"
		}
		fmt.Fprintf(&line, "%s%s %sH%s", command, coordinate(t.x(i)), height, coordinate(t.x(i+1)))
		if v.filled && y > 0 {
			fmt.Fprintf(&area, "M%s %sV%sH%sV%sZ", coordinate(t.x(i)), coordinate(plotHeight), height, coordinate(t.x(i+1)), coordinate(plotHeight))
		}
		open = true
	}
	return curve{v.name, v.class, line.String(), area.String()}
}

// bands returns the times in which the quota held requests back for at least
// half of the interval, neighbours as one.
func (t timeline) bands() []band {
	var bands []band
	held := func(i int) bool { return i < len(t.Waited) && t.Waited[i] >= (t.begin(i+1)-t.begin(i))/2 }
	for i := 0; i < len(t.Waited); i++ {
		first := i
		for held(i) {
			i++
		}
		if i > first {
			bands = append(bands, band{coordinate(t.x(first)), coordinate(t.x(i) - t.x(first))})
		}
	}
	return bands
}

func coordinate(x float64) string { return strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64) }

// niceStep returns a round distance of the marks from 0 to top: two to five of
// them.
func niceStep(top float64) float64 {
	if top <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(top/2)))
	for _, factor := range []float64{5, 2} {
		if top/(factor*unit) >= 2 {
			return factor * unit
		}
	}
	return unit
}

// niceTime returns a round distance, in seconds, of the marks of a time axis: at
// most six of them, so that there is room for them on a phone.
func niceTime(seconds float64) float64 {
	const day = 24 * 60 * 60
	for _, every := range []float64{
		0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 3 * 3600, 6 * 3600, 12 * 3600,
	} {
		if seconds/every < 6 {
			return every
		}
	}
	return day * math.Ceil(seconds/day/5)
}

// duration writes seconds for people: the two largest units that are there.
func duration(seconds float64) string {
	if seconds < 60 {
		return strconv.FormatFloat(math.Round(seconds*10)/10, 'f', -1, 64) + " s"
	}
	whole := int64(math.Round(seconds))
	units := []struct {
		seconds int64
		name    string
	}{{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}
	for i, u := range units {
		if n := whole / u.seconds; n > 0 {
			out := fmt.Sprintf("%d %s", n, u.name)
			if i+1 < len(units) {
				if rest := whole % u.seconds / units[i+1].seconds; rest > 0 {
					out += fmt.Sprintf(" %d %s", rest, units[i+1].name)
				}
			}
			return out
		}
	}
	return "0 s"
}

// short writes a value in a few characters.
func short(x float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if x >= 0.9995*unit.size {
			return threeDigits(x/unit.size) + unit.name
		}
	}
	return threeDigits(x)
}

func threeDigits(x float64) string {
	decimals := 2
	switch {
	case x >= 99.95:
		decimals = 0
	case x >= 9.995:
		decimals = 1
	}
	s := strconv.FormatFloat(x, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// size writes bytes for people.
func size(bytes int64) string {
	switch n := float64(bytes); {
	case n >= 1<<30:
		return threeDigits(n/(1<<30)) + " GiB"
	case n >= 1<<20:
		return threeDigits(n/(1<<20)) + " MiB"
	case n >= 1<<10:
		return threeDigits(n/(1<<10)) + " KiB"
	}
	return humanize.Comma(bytes) + " bytes"
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

func floats(all []int64) []float64 {
	out := make([]float64, len(all))
	for i, n := range all {
		out[i] = float64(n)
	}
	return out
}

// gaps makes gaps of zeros.
func gaps(all []float64) []float64 {
	out := make([]float64, len(all))
	for i, x := range all {
		if out[i] = x; x == 0 {
			out[i] = math.NaN()
		}
	}
	return out
}

func sum[T int64 | float64](all []T) float64 {
	total := 0.0
	for _, x := range all {
		total += float64(x)
	}
	return total
}

// peak returns the largest value from 0 on; gaps are none.
func peak(all []float64) float64 {
	top := 0.0
	for _, x := range all {
		if x > top { // no gap is
			top = x
		}
	}
	return top
}

// mean weighs values.
func mean(all []float64, weights []int64) float64 {
	total := 0.0
	for i, x := range all {
		total += x * float64(weights[i])
	}
	return total / max(1, sum(weights))
}
