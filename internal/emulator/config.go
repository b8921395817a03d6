package emulator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// NoLimit as a limit means that there is none.
const NoLimit = -1

// Limits are what the emulator refuses. In each field zero means the value that
// Toloka documents and NoLimit means no limit.
type Limits struct {
	// RequestsPerSecond bounds the requests within one second; 0 means 300.
	RequestsPerSecond int
	// TasksPerMinute bounds the tasks created within any Minute; 0 means
	// 200,000.
	TasksPerMinute int
	// TasksPerDay bounds the tasks created within any Day; 0 means 4,000,000.
	TasksPerDay int
	// TasksSync bounds the tasks of one synchronous request; 0 means 5,000.
	TasksSync int
	// TasksAsync bounds the tasks of one asynchronous request; 0 means 10,000,
	// which Toloka recommends.
	TasksAsync int
	// InputBytes bounds all input_values of one request, in bytes of JSON as
	// sent; 0 means 1,048,576.
	InputBytes int
	// OutputBytes bounds all output_values of one request, in bytes of JSON as
	// sent; 0 means 4,194,304.
	OutputBytes int
	// PoolTasks bounds the tasks of one pool; 0 means 1,000,000.
	PoolTasks int
	// Minute and Day are the lengths of the two quotas' windows, so that tests
	// can be short; 0 means 60 seconds and 24 hours.
	Minute time.Duration
	Day    time.Duration
	// Calendar has the day begin at each multiple of Day (UTC), when the whole
	// quota is there again. Otherwise the day is the time up to now.
	Calendar bool
}

// Config says how the emulator behaves. The zero value is Toloka without
// faults and without delays.
type Config struct {
	// Spec is the spec of the demo project, {"input_spec": {…},
	// "output_spec": {…}} as in a project's task_spec; nil means the one in
	// State, or DemoSpec. One that differs from the one in State is an error.
	Spec json.RawMessage
	// Pools are the ids of further open pools of the demo project, such as those
	// of the account that the emulator stands in for; nil means none. Each is a
	// number from 1 to 4,294,967,294.
	Pools []string
	// Token is the only good token; empty means that any will do. A request
	// without one is refused in both cases. It never appears in an answer.
	Token string
	// Faults makes requests fail; nil means that none does.
	Faults Faults
	// Seed makes faults, delays and the order of logs repeatable for the same
	// order of requests; 0 is a seed like any other.
	Seed uint64
	// MinLatency and MaxLatency bound the delay, evenly spread, before a
	// request is looked at; zero means none. MaxLatency below MinLatency means
	// MinLatency.
	MinLatency time.Duration
	MaxLatency time.Duration
	// OperationTime is how long an operation takes from its submission to its
	// end; zero means that it has ended when it is first asked for.
	OperationTime time.Duration
	// Limits are the quotas and sizes that are refused; zero means Toloka's.
	Limits Limits
	// State is the path of a file that keeps everything over a restart; it is
	// made where it is absent. One server at a time may use it. Empty means a
	// temporary file that Close removes.
	State string
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if _, err := compileTaskSpec(c.Spec); c.Spec != nil && err != nil {
		errs = append(errs, fmt.Errorf("the demo project's spec: %w", err))
	}
	for _, id := range c.Pools {
		if n := number(id); n == 0 || n == math.MaxUint32 {
			errs = append(errs, fmt.Errorf("%q is no pool's id: it must be a number from 1 to %d", id, uint32(math.MaxUint32)-1))
		}
	}
	if err := c.Faults.validate(); err != nil {
		errs = append(errs, err)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"the smallest latency", c.MinLatency},
		{"the greatest latency", c.MaxLatency},
		{"the operation time", c.OperationTime},
		{"the length of a minute", c.Limits.Minute},
		{"the length of a day", c.Limits.Day},
	} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s is negative: %v", d.name, d.value))
		}
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	c.MaxLatency = max(c.MaxLatency, c.MinLatency)
	c.Limits = c.Limits.withDefaults()
	return c
}

func (l Limits) withDefaults() Limits {
	l.RequestsPerSecond = cmp.Or(l.RequestsPerSecond, 300)
	l.TasksPerMinute = cmp.Or(l.TasksPerMinute, 200_000)
	l.TasksPerDay = cmp.Or(l.TasksPerDay, 4_000_000)
	l.TasksSync = cmp.Or(l.TasksSync, 5_000)
	l.TasksAsync = cmp.Or(l.TasksAsync, 10_000)
	l.InputBytes = cmp.Or(l.InputBytes, 1<<20)
	l.OutputBytes = cmp.Or(l.OutputBytes, 4<<20)
	l.PoolTasks = cmp.Or(l.PoolTasks, 1_000_000)
	l.Minute = cmp.Or(l.Minute, time.Minute)
	l.Day = cmp.Or(l.Day, 24*time.Hour)
	return l
}

// exceeds reports whether n is over a limit, of which a negative one is none.
func exceeds(n, limit int) bool { return limit >= 0 && n > limit }
