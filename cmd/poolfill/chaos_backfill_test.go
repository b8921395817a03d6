//go:build chaos

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/internal/emulator"
	"poolfill/internal/pgtest"
)

// chaosWorkers are the workers at a backfill, which are killed now and then.
type chaosWorkers struct {
	u     *chaosUpload
	place []string // the flags that say where the state is
	cmds  []*exec.Cmd
	logs  int
	kills int
}

func (w *chaosWorkers) command(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), w.u.binary, append(args, w.place...)...)
	cmd.Env = append(os.Environ(), "TOLOKA_TOKEN=chaos", "POOLFILL_CONFIG="+os.DevNull)
	return cmd
}

// start starts the worker with a number, with its log in a file.
func (w *chaosWorkers) start(t *testing.T, i int) {
	w.logs++
	log, err := os.Create(w.u.path(fmt.Sprintf("worker-%d-%03d", i, w.logs)))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := w.command(t, "worker", "--jobs", "2", "--url", w.u.url, "--log-level", "info")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.cmds[i] = cmd
}

func (w *chaosWorkers) kill(i int) {
	_ = w.cmds[i].Process.Kill()
	_ = w.cmds[i].Wait() // it was killed
}

func (w *chaosWorkers) status(t *testing.T) (s backfill.Status, err error) {
	out, err := w.command(t, "backfill", "status", "--json").Output()
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(out, &s)
	return s, err
}

// TestChaosOfABackfill kills the workers of a backfill at random moments, under
// the full script of faults, until it is finished, and compares all pools and the
// report with the input.
func TestChaosOfABackfill(t *testing.T) {
	plan := readChaosPlan(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat: %s", plan)
		}
	})
	binary := chaosBinary(t)
	t.Run("SQLite", func(t *testing.T) {
		u := newChaosUpload(t, binary, plan, 1000, chaosVariants()[0])
		chaosBackfill(t, u, plan, 2, []string{"--state-dir", u.path("state")}, nil)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		server := pgtest.Start(t)
		u := newChaosUpload(t, binary, plan, 1001, chaosVariants()[0])
		chaosBackfill(t, u, plan, 4, []string{"--state-dir", u.path("state"), "--db", server.URL("postgres")}, func() {
			server.Kill()
			server.Restart()
		})
	})
}

// The quota of a chaos test's account. The emulator refuses nothing for it, and
// tells what the most was that it saw of it.
const (
	chaosRequestsPerSecond = 300
	chaosTasksPerMinute    = 400_000
)

// chaosBackfill carries out one backfill. disturb, where not nil, is called now
// and then to disturb what the workers share.
func chaosBackfill(t *testing.T, u *chaosUpload, plan chaosPlan, workers int, place []string, disturb func()) {
	w := &chaosWorkers{u: u, place: place, cmds: make([]*exec.Cmd, workers)}
	begin := w.command(t, "backfill", "start", u.path("input.tsv"), "--spec", u.path("spec.json"), "--pool-template", emulator.DemoPool,
		"--url", u.url, "--name", "chaos", "--detach", "--segment-rows", fmt.Sprint(plan.Rows/14+1), "--pool-tasks", fmt.Sprint(plan.Rows/4),
		"--chunk-size", fmt.Sprint(max(200, plan.Rows/1000)), "--requests-per-second", fmt.Sprint(chaosRequestsPerSecond),
		"--tasks-per-minute", fmt.Sprint(chaosTasksPerMinute), "--tasks-per-day", "0", "--progress", "none")
	if out, err := begin.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i := range workers {
		w.start(t, i)
	}
	defer func() {
		for i := range workers {
			w.kill(i)
		}
	}()
	var s backfill.Status
	for begun := time.Now(); s.State != backfill.Finished; {
		if time.Since(begun) > 20*time.Minute {
			t.Fatalf("it doesn't come to its end: %+v", s)
		}
		time.Sleep(time.Duration(100+rand.IntN(1500)) * time.Millisecond)
		if w.kills < plan.Kills {
			i := u.rnd.IntN(workers)
			w.kill(i)
			w.start(t, i)
			w.kills++
			if disturb != nil && w.kills%8 == 0 {
				disturb()
			}
		}
		now, err := w.status(t)
		var failed *exec.ExitError
		if err != nil && !errors.As(err, &failed) {
			t.Fatal(err)
		}
		if err == nil {
			s = now
		}
		if s.State == backfill.Failed {
			t.Fatalf("segments failed: %+v", s)
		}
	}
	stats := u.stats(t)
	t.Logf("%d kills of %d workers, %d segments, %d pools, %d requests; at most %d requests in a second and %d tasks in a minute",
		w.kills, workers, s.Segments[backfill.Finished], len(s.Pools), stats.Requests, stats.PeakRequestsPerSecond, stats.PeakTasksPerMinute)
	if stats.PeakRequestsPerSecond > chaosRequestsPerSecond || stats.PeakTasksPerMinute > chaosTasksPerMinute {
		t.Errorf("the quota of %d requests a second and %d tasks a minute was exceeded", chaosRequestsPerSecond, chaosTasksPerMinute)
	}
	var pools []string
	for _, p := range s.Pools {
		pools = append(pools, p.Pool)
	}
	if out, err := w.command(t, "backfill", "report", "--out", u.path("out")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tasks := u.verifyPools(t, pools...)
	u.verifyResults(t, tasks)
	u.verifyRejected(t)
}
