package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/contract"
	"poolfill/internal/visible"
	"poolfill/pipeline"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/uploader/toloka"
)

// The addresses of Toloka's production and testing environments.
const (
	productionURL = "https://toloka.dev"
	sandboxURL    = "https://sandbox.toloka.dev"
)

// readingFlags say how inputs are read: what can be said as it is stands in the
// configuration already.
type readingFlags struct {
	reader.Config
	delimiter, controlOverlap, spec string
	noSpec                          bool
}

func (f *readingFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.delimiter, "delimiter", "", `what parts the cells: a character, or tab, comma, semicolon, pipe
(found from the file by default)`)
	flags.StringVar((*string)(&f.Quotes), "quotes", string(reader.QuotesAuto), `what a quote means: auto (around a whole cell it quotes, elsewhere it is
text), toloka (as the web upload: it always quotes and is dropped), none`)
	flags.StringVar(&f.Encoding, "encoding", "", "the file's charset, such as windows-1251 (UTF-8 and UTF-16 are found by themselves)")
	flags.BoolVar(&f.Multiline, "multiline", false, "quoted cells may hold lines that look like rows")
	flags.BoolVar(&f.KeepLineEnds, "keep-line-ends", false, "keep CR LF inside quoted cells instead of LF")
	flags.StringVar(&f.spec, "spec", "", `a JSON file with {"input_spec": …, "output_spec": …}, instead of the spec of the pool's project`)
	flags.BoolVar(&f.noSpec, "no-spec", false, "use no spec: every value is a string")
	flags.BoolVar(&f.TrustServer, "trust-server", false, "send rows that only the local check against the spec refuses")
	flags.StringToStringVar(&f.Map, "map", nil, "what a column is: --map picture=INPUT:image (repeatable)")
	flags.StringSliceVar(&f.Ignore, "ignore-column", nil, "leave a column out (repeatable)")
	flags.StringVar(&f.controlOverlap, "control-overlap", "infinite", `the overlap of control and training tasks whose row has none: infinite,
pool (the pool's default) or a number`)
	flags.Int64Var(&f.SkipRows, "skip-rows", 0, "leave out that many rows at the start of each file")
	flags.Int64Var(&f.LimitRows, "limit-rows", 0, "take at most that many rows of each file")
	flags.IntVar(&f.MaxCellBytes, "max-cell-bytes", reader.DefaultMaxCellBytes, "the longest cell; a row with a longer one is rejected")
	flags.IntVar(&f.MaxRecordBytes, "max-record-bytes", reader.DefaultMaxRecordBytes, "the longest row; a longer one is rejected")
}

// config returns the configuration. The error names each flag that can't be used.
func (f *readingFlags) config() (reader.Config, error) {
	c := f.Config
	var delimiter, overlap, spec error
	c.Delimiter, delimiter = parseDelimiter(f.delimiter)
	c.ControlOverlap, overlap = parseControlOverlap(f.controlOverlap)
	if f.spec != "" {
		c.Spec, spec = readSpec(f.spec)
	}
	return c, errors.Join(delimiter, overlap, spec)
}

func parseDelimiter(s string) (byte, error) {
	names := map[string]byte{"": 0, "tab": '\t', `\t`: '\t', "comma": ',', "semicolon": ';', "pipe": '|'}
	if d, ok := names[s]; ok {
		return d, nil
	}
	if len(s) == 1 && s[0] < 0x80 && s != `"` && s != "\r" && s != "\n" {
		return s[0], nil
	}
	return 0, fmt.Errorf("--delimiter is one character, or tab, comma, semicolon or pipe, not %q", s)
}

func parseControlOverlap(s string) (int, error) {
	switch s {
	case "infinite":
		return reader.ControlOverlapInfinite, nil
	case "pool":
		return reader.ControlOverlapPool, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < contract.MinOverlap || n > contract.MaxOverlap {
		return 0, fmt.Errorf("--control-overlap is infinite, pool, or a number from %d to %d, not %q", contract.MinOverlap, contract.MaxOverlap, s)
	}
	return n, nil
}

func readSpec(path string) (*reader.Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the spec can't be read: %w", err)
	}
	var spec reader.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("%s is not a spec in JSON: %s", path, jsonProblem(data, err))
	}
	if spec.Input == nil {
		return nil, fmt.Errorf(`%s has no "input_spec": a spec is {"input_spec": {field: {"type": …}}, "output_spec": {…}}`, path)
	}
	return &spec, nil
}

// apiFlags say how the server is reached and what its limits are.
type apiFlags struct {
	url, pool         string
	sandbox, emulator bool
	from              tokenFlags
	client            toloka.Config
	limits            ratelimit.Config
}

func (f *apiFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.pool, "pool", "", "the pool's id")
	f.registerServer(flags)
	flags.BoolVar(&f.emulator, "emulator", false, "use the built-in emulator, started for this run")
	f.registerLimits(flags)
}

// registerLimits registers the account's quotas, and how patient requests are.
func (f *apiFlags) registerLimits(flags *pflag.FlagSet) {
	flags.Float64Var(&f.limits.RequestsPerSecond, "requests-per-second", contract.RequestsPerSecond, "the quota of requests; 0 for none")
	flags.IntVar(&f.limits.TasksPerMinute, "tasks-per-minute", contract.TasksPerMinute, "the quota of tasks in any 60 seconds; 0 for none")
	f.registerDay(flags)
	f.registerPatience(flags)
}

// registerPatience registers how long failing requests are repeated and waited for.
func (f *apiFlags) registerPatience(flags *pflag.FlagSet) {
	flags.DurationVar(&f.client.RetryFor, "retry-for", 15*time.Minute, "how long to repeat a request that fails for a passing reason")
	flags.DurationVar(&f.client.RequestTimeout, "request-timeout", 2*time.Minute, "how long to wait for one answer")
}

// registerServer registers which server and which account.
func (f *apiFlags) registerServer(flags *pflag.FlagSet) {
	f.registerAddress(flags)
	f.from.register(flags)
	flags.StringVar(&f.client.ActUnder, "act-under-account", "", "the id of the account to act under")
}

func (f *apiFlags) registerAddress(flags *pflag.FlagSet) {
	flags.StringVar(&f.url, "url", productionURL, "the address of the API")
	flags.BoolVar(&f.sandbox, "sandbox", false, "use Toloka's testing environment, "+sandboxURL)
}

func (f *apiFlags) registerDay(flags *pflag.FlagSet) {
	flags.IntVar(&f.limits.TasksPerDay, "tasks-per-day", contract.TasksPerDay, "the quota of tasks in a day (UTC); 0 for none")
	const name = "quota-day"
	flags.DurationVar(&f.limits.Day, name, 24*time.Hour, "how long that day is, where a server for tests has another")
	flags.Lookup(name).Hidden = true
}

// address returns the server's address; the emulator has none yet.
func (f *apiFlags) address(flags *pflag.FlagSet) (string, error) {
	var servers []string
	for _, name := range []string{"url", "sandbox", "emulator"} {
		if chosen(flags, name) {
			servers = append(servers, "--"+name)
		}
	}
	if len(servers) > 1 {
		return "", fmt.Errorf("%s exclude each other", strings.Join(servers, " and "))
	}
	if f.sandbox {
		return sandboxURL, nil
	}
	return f.url, nil
}

// target returns how the API is reached, and its limits, which hold whatever the error
// is. flags knows which settings the user made.
func (f *apiFlags) target(flags *pflag.FlagSet) (toloka.Config, ratelimit.Config, error) {
	api, limits := f.client, f.limits
	var err error
	if api.BaseURL, err = f.address(flags); err != nil {
		return api, limits, err
	}
	api.UserAgent = "poolfill"
	if f.emulator {
		// It is in this process and has no account to protect; quotas in the
		// configuration file are those of an account.
		ofAccount := func(name string) bool {
			return slices.Contains([]source{fromDefault, fromFile}, originOf(flags.Lookup(name)).Source)
		}
		if ofAccount("requests-per-second") {
			limits.RequestsPerSecond = 0
		}
		if ofAccount("tasks-per-minute") {
			limits.TasksPerMinute = 0
		}
		if ofAccount("tasks-per-day") {
			limits.TasksPerDay = 0
		}
		return api, limits, nil
	}
	api.Token, err = f.from.token()
	if errors.Is(err, errNoToken) && flags.Lookup("emulator") != nil {
		err = fmt.Errorf("%w. Or try it out with --emulator", err)
	}
	api.TokenFrom = f.from.place()
	return api, limits, err
}

// outputFlags say what is shown and written.
type outputFlags struct {
	dir, progress, logFormat, logLevel string
	json                               jsonFlag
	state                              stateFlags
	grace                              time.Duration // after the first signal; 0 = no end
	live                               liveFlags
}

func (f *outputFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.dir, "out", "", "the folder for the report's files (default poolfill-runs/TIME-POOL-RUN)")
	f.state.register(flags, stateOfRuns)
	f.registerDisplay(flags)
}

func (f *outputFlags) registerDisplay(flags *pflag.FlagSet) {
	flags.BoolVar((*bool)(&f.json), "json", false, "print the report as one JSON document instead of the summary")
	f.registerProgress(flags)
}

func (f *outputFlags) registerProgress(flags *pflag.FlagSet) {
	flags.StringVar(&f.progress, "progress", "auto", "auto, bar, plain, json or none; auto is a bar on a terminal and plain lines elsewhere")
	flags.StringVar(&f.logFormat, "log-format", "console", "console or json")
	flags.StringVar(&f.logLevel, "log-level", "error", "debug, info, warn or error")
}

// display makes the progress display and the log that writes beside it. What the flags
// say was checked with all settings.
func (f *outputFlags) display(std streams) (*ui.Display, *zap.Logger) {
	kind := ui.Kind(f.progress)
	if kind == "auto" {
		kind = ui.Plain
		if isTerminal(std.err) {
			kind = ui.Bar
		}
	}
	display := ui.NewDisplay(kind, std.err)
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.RFC3339TimeEncoder
	encoder := zapcore.NewConsoleEncoder(encoding)
	if f.logFormat == "json" {
		encoder = zapcore.NewJSONEncoder(encoding)
	}
	encoder = oneLine{encoder}
	level, _ := zapcore.ParseLevel(f.logLevel)
	return display, zap.New(zapcore.NewCore(encoder, zapcore.AddSync(display), level))
}

// oneLine has messages of the log stay on their line. Its fields are JSON in any format.
type oneLine struct{ zapcore.Encoder }

// Clone is part of zapcore.Encoder.
func (e oneLine) Clone() zapcore.Encoder { return oneLine{e.Encoder.Clone()} }

// EncodeEntry is part of zapcore.Encoder.
func (e oneLine) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	entry.Message = visible.Text(entry.Message)
	return e.Encoder.EncodeEntry(entry, fields)
}

// parseMaxRejected reads the value of --max-rejected: a number or a share.
func parseMaxRejected(s string) (pipeline.MaxRejected, error) {
	if s == "" {
		return pipeline.MaxRejected{}, nil
	}
	if percent, ok := strings.CutSuffix(s, "%"); ok {
		p, err := strconv.ParseFloat(percent, 64)
		if err == nil && p >= 0 && p <= 100 {
			return pipeline.MaxRejected{Percent: p, None: p == 0}, nil
		}
	} else if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return pipeline.MaxRejected{Rows: n, None: n == 0}, nil
	}
	return pipeline.MaxRejected{}, fmt.Errorf("--max-rejected is a number of rows or a share such as 2%%, not %q", s)
}
