//go:build chaos

package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
)

// chaosPlan is how much TestChaos does. The environment sets it.
type chaosPlan struct {
	Seed  uint64 // everything that is random follows from it
	Runs  int    // uploads that are carried to their end
	Kills int    // SIGKILLs that hit an upload after its first request to create tasks
	Rows  int    // of each input
}

func readChaosPlan(t *testing.T) chaosPlan {
	read := func(name string, otherwise uint64) uint64 {
		text := os.Getenv(name)
		if text == "" {
			return otherwise
		}
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			t.Fatalf("%s is a whole number, not %q", name, text)
		}
		return n
	}
	p := chaosPlan{
		Seed: read("SEED", uint64(time.Now().UnixNano())),
		Runs: int(read("RUNS", 32)), Kills: int(read("KILLS", 320)), Rows: int(read("ROWS", 20_000)),
	}
	if p.Runs < 1 || p.Rows < 100 {
		t.Fatalf("RUNS is at least 1 and ROWS at least 100, not %d and %d", p.Runs, p.Rows)
	}
	return p
}

func (p chaosPlan) String() string {
	return fmt.Sprintf("make chaos SEED=%d RUNS=%d KILLS=%d ROWS=%d", p.Seed, p.Runs, p.Kills, p.Rows)
}

// chaosVariant is a way to upload, and the faults that fit it.
type chaosVariant struct {
	name   string
	mode   string
	faults string
	chunks [2]int // the least and the most rows of a chunk
	forget bool   // the state's folder is deleted after each kill
}

// chaosVariants gives the ways in turn. A synchronous upload looks for each lost
// answer, which takes seconds, so it meets fewer of them.
func chaosVariants() []chaosVariant {
	const network = "lost=0.03,reset=0.03,500=0.03,502html=0.02,429=0.005,trunc=0.03,slow=0.02:50ms"
	const operations = network + ",opfail=0.03,opvanish=0.01,loglacks=0.02"
	return []chaosVariant{
		{name: "async", mode: "async", faults: operations, chunks: [2]int{100, 500}},
		{name: "sync", mode: "sync", faults: "lost=0.006,reset=0.006,500=0.02,502html=0.01,429=0.005,trunc=0.006,slow=0.02:50ms", chunks: [2]int{200, 500}},
		{name: "async, state deleted", mode: "async", faults: operations, chunks: [2]int{100, 500}, forget: true},
	}
}

// chaosFigures are what a run, or many, did.
type chaosFigures struct {
	runs, kills, restarts int
	requests              int64
	seconds               float64
}

func (f *chaosFigures) add(other chaosFigures) {
	f.runs += other.runs
	f.kills += other.kills
	f.restarts += other.restarts
	f.requests += other.requests
	f.seconds += other.seconds
}

// TestChaos kills uploads at random moments, starts them again until they end,
// and then compares the pool and the reports with the input.
func TestChaos(t *testing.T) {
	plan := readChaosPlan(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat: %s", plan)
		}
	})
	t.Logf("%s", plan)
	binary := chaosBinary(t)
	variants := chaosVariants()
	var mu sync.Mutex
	totals := make([]chaosFigures, len(variants))
	sum := func() (f chaosFigures) {
		for _, one := range totals {
			f.add(one)
		}
		return f
	}
	// An upload can end before all of its kills have hit it, so that more may be
	// needed than were asked for.
	for first, n := 0, plan.Runs; n > 0; {
		kills := (plan.Kills - sum().kills + n - 1) / n
		t.Run("runs", func(t *testing.T) {
			for i := range n {
				v := (first + i) % len(variants)
				t.Run(fmt.Sprintf("%d %s", first+i, variants[v].name), func(t *testing.T) {
					t.Parallel()
					u := newChaosUpload(t, binary, plan, first+i, variants[v])
					f := u.run(t, kills)
					u.verify(t)
					mu.Lock()
					defer mu.Unlock()
					totals[v].add(f)
				})
			}
		})
		first += n
		n = 0
		// With -run only some of them may have run.
		if left := plan.Kills - sum().kills; left > 0 && sum().runs == first && !t.Failed() {
			n = (left + kills - 1) / kills
		}
	}
	t.Logf("\n%s", chaosTable(variants, totals, sum()))
}

// chaosBinary builds the program.
func chaosBinary(t *testing.T) string {
	binary := filepath.Join(t.TempDir(), "poolfill")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

func chaosTable(variants []chaosVariant, totals []chaosFigures, sum chaosFigures) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| variant\t| runs\t| kills\t| restarts\t| requests\t| seconds\t|")
	fmt.Fprintln(w, "| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t|")
	line := func(name string, f chaosFigures) {
		fmt.Fprintf(w, "| %s\t| %d\t| %d\t| %d\t| %d\t| %.0f\t|\n", name, f.runs, f.kills, f.restarts, f.requests, f.seconds)
	}
	for i, v := range variants {
		line(v.name, totals[i])
	}
	line("all", sum)
	_ = w.Flush() // a strings.Builder takes all
	return out.String()
}

// chaosRow is a row of the input and what must become of it.
type chaosRow struct {
	raw  string // as it stands in the file
	line int    // on which it begins
	task chaosTask
	code string // why it is rejected; empty where it is valid
}

// chaosTask is what a valid row holds.
type chaosTask struct {
	Image  string  `json:"image"`
	Title  string  `json:"title"`
	Weight float64 `json:"weight"`
}

// The program is given a spec without bounds, so that only the server finds the
// rows that are out of them.
const (
	chaosSpec   = `{"input_spec":{"image":{"type":"url","required":true},"title":{"type":"string"},"weight":{"type":"float"}}}`
	chaosHeader = "INPUT:image\tINPUT:title\tINPUT:weight\n"
)

// chaosRows makes the rows of an input: 2% hold lines in a quoted cell, 3% are
// invalid in one of six ways, and 2% repeat an earlier valid row.
func chaosRows(rnd *rand.Rand, n int) []chaosRow {
	rows := make([]chaosRow, 0, n)
	line := 2
	for i := range n {
		task := chaosTask{fmt.Sprintf("https://example.com/%d.jpg", i), fmt.Sprintf("Picture %d", i), float64(i) + 0.5}
		title, code, extra := task.Title, "", ""
		luck := rnd.Float64()
		if rnd.Float64() < 0.02 || luck >= 0.025 && luck < 0.03 {
			task.Title = fmt.Sprintf("Picture %d,\nwith a \"name\"\nand a third line", i)
			title = `"` + strings.ReplaceAll(task.Title, `"`, `""`) + `"`
		}
		switch {
		case luck < 0.005:
			task.Image, code = fmt.Sprintf("example.com/%d.jpg", i), "INVALID_URL_SYNTAX"
		case luck < 0.01:
			task.Image, code = "", "VALUE_REQUIRED"
		case luck < 0.015:
			extra, code = "\tone too many", "COLUMN_COUNT"
		case luck < 0.02:
			title, code = fmt.Sprintf("%d %s", i, strings.Repeat("long ", 50)), "STRING_LENGTH_GREATER_THAN_MAX"
		case luck < 0.03: // half of them over several lines
			task.Weight, code = -task.Weight, "VALUE_LESS_THAN_MIN"
		}
		row := chaosRow{
			raw: fmt.Sprintf("%s\t%s\t%.1f%s", task.Image, title, task.Weight, extra), task: task, code: code,
		}
		if luck >= 0.98 && i > 0 {
			if earlier := rows[rnd.IntN(i)]; earlier.code == "" {
				row = earlier
			}
		}
		row.line = line
		line += 1 + strings.Count(row.raw, "\n")
		rows = append(rows, row)
	}
	return rows
}

// chaosUpload is one upload, with the emulator that outlives all its kills.
type chaosUpload struct {
	variant chaosVariant
	rnd     *rand.Rand
	rows    []chaosRow
	valid   int
	chunks  int // about so many requests create all tasks

	binary, dir, url string
	number           int // of processes that were started
}

func newChaosUpload(t *testing.T, binary string, plan chaosPlan, number int, v chaosVariant) *chaosUpload {
	dir, err := os.MkdirTemp("", "poolfill-chaos-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("its files are in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	rnd := rand.New(rand.NewPCG(plan.Seed, uint64(number)))
	u := &chaosUpload{variant: v, rnd: rnd, rows: chaosRows(rnd, plan.Rows), binary: binary, dir: dir}
	text := []byte(chaosHeader)
	for _, row := range u.rows {
		text = append(append(text, row.raw...), '\n')
		if row.code == "" {
			u.valid++
		}
	}
	for name, content := range map[string][]byte{"input.tsv": text, "spec.json": []byte(chaosSpec)} {
		if err := os.WriteFile(u.path(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u.startEmulator(t)
	return u
}

func (u *chaosUpload) path(name string) string { return filepath.Join(u.dir, name) }

func (u *chaosUpload) startEmulator(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, u.binary, "emulator", "--listen", "127.0.0.1:0",
		"--faults", u.variant.faults, "--seed", fmt.Sprint(u.rnd.Uint64()), "--operation-time", "10ms",
		"--requests-per-second", "0", "--tasks-per-minute", "0", "--tasks-per-day", "0", "--state", u.path("emulator"))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	if _, err := fmt.Fscanln(out, &u.url); err != nil {
		t.Fatalf("the emulator says no address: %v", err)
	}
}

// start starts the upload; ended gives its exit code, or -1 where it was killed.
func (u *chaosUpload) start(t *testing.T, chunkSize int) (cmd *exec.Cmd, ended <-chan int) {
	u.number++
	cmd = exec.CommandContext(t.Context(), u.binary, "upload", u.path("input.tsv"), "--spec", u.path("spec.json"),
		"--pool", emulator.DemoPool, "--url", u.url, "--mode", u.variant.mode, "--chunk-size", fmt.Sprint(chunkSize),
		"--requests-per-second", "0", "--tasks-per-minute", "0", "--tasks-per-day", "0",
		"--state-dir", u.path("state"), "--out", u.path("out"), "--progress", "none", "--json")
	cmd.Env = append(os.Environ(), "TOLOKA_TOKEN=chaos", "POOLFILL_CONFIG="+os.DevNull)
	log, err := os.Create(u.path(fmt.Sprintf("stderr-%02d", u.number)))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	out, err := os.Create(u.path("stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exit := make(chan int, 1)
	go func() {
		_ = cmd.Wait() // the state says all
		code := cmd.ProcessState.ExitCode()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() != syscall.SIGKILL {
			code = -2
		}
		exit <- code
	}()
	return cmd, exit
}

// maxChaosFailures bounds the restarts after exit code 1.
const maxChaosFailures = 5

// run uploads until the end, with so many kills on the way if it lasts so long.
func (u *chaosUpload) run(t *testing.T, kills int) chaosFigures {
	begin := time.Now()
	chunkSize := u.variant.chunks[0] + u.rnd.IntN(u.variant.chunks[1]-u.variant.chunks[0]+1)
	chunkSize = min(chunkSize, max(20, len(u.rows)/20))
	u.chunks = (len(u.rows) + chunkSize - 1) / chunkSize
	f := chaosFigures{runs: 1}
	for failures := 0; ; f.restarts++ {
		var m chaosMoment
		if f.kills < kills {
			m = u.moment(f.kills, kills)
		}
		before := int(u.stats(t).ByKind["post"])
		cmd, ended := u.start(t, chunkSize)
		sent, code := u.await(t, m, before, cmd, ended)
		switch {
		case code == -1:
			if sent {
				f.kills++
			}
			if u.variant.forget {
				if err := os.RemoveAll(u.path("state")); err != nil {
					t.Fatal(err)
				}
			}
		case code == 0 || code == 3:
			f.requests = u.stats(t).Requests
			f.seconds = time.Since(begin).Seconds()
			return f
		case code == 1 && failures < maxChaosFailures:
			failures++
			t.Logf("process %d ended with exit code 1:\n%s", u.number, u.lastWords(t))
		default:
			t.Fatalf("process %d ended with exit code %d:\n%s", u.number, code, u.lastWords(t))
		}
	}
}

func (u *chaosUpload) lastWords(t *testing.T) string {
	text, err := os.ReadFile(u.path(fmt.Sprintf("stderr-%02d", u.number)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text[max(0, len(text)-2000):])
}

// chaosMoment is when a process is killed: after a number of requests to create
// tasks, or once the pool has so many tasks, and a little later. Counted in
// requests it is the same on a slow machine. The zero value is never.
type chaosMoment struct {
	posts, tasks int
	delay        time.Duration
}

// moment chooses when to kill a process that is to be killed for the nth time.
// A process that goes on where the last one was killed has a share of the work
// for each kill, one that begins anew has all of it. The last kill hits when all
// tasks are there and the reports are not.
func (u *chaosUpload) moment(nth, kills int) chaosMoment {
	m := chaosMoment{posts: 1, delay: time.Duration(u.rnd.Int64N(int64(30 * time.Millisecond)))}
	switch {
	case nth == kills-1:
		m.tasks = u.valid
	case u.variant.forget:
		m.posts += u.rnd.IntN(u.chunks)
	default:
		m.posts += u.rnd.IntN(max(1, 3*u.chunks/(2*kills)))
	}
	return m
}

// await kills the process at the moment, unless it ends before. It reports
// whether the process had begun to create tasks, and how it ended.
func (u *chaosUpload) await(t *testing.T, m chaosMoment, before int, cmd *exec.Cmd, ended <-chan int) (sent bool, code int) {
	if m == (chaosMoment{}) {
		return true, <-ended
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case code := <-ended:
			return sent, code
		case <-tick.C:
		}
		st := u.stats(t)
		posts := int(st.ByKind["post"]) - before // nothing else uploads to this emulator
		sent = posts > 0
		if posts >= m.posts && st.Tasks >= m.tasks {
			break
		}
	}
	select {
	case code := <-ended:
		return sent, code
	case <-time.After(m.delay):
	}
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	return sent, <-ended
}

// get asks the emulator until it gets an answer: faults hit these requests, too.
func (u *chaosUpload) get(t *testing.T, path string, into any) {
	const tries = 100
	for try := 1; ; try++ {
		err := askEmulator(t.Context(), u.url+path, "chaos", into)
		if err == nil {
			return
		}
		if try == tries {
			t.Fatal(err)
		}
	}
}

func (u *chaosUpload) stats(t *testing.T) emulator.Stats {
	var st emulator.Stats
	u.get(t, "/emulator/stats", &st)
	return st
}

// complaints are what is wrong, of which a test shows the first.
type complaints struct {
	t *testing.T
	n int
}

func (c *complaints) add(format string, args ...any) {
	c.t.Helper()
	const shown = 10
	if c.n++; c.n <= shown {
		c.t.Errorf(format, args...)
	} else if c.n == shown+1 {
		c.t.Error("and more")
	}
}

// verify compares what came of the upload with the input.
func (u *chaosUpload) verify(t *testing.T) {
	pool := u.verifyPools(t, emulator.DemoPool)
	u.verifyResults(t, pool)
	u.verifyRejected(t)
	u.verifyReport(t)
}

// verifyPools checks that the pools have each valid row as often as it stands in
// the input, and nothing else. It gives their tasks by their ids.
func (u *chaosUpload) verifyPools(t *testing.T, ids ...string) map[string]chaosTask {
	pool := make(map[string]chaosTask)
	for _, id := range ids {
		u.readPool(t, id, pool)
	}
	wrong := complaints{t: t}
	surplus := make(map[chaosTask]int)
	for _, task := range pool {
		surplus[task]++
	}
	for _, row := range u.rows {
		if row.code == "" {
			surplus[row.task]--
		}
	}
	for task, n := range surplus {
		switch {
		case n > 0:
			wrong.add("the pools have %+v %d times too often", task, n)
		case n < 0:
			wrong.add("the pools lack %+v %d times", task, -n)
		}
	}
	if n := u.stats(t).Tasks; n != u.valid {
		wrong.add("the server has %d tasks in all pools, want %d", n, u.valid)
	}
	return pool
}

// readPool adds the tasks of a pool.
func (u *chaosUpload) readPool(t *testing.T, id string, pool map[string]chaosTask) {
	for more, after := true, ""; more; {
		var page struct {
			Items []struct {
				ID    string    `json:"id"`
				Input chaosTask `json:"input_values"`
			} `json:"items"`
			HasMore bool `json:"has_more"`
		}
		u.get(t, fmt.Sprintf("/api/v1/tasks?pool_id=%s&sort=id&limit=2000&id_gt=%s", id, after), &page)
		for _, item := range page.Items {
			pool[item.ID], after = item.Input, item.ID
		}
		more = page.HasMore
	}
}

// readTSV reads a table of the program's, and gives each record's text as well.
func readTSV(t *testing.T, path string) (records [][]string, texts []string) {
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(bytes.NewReader(raw))
	r.Comma, r.FieldsPerRecord = '\t', -1
	for begin := int64(0); ; begin = r.InputOffset() {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return records[min(1, len(records)):], texts[min(1, len(texts)):]
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		records = append(records, record)
		texts = append(texts, string(raw[begin:r.InputOffset()]))
	}
}

// verifyResults checks that each row has its line, in order, and each created
// row the id of a task with its content that no other row has.
func (u *chaosUpload) verifyResults(t *testing.T, pool map[string]chaosTask) {
	records, _ := readTSV(t, u.path("out/results.tsv"))
	if len(records) != len(u.rows) {
		t.Errorf("results.tsv has %d lines, want %d", len(records), len(u.rows))
		return
	}
	wrong := complaints{t: t}
	used := make(map[string]int)
	for i, record := range records {
		row := u.rows[i]
		line, number, status, id, code := record[1], record[2], record[3], record[4], record[6]
		if line != fmt.Sprint(row.line) || number != fmt.Sprint(i+1) {
			wrong.add("results.tsv has line %s and record %s where line %d and record %d are due", line, number, row.line, i+1)
		}
		if row.code != "" {
			if status != "rejected" || id != "" || code != row.code {
				wrong.add("row %d, which is invalid (%s), is %q", i+1, row.code, record)
			}
			continue
		}
		// A run that was killed after its end had all rows created, so that the
		// next one found nothing but duplicates.
		if status != "created" && status != "duplicate" {
			wrong.add("row %d, which is valid, is %q", i+1, record)
			continue
		}
		if task, ok := pool[id]; !ok || task != row.task {
			wrong.add("row %d has the task %q, which the pool has (%t) with %+v and not %+v", i+1, id, ok, task, row.task)
		}
		if other, ok := used[id]; ok {
			wrong.add("rows %d and %d have the same task %q", other, i+1, id)
		}
		used[id] = i + 1
	}
}

// verifyRejected checks that each invalid row is in rejected.tsv once, as it
// stood.
func (u *chaosUpload) verifyRejected(t *testing.T) {
	records, texts := readTSV(t, u.path("out/rejected.tsv"))
	invalid := slices.DeleteFunc(slices.Clone(u.rows), func(r chaosRow) bool { return r.code == "" })
	if len(records) != len(invalid) {
		t.Errorf("rejected.tsv has %d rows, want %d", len(records), len(invalid))
		return
	}
	wrong := complaints{t: t}
	for i, row := range invalid {
		if records[i][0] != fmt.Sprint(row.line) || records[i][2] != row.code || !strings.HasSuffix(texts[i], "\t"+row.raw+"\n") {
			wrong.add("rejected.tsv has %q where line %d with %s is due: %q", texts[i], row.line, row.code, row.raw)
		}
	}
}

// verifyReport checks that the totals close and fit, in the file and on standard
// output.
func (u *chaosUpload) verifyReport(t *testing.T) {
	rows, valid := int64(len(u.rows)), int64(u.valid)
	for _, name := range []string{"out/report.json", "stdout"} {
		raw, err := os.ReadFile(u.path(name))
		if err != nil {
			t.Fatal(err)
		}
		var r pipeline.Report
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "stdout" && len(r.Files) == 1 && r.Files[0].UnchangedSince != "" {
			// The last kill came after the run had finished: the one after it found
			// nothing to do, and the files are those of the run.
			continue
		}
		got := r.Totals
		if r.State != pipeline.Finished || got.Rows != rows || got.Created+got.Duplicate != valid || got.Rejected != rows-valid || got.Unsent != 0 {
			t.Errorf("%s says %s with %+v, want %d rows of which %d are valid", name, r.State, got, rows, valid)
		}
	}
}
