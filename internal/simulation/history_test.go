package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/internal/referee"
)

const poolID = "38315862"

// row is a row of the file, and so a task.
type row struct {
	image, title, user, result string
	overlap                    int
	bad                        bool // it must be rejected, by whomever
}

// line is the row as it stands in the file.
func (r row) line() string {
	overlap := ""
	if r.overlap > 0 {
		overlap = fmt.Sprint(r.overlap)
	}
	return strings.Join([]string{r.image, r.title, r.user, overlap, r.result}, "\t") + "\n"
}

const header = "INPUT:image\tINPUT:title\tTASK:unavailable_for\tTASK:overlap\tGOLDEN:result\n"

// poolOverlap is that of tasks that have none.
const poolOverlap = 3

// identity is that of the row's task, as the documentation says that a row becomes one.
func (r row) identity() string {
	task := map[string]any{"input_values": map[string]string{"image": r.image, "title": r.title}}
	if r.user != "" {
		task["unavailable_for"] = []string{r.user}
	}
	if r.overlap > 0 {
		task["overlap"] = r.overlap
	}
	if r.result != "" {
		task["known_solutions"] = []any{map[string]any{"output_values": map[string]string{"result": r.result}, "correctness_weight": 1}}
		if r.overlap == 0 {
			task["infinite_overlap"] = true
		}
	}
	text, err := json.Marshal(task)
	if err != nil {
		return err.Error()
	}
	id, err := referee.Identity(text, poolOverlap)
	if err != nil {
		return err.Error()
	}
	return id
}

// history is one course of events, which its seed decides.
type history struct {
	t      *testing.T
	rng    *rand.Rand
	kinds  map[string]bool // what can happen in it
	rate   float64         // of faults
	faults []fault
	server *referee.Server
	net    *network
	folder string
	file   string
	rows   []row
	made   int // rows so far
	began  settings
	set    settings
	runs   int
	kills  int
	// elsewhere says that another machine uploads the file, too.
	elsewhere bool
	auditor   auditor
	steps     int
	trace     []string
	struck    map[string]int // fault and state
	kept      bool           // whether the trace is kept
	hash      uint64
}

// simulate plays one history.
func simulate(t *testing.T, seed uint64, kinds []string, swarm, keep bool) *history {
	h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 1)), kinds: map[string]bool{}, folder: t.TempDir(), struck: map[string]int{}, kept: keep}
	for _, kind := range kinds {
		h.kinds[kind] = !swarm || h.rng.IntN(2) == 0
	}
	for _, f := range faults() {
		if h.kinds[f.kind] {
			h.faults = append(h.faults, f)
		}
	}
	synctest.Test(t, func(*testing.T) { h.play() })
	return h
}

// note keeps what happened.
func (h *history) note(format string, args ...any) {
	line := fmt.Sprintf("%s "+format, append([]any{time.Now().UTC().Format("15:04:05.000000000")}, args...)...)
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%x %s", h.hash, line)
	h.hash = hash.Sum64()
	if h.kept {
		h.trace = append(h.trace, line)
	}
}

// play is the whole history: some attempts in a bad world, and then some in a fair one,
// which must bring every row to its end.
func (h *history) play() {
	h.prepare()
	for i := range 1 + h.rng.IntN(3) {
		if i > 0 {
			h.change()
		}
		if h.attempt(i == 0, true); h.auditor.broken() {
			return
		}
	}
	for i := range 4 {
		ok := h.attempt(false, false)
		switch {
		case h.auditor.broken():
			return
		case ok && i == 0 && h.rng.IntN(4) == 0: // a finished upload, once more
			continue
		case ok:
			return
		}
	}
	h.auditor.say("never complete")
}

// prepare makes the server, the file and the first settings.
func (h *history) prepare() {
	h.rate = []float64{0.03, 0.1, 0.25, 0.8}[h.rng.IntN(4)]
	h.net = newNetwork()
	ways := referee.Ways{Normalises: h.kinds["normalises"], Scattered: h.kinds["scattered"], NoDate: h.kinds["no-date"], FlatPayload: h.kinds["flat-payload"], ListLimit: 100_000}
	if h.kinds["list-limit"] {
		ways.ListLimit = 300
	}
	if h.kinds["payload-failures"] {
		ways.Failures = referee.InPayload
	}
	if h.kinds["skew"] {
		ways.Created = time.Duration(h.rng.IntN(41)-20) * time.Second
		ways.Date = time.Duration(h.rng.IntN(41)-20) * time.Second
	}
	if h.kinds["slow-operations"] {
		ways.Operation = time.Duration(1+h.rng.IntN(60)) * 1009 * time.Millisecond
	}
	h.set = settings{sync: h.rng.IntN(2) == 0, workers: 1 + h.rng.IntN(4), chunk: 1 + h.rng.IntN(8), retryFor: time.Duration(1+h.rng.IntN(5)) * time.Minute, progress: time.Minute}
	if h.kinds["server-quota"] {
		h.set.perMinute = 10 + h.rng.IntN(30)
		if !h.kinds["second-machine"] { // which has no part in the first one's quota
			h.auditor.quota = h.set.perMinute
		}
		ways.Quota = referee.Quota{TasksPerMinute: h.set.perMinute, Says: referee.Hint(h.rng.IntN(4))}
	}
	h.began = h.set
	h.server = referee.New(referee.Config{
		Now: time.Now, Pools: []referee.Pool{{ID: poolID, Overlap: poolOverlap}}, Ways: ways,
		Spec: referee.Spec{
			Input:  map[string]referee.Field{"image": {Type: "url", Required: true}, "title": {Type: "string"}},
			Output: map[string]referee.Field{"result": {Type: "string"}},
		},
		Rule: func(task map[string]any) (string, string) {
			if values, _ := task["input_values"].(map[string]any); strings.Contains(fmt.Sprint(values["title"]), "refused") {
				return "input_values.title", "PATTERN_MISMATCH"
			}
			return "", ""
		},
	})
	h.file = filepath.Join(h.folder, "rows.tsv")
	for range 1 + h.rng.IntN(25) {
		h.rows = append(h.rows, h.row())
	}
	h.write()
	h.note("sync %v, %d rows, %+v, %+v", h.set.sync, len(h.rows), h.set, ways)
}

// row is a new row of the file.
func (h *history) row() row {
	h.made++
	if h.kinds["equal-rows"] && len(h.rows) > 0 && h.rng.IntN(4) == 0 {
		return h.rows[h.rng.IntN(len(h.rows))]
	}
	r := row{image: fmt.Sprintf("https://Ex.com/%d.png", h.made), title: fmt.Sprintf("row %d", h.made)}
	switch {
	case h.kinds["users"] && h.rng.IntN(2) == 0:
		r.image, r.title, r.user = "https://Ex.com/same.png", "same", fmt.Sprintf("user%d", h.made)
	case h.kinds["refused-rows"] && h.rng.IntN(5) == 0:
		r.title, r.bad = fmt.Sprintf("refused %d", h.made), true
	case h.kinds["invalid-rows"] && h.rng.IntN(5) == 0:
		r.image, r.bad = fmt.Sprintf("htp:/%d", h.made), true
	case h.kinds["control-rows"] && h.rng.IntN(3) == 0:
		r.result = "ok"
	}
	if h.rng.IntN(4) == 0 && !r.bad {
		r.overlap = 1 + h.rng.IntN(3)
	}
	return r
}

// write writes the file, with a time that no other version of it has.
func (h *history) write() {
	var text strings.Builder
	text.WriteString(header)
	for _, r := range h.rows {
		text.WriteString(r.line())
	}
	if err := os.WriteFile(h.file, []byte(text.String()), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.made++
	stamp := time.Date(2026, 1, 1, 0, 0, h.made, 0, time.UTC)
	if err := os.Chtimes(h.file, stamp, stamp); err != nil {
		h.t.Fatal(err)
	}
	h.auditor.version(h.rows)
}

// change is what people do between two attempts.
func (h *history) change() {
	may := func(kind string) bool {
		if !h.kinds[kind] || h.rng.IntN(2) == 0 {
			return false
		}
		h.struck[kind+" × between two runs"]++
		return true
	}
	// Two machines without a common ledger are safe for the same file and chunks alone.
	mayEdit := func(kind string) bool { return !h.elsewhere && may(kind) }
	edited := h.made
	if mayEdit("append") {
		for range 1 + h.rng.IntN(5) {
			h.rows = append(h.rows, h.row())
		}
	}
	if mayEdit("change") {
		h.rows[h.rng.IntN(len(h.rows))] = h.row()
	}
	if mayEdit("insert") {
		h.rows = slices.Insert(h.rows, h.rng.IntN(len(h.rows)), h.row())
	}
	if h.made != edited {
		h.write()
		h.note("the file has %d rows", len(h.rows))
	}
	if may("flag-workers") {
		h.set.workers = h.rng.IntN(5)
	}
	if may("flag-quota") {
		h.set.perMinute = 10 + h.rng.IntN(30)
		if most := h.auditor.quota; most > 0 {
			h.set.perMinute = min(h.set.perMinute, most)
		}
	}
	if mayEdit("flag-chunk") {
		h.set.chunk = 1 + h.rng.IntN(8)
	}
	if mayEdit("flag-mode") {
		h.set.sync = !h.set.sync
	}
	h.note("settings %+v", h.set)
}

// process is a start of the program.
type process struct {
	*line
	number int
	folder string
	cancel context.CancelFunc
	killed bool

	mu   sync.Mutex
	done bool
	end  outcome
}

// start starts the program.
func (h *history) start(folder string, set settings) *process {
	if set.sync && h.kinds["equal-rows"] || set.perMinute > 0 {
		// Requests of equal content at once could not be told apart, and which of several
		// that wait for the quota is first is the scheduler's to say.
		set.workers = 1
	}
	h.runs++
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{line: &line{network: h.net, process: h.runs}, number: h.runs, folder: folder, cancel: cancel}
	c := command{settings: set, name: fmt.Sprintf("run-%d", h.runs), folder: folder, file: h.file, pool: poolID, line: p.line}
	go func() {
		end := c.upload(ctx)
		p.mu.Lock()
		p.end, p.done = end, true
		p.mu.Unlock()
		h.net.rouse()
	}()
	return p
}

// kill ends a process at once: nothing goes out any more, and the ledger goes on as it
// is at this moment, in another folder; what the dead process still does is lost.
func (h *history) kill(p *process) {
	p.killed = true
	p.cut()
	if p.folder == h.ledger() {
		before := h.ledger()
		h.kills++
		if _, err := os.Stat(before); err == nil {
			if err := os.CopyFS(h.ledger(), os.DirFS(before)); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	p.cancel()
}

// ledger is the folder of the ledger as it is now.
func (h *history) ledger() string { return filepath.Join(h.folder, fmt.Sprintf("ledger-%d", h.kills)) }

func (p *process) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// The bounds of an attempt: what takes longer never ends.
const (
	maxSteps = 20_000
	maxTime  = 10 * 24 * time.Hour
)

// attempt runs the command, in a bad or in a fair world, and reports whether it says that
// all is well.
func (h *history) attempt(first, bad bool) bool {
	began := time.Now()
	processes := []*process{h.start(h.ledger(), h.set)}
	budget := 25 // of faults, so that attempts end
	for {
		synctest.Wait()
		h.net.calm() // or how often it wakes would depend on who was first
		running := slices.DeleteFunc(slices.Clone(processes), (*process).ended)
		if len(running) == 0 {
			break
		}
		if h.steps++; h.steps > maxSteps || time.Since(began) > maxTime {
			h.auditor.say("never ends")
			for _, p := range running {
				h.kill(p)
			}
			for _, c := range h.net.waiting() {
				h.net.release(c)
			}
			continue
		}
		if bad && h.disturb(first, running, &processes) {
			continue
		}
		waiting := h.net.waiting()
		if len(waiting) == 0 {
			select {
			case <-h.net.wake:
			case <-time.After(maxTime):
			}
			continue
		}
		h.deliver(waiting[h.rng.IntN(len(waiting))], len(waiting), bad, &budget)
	}
	for _, c := range h.net.waiting() {
		h.deliver(c, 0, bad, &budget)
	}
	time.Sleep(2 * lateness) // what comes late has come now
	ok := false
	for _, p := range processes {
		if p.killed {
			continue
		}
		h.note("process %d ends: ok %v, %v, %v", p.number, p.end.ok, p.end.err, p.end.rows)
		h.auditor.audit(h.server, p.end)
		ok = ok || p.end.ok
	}
	if len(processes) > 0 && processes[0].killed {
		h.auditor.audit(h.server, outcome{closes: true})
	}
	return ok
}

// disturb does something to the processes, and reports whether it did.
func (h *history) disturb(first bool, running []*process, all *[]*process) bool {
	switch {
	case h.kinds["kill"] && h.rng.IntN(40) == 0:
		p := running[h.rng.IntN(len(running))]
		if p.killed {
			return false
		}
		h.note("process %d is killed", p.number)
		h.struck["kill × "+h.phase()]++
		h.kill(p)
		if h.rng.IntN(2) == 0 { // and at once started again
			*all = append(*all, h.start(h.ledger(), h.set))
		}
		return true
	case h.kinds["second-process"] && len(*all) < 3 && h.rng.IntN(30) == 0:
		h.note("a second process")
		h.struck["second-process × "+h.phase()]++
		*all = append(*all, h.start(h.ledger(), h.set))
		return true
	case h.kinds["second-machine"] && first && !h.set.sync && len(*all) < 2 && h.rng.IntN(10) == 0:
		h.note("a second machine")
		h.elsewhere = true
		h.struck["second-machine × "+h.phase()]++
		other := h.set
		other.workers = 1 + h.rng.IntN(4)
		if other.perMinute > 0 {
			other.perMinute = 10 + h.rng.IntN(other.perMinute)
		}
		*all = append(*all, h.start(filepath.Join(h.folder, "other"), other))
		return true
	}
	return false
}

// phase says where the history is, for the counters.
func (h *history) phase() string {
	if h.runs == 1 {
		return "first run"
	}
	return "later run"
}

// deliver lets the fate of one request happen.
func (h *history) deliver(c *call, waiting int, bad bool, budget *int) {
	h.net.release(c)
	var f referee.Fate
	var after time.Duration
	name := "fair"
	switch {
	case c.gone && h.rng.IntN(2) == 0:
		f, name = referee.Fate{Done: referee.Never, Heard: referee.Nothing}, "given up, lost"
	case c.gone:
		name = "given up"
	case bad && *budget > 0 && h.rng.Float64() < h.rate:
		can := func(f fault) bool {
			// Without its log, an operation's equal rows can't be told from the other machine's.
			return f.applies(c.kind) && (f.kind != "log-archived" || !h.elsewhere)
		}
		if i := slices.IndexFunc(h.shuffled(), can); i >= 0 {
			*budget--
			name = h.faults[i].kind
			f, after = h.faults[i].make(h.rng)
			state := c.kind
			if c.again {
				state += " again"
			}
			h.struck[fmt.Sprintf("%s × %s, %s", name, state, h.phase())]++
		}
	}
	r, err := h.server.Do(c.request, f)
	status := 0
	if err == nil {
		status = r.StatusCode
	}
	h.note("of %d: %d %s: %s: %d after %v", waiting, c.process, c.key, name, status, after)
	c.answer <- delivery{r, err, after}
}

// shuffled puts the faults into another order.
func (h *history) shuffled() []fault {
	h.rng.Shuffle(len(h.faults), func(i, j int) { h.faults[i], h.faults[j] = h.faults[j], h.faults[i] })
	return h.faults
}
