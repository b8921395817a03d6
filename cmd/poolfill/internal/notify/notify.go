// Package notify sends the report of a run that has ended.
//
// What goes in: the report of the run as JSON, its exit code, and whom to tell:
// a command, which gets the report on its standard input, or the URL of a
// webhook, which gets it as a POST. What comes out: nothing but whether that
// worked.
//
// One try, which takes no longer than Config.Within. Memory: the report.
package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// DefaultWithin is how long a notification may take.
const DefaultWithin = 30 * time.Second

// How the exit code of the run is passed on beside the report.
const (
	ExitCodeVariable = "POOLFILL_EXIT_CODE" // to a command
	ExitCodeHeader   = "Poolfill-Exit-Code" // to a webhook
)

// stragglers is how long a command that has ended, or was ended, may leave its
// output open, as processes that it has started can do.
const stragglers = time.Second

// Config says whom to notify, and how.
type Config struct {
	// Target is the URL of a webhook, with http:// or https://, or else a command
	// line for the system's shell. It must not be empty.
	Target string
	// Within is how long it may take; 0 means DefaultWithin.
	Within time.Duration
	// Environment is that of a command, as of os.Environ; nil means this
	// process's own.
	Environment []string
	// Output gets what a command prints; nil drops it.
	Output io.Writer
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if c.Within < 0 {
		return fmt.Errorf("the time for a notification is negative: %s", c.Within)
	}
	if strings.TrimSpace(c.Target) == "" {
		return errors.New("the notification names neither a command nor a URL")
	}
	if !c.webhook() {
		return nil
	}
	// The error of url.Parse has the whole URL, which may hold a secret.
	if u, err := url.Parse(c.Target); err != nil || u.Host == "" {
		return errors.New("the URL of the notification can't be read: it should look like https://example.com/path")
	}
	return nil
}

func (c Config) webhook() bool {
	target := strings.ToLower(c.Target)
	return strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://")
}

// errSlow is the cause of a notification's end by its time.
var errSlow = errors.New("it took too long")

// Send sends the report and exit code of a run. Its errors are sentences for
// the user, and hold no more of a URL than its host.
func Send(ctx context.Context, cfg Config, report []byte, exitCode int) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	within := cfg.Within
	if within == 0 {
		within = DefaultWithin
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("%w: more than %s", errSlow, within))
	defer cancel()
	if cfg.webhook() {
		return post(ctx, cfg.Target, report, exitCode)
	}
	return command(ctx, cfg, report, exitCode)
}

// command runs a command line with the report on its standard input. It need
// not read it.
func command(ctx context.Context, cfg Config, report []byte, exitCode int) error {
	cmd := shell(ctx, cfg.Target)
	environment := cfg.Environment
	if environment == nil {
		environment = os.Environ()
	}
	cmd.Env = append(slices.Clip(environment), ExitCodeVariable+"="+strconv.Itoa(exitCode))
	cmd.Stdin = bytes.NewReader(report)
	cmd.Stdout, cmd.Stderr = cfg.Output, cfg.Output
	cmd.WaitDelay = stragglers
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("the command was ended: %w", context.Cause(ctx))
	case errors.As(err, &exit):
		return fmt.Errorf("the command failed: %w", exit)
	}
	return fmt.Errorf("the command can't be run: %w", err)
}

// post sends the report to a webhook. Redirects are not followed: they would
// turn the POST into a GET, or hand the report to somebody else.
func post(ctx context.Context, target string, report []byte, exitCode int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(report))
	if err != nil {
		return errors.New("the URL can't be used")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "poolfill")
	request.Header.Set(ExitCodeHeader, strconv.Itoa(exitCode))
	request.Close = true // there will be no second one
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return fmt.Errorf("%s did not answer: %w", request.URL.Host, context.Cause(ctx))
	default:
		return fmt.Errorf("%s can't be reached: %s", request.URL.Host, reason(err))
	}
	defer func() { _ = answer.Body.Close() }() // only the status counts
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s", request.URL.Host, answer.Status)
	}
	return nil
}

// reason says why a request had no answer, in the system's words, and without
// the URL.
func reason(err error) string {
	var (
		unknown *net.DNSError
		system  syscall.Errno
		request *url.Error
	)
	switch {
	case errors.As(err, &unknown):
		return "the name of the host can't be looked up"
	case errors.As(err, &system):
		return system.Error()
	case errors.As(err, &request):
		return request.Err.Error()
	}
	return err.Error()
}
