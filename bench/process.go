package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// usage is what a process took.
type usage struct {
	begun time.Time
	wall  time.Duration
	cpu   time.Duration // user and system
	peak  int64         // of the resident memory, in bytes; 0 where it isn't known
}

// best returns the least time of each kind, which other work on the machine
// disturbed least, and the greatest peak.
func best(all []usage) usage {
	b := all[0]
	for _, u := range all[1:] {
		b.wall, b.cpu, b.peak = min(b.wall, u.wall), min(b.cpu, u.cpu), max(b.peak, u.peak)
	}
	return b
}

// measure runs a command to its end, with env besides the own environment. A
// process begins in its parent's memory, and its peak counts from there: this
// one must stay small.
func measure(ctx context.Context, args []string, env ...string) (usage, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	said := &tail{}
	cmd.Stdout, cmd.Stderr = said, said
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return usage{}, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, said.text)
	}
	state := cmd.ProcessState
	return usage{begun, time.Since(begun), state.UserTime() + state.SystemTime(), peakOf(state)}, nil
}

// bestOf measures n times and returns the best.
func bestOf(n int, measure func() (usage, error)) (usage, error) {
	var all []usage
	for range n {
		u, err := measure()
		if err != nil {
			return u, err
		}
		all = append(all, u)
	}
	return best(all), nil
}

// tail keeps the end of what a process says.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - 4<<10; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// server is a running echo server or emulator.
type server struct {
	url  string
	stop func() error
}

// startServer starts a server that prints its address as its first line.
func startServer(ctx context.Context, args ...string) (*server, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	said := &tail{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	stop := func() error {
		cancel()
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, said.text)
		}
		return nil
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s prints no address: %w", args[0], err), stop())
	}
	return &server{strings.TrimSpace(line), stop}, nil
}

// stats asks a server what it counted.
func (s *server) stats(ctx context.Context) (serverStats, error) {
	var stats serverStats
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/emulator/stats", http.NoBody)
	if err != nil {
		return stats, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return stats, err
	}
	err = errors.Join(json.NewDecoder(resp.Body).Decode(&stats), resp.Body.Close())
	return stats, err
}

// statsOf asks a server what it counted, which must be all tasks.
func (s *server) statsOf(ctx context.Context, tasks int) (serverStats, error) {
	stats, err := s.stats(ctx)
	if err == nil && stats.Tasks != int64(tasks) {
		err = fmt.Errorf("the server got %d of %d tasks", stats.Tasks, tasks)
	}
	return stats, err
}
