//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// A disk that is full ends the run with a sentence; once there is space the
// same command finishes it. The limit of a file's size stands for the disk's.
func TestAFullDiskEndsTheRunAndTheNextOneFinishesIt(t *testing.T) {
	for _, kilobytes := range []int{16, 60, 100, 200, 400} {
		t.Run(fmt.Sprint(kilobytes, " KB"), func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, "async", 400, nil)
			full := tr.command("poolfill")
			limited := exec.CommandContext(t.Context(), "bash", append([]string{
				"-c", fmt.Sprintf(`ulimit -f %d && exec "$@"`, kilobytes), "bash",
			}, full.Args...)...)
			limited.Dir, limited.Env = full.Dir, full.Env
			code, stderr := tr.run(limited)
			if code != exitFailed || !strings.Contains(stderr, tr.path("state")) || strings.Contains(stderr, "goroutine") {
				t.Errorf("exit code %d:\n%s", code, stderr)
			}
			tr.finish()
			tr.verify()
		})
	}
}

// A server that doesn't answer holds a run that is told to stop no longer than
// --grace; what the server did meanwhile is found out by the next run.
func TestARunThatIsToldToStopWaitsForItsGraceOnly(t *testing.T) {
	for name, carriedOut := range map[string]bool{"nothing was done": false, "all was done": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrived := make(chan struct{}, 100)
			var answering atomic.Bool
			tr := newTrial(t, "async", 40, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodPost || answering.Load() {
						next.ServeHTTP(w, r)
						return
					}
					if carriedOut {
						next.ServeHTTP(httptest.NewRecorder(), r)
					} else if _, err := io.Copy(io.Discard, r.Body); err != nil { // only then is it seen that the client leaves
						return
					}
					arrived <- struct{}{}
					<-r.Context().Done()
				})
			})
			tr.setup = []string{"--grace", "200ms"}
			cmd := tr.command("poolfill")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-arrived
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			// Requests are given two minutes: that it ends at all is the proof.
			_ = cmd.Wait() // the exit code says all
			if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(stderr.String(), "To go on: ") {
				t.Errorf("exit code %d:\n%s", code, stderr.String())
			}
			answering.Store(true)
			tr.finish()
			tr.verify()
		})
	}
}
