package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"poolfill/batcher"
	"poolfill/internal/contract"
	"poolfill/pipeline"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// afternoon is when the plans of these tests begin.
var afternoon = time.Date(2026, 11, 24, 14, 0, 0, 0, time.UTC)

func TestTheScheduleFollowsTheQuotas(t *testing.T) {
	documented := ratelimit.Config{RequestsPerSecond: 300, TasksPerMinute: 200_000, TasksPerDay: 4_000_000}
	for _, c := range []struct {
		name   string
		tasks  int64
		used   int64
		chunk  int
		limits ratelimit.Config
		now    time.Time
		want   string // days, end, then the calendar
	}{
		{"nothing", 0, 0, 0, documented, afternoon, "0 days, 2026-11-24 14:00:00:"},
		{"within a minute's quota", 200_000, 0, 2000, documented, afternoon, "1 days, 2026-11-24 14:00:01: 24 200000 14:00-14:00"},
		{"one task more", 200_001, 0, 2000, documented, afternoon, "1 days, 2026-11-24 14:01:00: 24 200001 14:00-14:01"},
		{
			"ten millions", 10_000_000, 0, 2000, documented, afternoon,
			"3 days, 2026-11-26 00:09:00: 24 4000000 14:00-14:19 25 4000000 00:00-00:19 26 2000000 00:00-00:09",
		},
		{
			"of a day that is used in part", 4_000_000, 1_000_000, 2000, documented, afternoon,
			"2 days, 2026-11-25 00:04:00: 24 3000000 14:00-14:14 25 1000000 00:00-00:04",
		},
		{
			"of a day that is used up", 100, 4_000_001, 100, documented, afternoon,
			"1 days, 2026-11-25 00:00:00: 25 100 00:00-00:00 tomorrow",
		},
		{
			"shortly before midnight", 1_000_000, 0, 2000, documented, time.Date(2026, 11, 24, 23, 58, 30, 0, time.UTC),
			"2 days, 2026-11-25 00:02:00: 24 400000 23:58-23:59 25 600000 00:00-00:02",
		},
		{"no quota at all", 10_000_000, 0, 5000, ratelimit.Config{}, afternoon, "1 days, 2026-11-24 14:00:00: 24 10000000 14:00-14:00"},
		{"no daily quota", 10_000_000, 0, 2000, ratelimit.Config{TasksPerMinute: 200_000}, afternoon, "1 days, 2026-11-24 14:49:00: 24 10000000 14:00-14:49"},
		{"what fits of a chunk", 20, 0, 7, ratelimit.Config{TasksPerDay: 10}, afternoon, "2 days, 2026-11-25 00:00:00: 24 10 14:00-14:00 25 10 00:00-00:00"},
		{"the quota of requests", 100, 0, 1, ratelimit.Config{RequestsPerSecond: 1}, afternoon, "1 days, 2026-11-24 14:05:02: 24 100 14:00-14:05"},
		{"a time of another zone", 1, 0, 1, documented, afternoon.In(time.FixedZone("", 3*60*60)), "1 days, 2026-11-24 14:00:00: 24 1 14:00-14:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			counts := Counts{General: c.tasks, Largest: c.chunk, Chunks: divideUp(c.tasks, int64(max(1, c.chunk)))}
			s := schedule(c.tasks, c.used, newPace(c.limits, counts, requests(counts, uploader.Async, ratelimit.Config{})), c.now)
			got := fmt.Sprintf("%d days, %s:", s.Days, s.End.Format(time.DateTime))
			for _, day := range s.Calendar {
				got += fmt.Sprintf(" %s %d %s-%s", day.Date[len("2026-11-"):], day.Tasks, day.From.Format("15:04"), day.Until.Format("15:04"))
			}
			if s.Tomorrow {
				got += " tomorrow"
			}
			if got != c.want {
				t.Errorf("planned\n%s, want\n%s", got, c.want)
			}
			if want := s.End.Sub(c.now).Seconds(); s.Seconds != want {
				t.Errorf("%v seconds, want %v", s.Seconds, want)
			}
		})
	}
}

func TestTheScheduleOfYearsIsNotLaidOutDayByDay(t *testing.T) {
	for tasks, want := range map[int64]string{
		60:            "60 days, 2027-01-22, 60 listed",
		61:            "61 days, 2027-01-23, 60 listed",
		1_000:         "1000 days, 2029-08-19, 60 listed",
		4_000_000:     "4000000 days, never, 60 listed",
		1 << 62:       fmt.Sprintf("%d days, never, 60 listed", int64(1<<62)),
		1_000_000_000: "1000000000 days, never, 60 listed",
	} {
		s := schedule(tasks, 0, pace{perDay: 1}, afternoon)
		end := "never"
		if s.End != nil {
			end = s.End.Format(time.DateOnly)
		}
		if got := fmt.Sprintf("%d days, %s, %d listed", s.Days, end, len(s.Calendar)); got != want {
			t.Errorf("%d tasks: %s, want %s", tasks, got, want)
		}
		if _, err := json.Marshal(s); err != nil {
			t.Errorf("%d tasks: %v", tasks, err)
		}
	}
}

func TestPoolsAreAsManyAsTheTasksNeed(t *testing.T) {
	for _, c := range []struct{ tasks, room, want int64 }{
		{0, 1_000_000, 0},
		{1, 1_000_000, 1},
		{1_000_000, 1_000_000, 1},
		{1_000_001, 1_000_000, 2},
		{10_000_000, 1_000_000, 10},
		{10_000_000, 999_999, 11},
		{5, 0, 1},
		{5, 4, 2},
	} {
		if got := pools(c.tasks, c.room); got != c.want {
			t.Errorf("%d tasks, room for %d: %d pools, want %d", c.tasks, c.room, got, c.want)
		}
	}
}

// poolOf reads a pool as the server has it.
func poolOf(t *testing.T, text string) toloka.Pool {
	t.Helper()
	var p toloka.Pool
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheCostIsExact(t *testing.T) {
	const tens = `{"id":"7","mixer_config":{"real_tasks_count":10},"reward_per_assignment":0.013,"defaults":{"default_overlap_for_new_tasks":3}}`
	for _, c := range []struct {
		name, pool string
		counts     Counts
		balance    json.Number
		want       string
	}{
		{"a whole number of suites", tens, Counts{General: 100, DefaultOverlap: 100}, "1000", "30 × 0.013 = 0.39 of 1000.00"},
		{"one that isn't full", tens, Counts{General: 101, DefaultOverlap: 101}, "", "31 × 0.013 = 0.403"},
		{"overlaps of their own", tens, Counts{General: 3, Overlap: 50, DefaultOverlap: 1}, "", "6 × 0.013 = 0.078"},
		{"a balance that is too low", tens, Counts{General: 10_000_000, DefaultOverlap: 10_000_000}, "38000.5", "3000000 × 0.013 = 39000.00 of 38000.50, missing 999.50"},
		{"tasks without an end", tens, Counts{General: 11, DefaultOverlap: 10, InfiniteOverlap: 1}, "", "at least 3 × 0.013 = 0.039"},
		{"control tasks alone", tens, Counts{Control: 9}, "1", "0 × 0.013 = 0.00 of 1.00"},
		{"a reward as a text, in another notation", strings.Replace(tens, "0.013", `"1e-2"`, 1), Counts{General: 10, DefaultOverlap: 10}, "0.001", "3 × 0.01 = 0.03 of 0.001, missing 0.029"},
		{"a huge exponent", strings.Replace(tens, "0.013", "1e-999999999", 1), Counts{General: 10, DefaultOverlap: 10}, "1e999999999", "3 × 0.00 = 0.00"},
		{"no reward", strings.Replace(tens, "0.013", "null", 1), Counts{General: 10, DefaultOverlap: 10}, "", ""},
		{"no suites", strings.Replace(tens, "10", "0", 1), Counts{General: 10, DefaultOverlap: 10}, "", ""},
		{"no overlap", `{"mixer_config":{"real_tasks_count":10},"reward_per_assignment":1}`, Counts{General: 10, DefaultOverlap: 10}, "", ""},
		{"no mixer", `{"reward_per_assignment":1}`, Counts{}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if cost := cost(c.counts, poolOf(t, c.pool), c.balance); cost != nil {
				got = fmt.Sprintf("%d × %s = %s", cost.Assignments, cost.Reward, cost.Amount)
				if cost.AtLeast {
					got = "at least " + got
				}
				if cost.Balance != "" {
					got += " of " + cost.Balance.String()
				}
				if cost.Missing != "" {
					got += ", missing " + cost.Missing.String()
				}
			}
			if got != c.want {
				t.Errorf("it costs %q, want %q", got, c.want)
			}
		})
	}
}

// codes returns those of remarks.
func codes(remarks []Remark) (all []string) {
	for _, r := range remarks {
		all = append(all, r.Code)
	}
	return all
}

func TestProblemsAndNotes(t *testing.T) {
	const good = `"mixer_config":{"real_tasks_count":9,"golden_tasks_count":1},"reward_per_assignment":1,"defaults":{"default_overlap_for_new_tasks":1}`
	full := int64(contract.MaxPoolTasks)
	fine := Counts{General: 90, DefaultOverlap: 90, Control: 10, Chunks: 1, Largest: 100}
	for _, c := range []struct {
		name, pool      string
		counts          Counts
		in              *int64
		balance         json.Number
		failed          error
		problems, notes []string
	}{
		{name: "none", pool: `{"id":"7","status":"OPEN",` + good + `}`, counts: fine, balance: "10"},
		{name: "no pool", counts: fine},
		{name: "archived", pool: `{"status":"ARCHIVED",` + good + `}`, counts: fine, problems: []string{"INAPPROPRIATE_STATUS"}},
		{
			name: "archived and without a mixer", pool: `{"status":"ARCHIVED","mixer_config":null}`, counts: fine,
			problems: []string{"INAPPROPRIATE_STATUS", "MIXER_CONFIG_REQUIRED"},
		},
		{name: "locked", pool: `{"status":"LOCKED",` + good + `}`, counts: fine, notes: []string{"POOL_LOCKED"}},
		{
			name: "a training pool", pool: `{"type":"TRAINING",` + good + `}`, problems: []string{"TRAINING_POOL"},
			failed: &pipeline.SetupError{Err: &pipeline.PoolProblem{Code: "TRAINING_POOL", Message: "no HINT"}},
		},
		{
			name: "a training pool for training tasks", pool: `{"type":"TRAINING","mixer_config":{"training_tasks_count":5}}`,
			counts: Counts{Training: 3, Chunks: 1, Largest: 3},
		},
		{name: "full", pool: `{` + good + `}`, counts: fine, in: &full, problems: []string{"POOL_TASKS_COUNT_EXCEEDED"}},
		{name: "few control tasks", pool: `{` + good + `}`, counts: Counts{General: 99, Control: 1}, notes: []string{"CONTROL_SHARE"}},
		{name: "1% is enough in a large pool", pool: `{` + good + `}`, counts: Counts{General: 9900, Control: 100}},
		{name: "less than 1%", pool: `{` + good + `}`, counts: Counts{General: 9901, Control: 99}, notes: []string{"CONTROL_SHARE"}},
		{
			name: "no control tasks, and the suites want them", pool: `{` + good + `}`, counts: Counts{General: 100},
			notes: []string{"CONTROL_SHARE", "MIXER_MISMATCH"},
		},
		{
			name: "control tasks that no suite shows", pool: `{"mixer_config":{"real_tasks_count":9}}`, counts: fine,
			notes: []string{"MIXER_MISMATCH"},
		},
		{
			name: "too little money, and no end", pool: `{` + good + `}`, counts: Counts{General: 90, DefaultOverlap: 89, InfiniteOverlap: 1, Control: 10}, balance: "9.99",
			notes: []string{"OVERLAP_INFINITE", "BALANCE_TOO_LOW"},
		},
		{
			name: "headers that don't fit", pool: `{` + good + `}`,
			failed: &pipeline.SetupError{Err: errors.Join(
				&reader.InputError{File: "a.tsv", Findings: []verdict.Finding{{Line: 1, Column: 2, Code: "VALUE_NOT_ALLOWED"}, {Line: 1, Code: "VALUE_REQUIRED"}}},
				&reader.InputError{File: "b.tsv", Findings: []verdict.Finding{{Code: "EMPTY_FILE"}}},
				errors.New("no such file"),
			)},
			problems: []string{"VALUE_NOT_ALLOWED", "VALUE_REQUIRED", "EMPTY_FILE", "INPUT_UNREADABLE"},
		},
		{
			name:     "a project that isn't shown",
			failed:   &pipeline.SetupError{Err: &toloka.Error{Status: 403, Code: "ACCESS_DENIED"}},
			problems: []string{"ACCESS_DENIED"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Facts{Counts: c.counts, Mode: uploader.Async, Now: afternoon, PoolTasks: c.in, Balance: c.balance, Failed: c.failed}
			if c.pool != "" {
				pool := poolOf(t, c.pool)
				f.Pool = &pool
			}
			p := Make(f)
			if got := codes(p.Problems); !slices.Equal(got, c.problems) {
				t.Errorf("problems %v, want %v", p.Problems, c.problems)
			}
			if got := codes(p.Notes); !slices.Equal(got, c.notes) {
				t.Errorf("notes %v, want %v", p.Notes, c.notes)
			}
		})
	}
}

func TestANoteOfASingleTask(t *testing.T) {
	pool := poolOf(t, `{"mixer_config":{"real_tasks_count":9}}`)
	p := Make(Facts{Counts: Counts{General: 1}, Mode: uploader.Async, Now: afternoon, Pool: &pool})
	if len(p.Notes) == 0 || !strings.HasPrefix(p.Notes[0].Message, "0% of the tasks are control tasks (0 of 1): Toloka advises") {
		t.Errorf("the notes are %v", p.Notes)
	}
}

func TestCountsOfAChunk(t *testing.T) {
	b, err := batcher.New(batcher.Config{PoolID: "7", MaxTasks: 4})
	if err != nil {
		t.Fatal(err)
	}
	var c Counts
	for i, task := range []reader.Task{
		{Kind: reader.General},
		{Kind: reader.General, Overlap: 5},
		{Kind: reader.General, Overlap: reader.InfiniteOverlap},
		{Kind: reader.Control, Overlap: reader.InfiniteOverlap},
		{Kind: reader.Training, Overlap: 3},
		{Kind: reader.General, Overlap: 30_000},
	} {
		task.JSON, task.InputBytes, task.OutputBytes = []byte(`"input_values":{}`), 2+i, i
		if full, rejected := b.Add(task); rejected != nil {
			t.Fatal(rejected)
		} else if full != nil {
			c.Add(full)
		}
	}
	last := b.Flush()
	c.Add(last)
	want := Counts{
		General: 4, Control: 1, Training: 1, Chunks: 2, Largest: 4, InputBytes: 27, OutputBytes: 15,
		Overlap: 30_005, DefaultOverlap: 1, InfiniteOverlap: 1, BodyBytes: c.BodyBytes,
	}
	if c != want || c.Tasks() != 6 {
		t.Errorf("counted %+v, want %+v", c, want)
	}
	if one := int64(len(`{"pool_id":"7","input_values":{}}`)); c.BodyBytes != 6*one+4+2*2 {
		t.Errorf("%d bytes", c.BodyBytes)
	}
}

func TestAPlanHasNoNullLists(t *testing.T) {
	text, err := json.Marshal(Make(Facts{Now: afternoon}))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"problems", "notes", "files", "rejections", "warnings", "calendar"} {
		if !strings.Contains(string(text), `"`+list+`":[]`) {
			t.Errorf("%s is no empty list in %s", list, text)
		}
	}
}
