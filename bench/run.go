package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bench measures, as its flags ask for.
type bench struct {
	poolfill    string
	server      string
	python      string
	figures     string
	rows        int
	repeat      int
	connections int
	minutes     int
	long        bool

	self string // this program, for its other commands
	dir  string // for everything that is written
	out  io.Writer
	log  io.Writer
}

// compare measures the figures that are asked for and prints them.
func compare(ctx context.Context, args []string, out, log io.Writer) (err error) {
	b := bench{out: out, log: log}
	type figure struct {
		name    string
		measure func(context.Context) error
	}
	figures := []figure{
		{"upload", b.uploads},
		{"memory", b.memory},
		{"check", b.check},
		{"start", b.start},
		{"quota", b.quota},
		{"ledger", b.ledger},
	}
	flags := flagSet("bench", log)
	flags.StringVar(&b.poolfill, "poolfill", "", "the binary to measure; by default it is built from the sources")
	flags.StringVar(&b.server, "server", "echo", "what answers the uploads: echo, or the emulator of the binary")
	flags.StringVar(&b.python, "python", "python3", "a Python that has toloka-kit; without, it is left out")
	flags.StringVar(&b.figures, "figures", "upload,memory,check,start,quota,ledger", "what to measure")
	flags.IntVar(&b.rows, "rows", 1_000_000, "the rows of the comparison; check gets five times as many")
	flags.IntVar(&b.repeat, "repeat", 3, "how often each is run, in turns; the best counts")
	flags.IntVar(&b.connections, "connections", 5, "how many requests the floor and Redpanda Connect have under way at once; poolfill opens 5 here")
	flags.IntVar(&b.minutes, "minutes", 1, "how long the runs that use the quota up take")
	flags.BoolVar(&b.long, "long", false, "measure the memory with 20,000,000 rows too, and the quota for five minutes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || b.rows < 1 || b.repeat < 1 || b.connections < 1 {
		return errors.New("the arguments make no sense: see -help")
	}
	asked := strings.Split(b.figures, ",")
	for _, name := range asked {
		if !slices.ContainsFunc(figures, func(f figure) bool { return f.name == name }) {
			return fmt.Errorf("there is no figure %q: see -help", name)
		}
	}
	if b.long {
		b.minutes = max(b.minutes, 5)
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "poolfill-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.poolfill == "" {
		if b.poolfill, err = b.build(ctx, ".", "./cmd/poolfill"); err != nil {
			return err
		}
	}
	for _, f := range figures {
		if slices.Contains(asked, f.name) {
			if err := f.measure(ctx); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
	}
	return nil
}

// build builds a command of the module in dir.
func (b *bench) build(ctx context.Context, dir, pkg string) (string, error) {
	binary := filepath.Join(b.dir, "bin-"+strings.Trim(strings.ReplaceAll(dir+pkg, "/", "-"), ".-"))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s in %s: %w\n%s", pkg, dir, err, said)
	}
	return binary, nil
}

// input returns a generated file, with its spec and, of as many plain rows as are
// compared, its bodies beside it.
func (b *bench) input(ctx context.Context, of shape, rows int) (string, error) {
	path := filepath.Join(b.dir, fmt.Sprintf("%s-%d.tsv", of.name, rows))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	args := []string{b.self, "generate", "-shape", of.name, "-rows", strconv.Itoa(rows), "-out", path, "-spec", path + ".json"}
	if of.name == plain().name && rows == b.rows {
		args = append(args, "-bodies", path+".bodies")
	}
	_, err := measure(ctx, args)
	return path, err
}

// poolfillRun is a run of poolfill that leaves nothing behind and knows nothing
// of earlier ones.
func (b *bench) poolfillRun(ctx context.Context, args ...string) (usage, runReport, error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return usage{}, runReport{}, err
	}
	u, err := measure(ctx, append([]string{
		b.poolfill, args[0], "--out", filepath.Join(dir, "out"), "--state-dir", filepath.Join(dir, "state"), "--progress", "none",
	}, args[1:]...), "TOLOKA_TOKEN=bench")
	var report runReport
	if err == nil {
		var raw []byte
		if raw, err = os.ReadFile(filepath.Join(dir, "out", "report.json")); err == nil {
			err = json.Unmarshal(raw, &report)
		}
	}
	return u, report, errors.Join(err, os.RemoveAll(dir))
}

// runReport is what is read of report.json.
type runReport struct {
	Totals struct {
		Rows    int `json:"rows"`
		Created int `json:"created"`
		Valid   int `json:"valid"`
	} `json:"totals"`
	Requests struct {
		ByStatus map[string]int `json:"by_status"`
	} `json:"requests"`
}

// unlimited are the flags of a run, and of an emulator, without quotas.
func unlimited() []string {
	return []string{"--requests-per-second", "0", "--tasks-per-minute", "0", "--tasks-per-day", "0"}
}

// upload is a program that uploads an input.
type upload func(ctx context.Context, url string) (usage, error)

// uploadOf returns an upload by poolfill without quotas.
func (b *bench) uploadOf(file, mode string) upload {
	return func(ctx context.Context, url string) (usage, error) {
		u, _, err := b.poolfillRun(ctx, append([]string{
			"upload", file, "--url", url, "--pool", "1", "--mode", mode, "--chunk-size", "5000",
		}, unlimited()...)...)
		return u, err
	}
}

// serve starts what answers uploads without quotas.
func (b *bench) serve(ctx context.Context) (*server, error) {
	if b.server == "emulator" {
		return b.serveEmulator(ctx, unlimited()...)
	}
	return startServer(ctx, b.self, "echo")
}

// serveEmulator starts an emulator that takes any number of plain rows.
func (b *bench) serveEmulator(ctx context.Context, flags ...string) (*server, error) {
	spec := filepath.Join(b.dir, "spec.json")
	if err := os.WriteFile(spec, []byte(plainSpec), 0o644); err != nil {
		return nil, err
	}
	return startServer(ctx, append([]string{b.poolfill, "emulator", "--listen", "127.0.0.1:0", "--spec", spec, "--pool-tasks", "0"}, flags...)...)
}

// withServer measures an upload to a fresh server, which must get all rows.
func (b *bench) withServer(ctx context.Context, rows int, run upload) (u usage, stats serverStats, err error) {
	s, err := b.serve(ctx)
	if err != nil {
		return u, stats, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if u, err = run(ctx, s.url); err != nil {
		return u, stats, err
	}
	stats, err = s.statsOf(ctx, rows)
	return u, stats, err
}

// program is one of the programs that are compared.
type program struct {
	name string
	rows int
	run  upload
	all  []usage
}

// uploads compares the programs on one input, each in turn.
func (b *bench) uploads(ctx context.Context) error {
	programs, err := b.programs(ctx)
	if err != nil {
		return err
	}
	for range b.repeat {
		for i := range programs {
			up := &programs[i]
			u, _, err := b.withServer(ctx, up.rows, up.run)
			if err != nil {
				return fmt.Errorf("%s: %w", up.name, err)
			}
			up.all = append(up.all, u)
		}
	}
	cpuOf := func(u usage, rows int) float64 { return u.cpu.Seconds() / float64(rows) }
	floor, sync := best(programs[0].all), best(programs[1].all)
	t := newTable(fmt.Sprintf("Upload of %d rows, best of %d, %s server", b.rows, b.repeat, b.server),
		"program", "rows", "wall s", "user + system s", "peak MiB", "CPU a row / sync's", "wall / floor's")
	for _, up := range programs {
		u := best(up.all)
		overFloor := "" // is of no use where the rows are others
		if up.rows == b.rows {
			overFloor = fmt.Sprintf("%.1f", u.wall.Seconds()/floor.wall.Seconds())
		}
		t.add(up.name, up.rows, seconds(u.wall), seconds(u.cpu), mebibytes(u.peak),
			fmt.Sprintf("%.2f", cpuOf(u, up.rows)/cpuOf(sync, b.rows)), overFloor)
	}
	return t.print(b.out)
}

// programs returns the programs, the floor and the synchronous upload first.
// What this machine doesn't have is left out.
func (b *bench) programs(ctx context.Context) ([]program, error) {
	file, err := b.input(ctx, plain(), b.rows)
	if err != nil {
		return nil, err
	}
	all := []program{
		{name: "floor", rows: b.rows, run: func(ctx context.Context, url string) (usage, error) {
			return measure(ctx, []string{b.self, "floor", "-url", url, "-bodies", file + ".bodies", "-connections", strconv.Itoa(b.connections)})
		}},
		{name: "poolfill sync", rows: b.rows, run: b.uploadOf(file, "sync")},
		{name: "poolfill async", rows: b.rows, run: b.uploadOf(file, "async")},
	}
	if redpanda, err := b.build(ctx, "bench/redpanda", "."); err != nil {
		fmt.Fprintln(b.log, "Redpanda Connect is left out:", err)
	} else {
		all = append(all, program{name: "Redpanda Connect", rows: b.rows, run: func(ctx context.Context, url string) (usage, error) {
			return measure(ctx, []string{redpanda, "run", "bench/redpanda/config.yaml"},
				"FILE="+file, "URL="+url, "CONNECTIONS="+strconv.Itoa(b.connections))
		}})
	}
	if !b.hasTolokaKit(ctx) {
		fmt.Fprintf(b.log, "toloka-kit is left out: %s has none\n", b.python)
		return all, nil
	}
	rows := max(b.rows/10, 1) // it takes two minutes for a million
	fewer, err := b.input(ctx, plain(), rows)
	if err != nil {
		return nil, err
	}
	return append(all, program{name: "toloka-kit sync", rows: rows, run: func(ctx context.Context, url string) (usage, error) {
		return measure(ctx, []string{b.python, "bench/toloka-kit/upload.py", url, fewer})
	}}), nil
}

func (b *bench) hasTolokaKit(ctx context.Context) bool {
	_, err := measure(ctx, []string{b.python, "-c", "import toloka.client"})
	return err == nil
}

// memory shows that the peak doesn't grow with the input, nor the time that a further row
// takes.
func (b *bench) memory(ctx context.Context) error {
	t := newTable(fmt.Sprintf("Peak memory, worst of %d, in MiB, and best time of a synchronous upload", b.repeat),
		"rows", "async", "sync", "wall s", "wall, µs a row", "µs for each further row", "CPU, µs a row")
	sizes := []int{b.rows / 10, b.rows, 5 * b.rows}
	if b.long {
		sizes = append(sizes, 20*b.rows)
	}
	var before usage // of fewer rows
	fewer := 0
	for _, rows := range sizes {
		file, err := b.input(ctx, plain(), rows)
		if err != nil {
			return err
		}
		cells := []any{rows}
		var sync usage
		for _, mode := range []string{"async", "sync"} {
			sync, err = bestOf(max(1, min(b.repeat, b.repeat*b.rows/rows)), func() (usage, error) { // the larger, the longer
				u, _, err := b.withServer(ctx, rows, b.uploadOf(file, mode))
				return u, err
			})
			if err != nil {
				return err
			}
			cells = append(cells, mebibytes(sync.peak))
		}
		further := ""
		if fewer > 0 {
			further = microseconds(sync.wall-before.wall, rows-fewer)
		}
		t.add(append(cells, seconds(sync.wall), microseconds(sync.wall, rows), further, microseconds(sync.cpu, rows))...)
		before, fewer = sync, rows
		if rows > 5*b.rows {
			if err := os.Remove(file); err != nil { // it is large and not needed any more
				return err
			}
		}
	}
	return t.print(b.out)
}

// check measures reading and checking alone.
func (b *bench) check(ctx context.Context) error {
	rows := 5 * b.rows
	t := newTable(fmt.Sprintf("Check of %d rows, best of %d", rows, b.repeat), "fields", "MB", "wall s", "user + system s", "peak MiB", "MB/s")
	for i, of := range []shape{plain(), typed()} {
		file, err := b.input(ctx, of, rows)
		if err != nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		u, err := bestOf(b.repeat, func() (usage, error) {
			u, report, err := b.poolfillRun(ctx, "check", file, "--spec", file+".json")
			if err == nil && report.Totals.Valid != rows {
				err = fmt.Errorf("%d of %d rows are valid", report.Totals.Valid, rows)
			}
			return u, err
		})
		if err != nil {
			return err
		}
		megabytes := float64(info.Size()) / 1e6
		t.add([]string{"three strings", "ten typed"}[i], fmt.Sprintf("%.0f", megabytes), seconds(u.wall), seconds(u.cpu), mebibytes(u.peak),
			fmt.Sprintf("%.0f", megabytes/u.wall.Seconds()))
	}
	return t.print(b.out)
}

// start measures what comes before the work.
func (b *bench) start(ctx context.Context) error {
	const times = 20
	file, err := b.input(ctx, plain(), 10)
	if err != nil {
		return err
	}
	var versions, firsts []time.Duration
	for range times {
		u, err := measure(ctx, []string{b.poolfill, "--version"})
		if err != nil {
			return err
		}
		versions = append(versions, u.wall)
		u, stats, err := b.withServer(ctx, 10, b.uploadOf(file, "sync"))
		if err != nil {
			return err
		}
		firsts = append(firsts, time.Unix(0, stats.FirstRequest).Sub(u.begun))
	}
	info, err := os.Stat(b.poolfill)
	if err != nil {
		return err
	}
	t := newTable(fmt.Sprintf("Start, %d times", times), "figure", "least", "median")
	t.add("poolfill --version, ms", milliseconds(slices.Min(versions)), milliseconds(median(versions)))
	if b.server == "echo" { // the emulator doesn't count when the first request came
		t.add("start to first request, ms", milliseconds(slices.Min(firsts)), milliseconds(median(firsts)))
	}
	t.add("size of the binary, MB", fmt.Sprintf("%.1f", float64(info.Size())/1e6), "")
	return t.print(b.out)
}

// quota shows how much of what a quota lets pass in some minutes a run uses, with
// and without a slow server.
func (b *bench) quota(ctx context.Context) error {
	t := newTable(fmt.Sprintf("Use of the quota, in %d minutes from the start", b.minutes),
		"quota", "tasks allowed", "taken", "used", "429")
	passing := time.Duration(b.minutes) * time.Minute
	for _, q := range []struct {
		name     string
		allowed  int // in a minute
		emulator []string
		upload   []string
	}{
		{"2,000 tasks a minute", 2000, []string{"--tasks-per-minute", "2000"}, []string{"--tasks-per-minute", "2000"}},
		{"300 requests a second, of one task each", 300 * 60, nil, []string{"--mode", "sync", "--chunk-size", "1"}},
		{"200,000 tasks a minute, sync, answers after 200 ms", 200_000, []string{"--latency", "200ms"}, []string{"--mode", "sync"}},
		{"200,000 tasks a minute, async, answers after 200 ms, operations of 5 s", 200_000, []string{"--latency", "200ms", "--operation-time", "5s"}, nil},
	} {
		allowed := b.minutes * q.allowed
		rows := allowed + q.allowed // enough to go on
		file, err := b.input(ctx, plain(), rows)
		if err != nil {
			return err
		}
		s, err := b.serveEmulator(ctx, q.emulator...)
		if err != nil {
			return err
		}
		var then serverStats
		asked := make(chan error, 1)
		time.AfterFunc(passing, func() {
			var err error
			then, err = s.stats(ctx)
			asked <- err
		})
		_, report, err := b.poolfillRun(ctx, append([]string{"upload", file, "--url", s.url, "--pool", "1"}, q.upload...)...)
		if err == nil {
			err = <-asked
		}
		var stats serverStats
		if err == nil {
			stats, err = s.statsOf(ctx, rows)
		}
		if err = errors.Join(err, s.stop()); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		t.add(q.name, allowed, then.TasksLastDay, fmt.Sprintf("%.1f%%", 100*float64(then.TasksLastDay)/float64(allowed)),
			max(report.Requests.ByStatus["429"], int(stats.TooManyRequests)))
	}
	return t.print(b.out)
}
