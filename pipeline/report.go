package pipeline

import (
	"fmt"
	"slices"
	"time"

	"poolfill/reader/verdict"
)

// State says how a run ended.
type State string

// The states of a run.
const (
	// Finished: every row was read and has its outcome.
	Finished State = "finished"
	// Stopped: a rule of the run (an invalid row, too many rejections) ended it.
	Stopped State = "stopped"
	// Interrupted: the user ended it.
	Interrupted State = "interrupted"
	// Parked: the day's quota is used up, see Quota.Until.
	Parked State = "parked"
	// Failed: something broke.
	Failed State = "failed"
	// Running is the state in a Snapshot.
	Running State = "running"
)

// ReportVersion is the version of the report's format. It goes up when a
// reader of the old format would go wrong.
const ReportVersion = 1

// Report is the result of a run. Its JSON form is report.json.
type Report struct {
	Version  int       `json:"version"`
	RunID    string    `json:"run_id"`
	State    State     `json:"state"`
	Error    string    `json:"error,omitempty"` // why the run was stopped or failed
	PoolID   string    `json:"pool_id"`
	Mode     string    `json:"mode"` // async, sync or check
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Seconds  float64   `json:"seconds"`

	Totals Totals `json:"totals"`
	// Unread says that the run ended before the inputs did: Totals has only the
	// rows that were read.
	Unread bool `json:"unread,omitempty"`
	// Earlier counts those of the created rows that an earlier run of the same
	// upload had created: the server knew their chunk already.
	Earlier    int64       `json:"earlier,omitempty"`
	Files      []File      `json:"files"`
	Rejections []Rejection `json:"rejections"`
	Warnings   []Warning   `json:"warnings"`
	Requests   Requests    `json:"requests"`
	Quota      Quota       `json:"quota"`
	// Outputs has the path of each file that the run wrote, by its kind.
	Outputs map[string]string `json:"outputs"`
	// Settings are the rules of the run, as far as people ask for them.
	Settings Settings `json:"settings"`
	// Verification is nil where the pool was not listed at the end of the run. Where it has
	// differences of its Own, the pool doesn't hold each row once.
	Verification *Verification `json:"verification,omitempty"`
	// Series is nil where the run was over before it began to send.
	Series *Series `json:"series,omitempty"`
}

// Add adds what another report counts: its rows, files, rejections, warnings and
// requests. A file that both have is one of both; rejections of one kind are one,
// with the first samples of both, and so are the warnings of one kind and file.
// There are as many kinds and samples as one run's report can have; what is beyond
// is a rejection, or a warning, of CodeOther.
func (r *Report) Add(other Report) {
	r.Totals.merge(&other.Totals)
	for _, f := range other.Files {
		i := slices.IndexFunc(r.Files, func(g File) bool { return g.Path == f.Path })
		if i < 0 {
			r.Files = append(r.Files, f)
			continue
		}
		r.Files[i].merge(&f.Totals)
	}
	r.addRejections(other.Rejections)
	r.addWarnings(other.Warnings)
	r.Requests.Sent += other.Requests.Sent
	r.Requests.Retried += other.Requests.Retried
	r.Requests.Chunks += other.Requests.Chunks
	for status, n := range other.Requests.ByStatus {
		r.Requests.ByStatus[status] += n
	}
	r.Quota.Refused += other.Quota.Refused
}

func (r *Report) addRejections(all []Rejection) {
	places := make(map[groupKey]int, len(r.Rejections))
	for i, y := range r.Rejections {
		places[keyOf(y)] = i
	}
	for _, x := range all {
		i, known := places[keyOf(x)]
		if !known && len(r.Rejections) >= maxGroups {
			x = Rejection{Code: CodeOther, Message: otherMessage, Count: x.Count, Samples: x.Samples}
			i, known = places[keyOf(x)]
		}
		if !known {
			i = len(r.Rejections)
			places[keyOf(x)] = i
			y := x
			y.Count, y.Samples = 0, nil // which are other's
			r.Rejections = append(r.Rejections, y)
		}
		y := &r.Rejections[i]
		y.Count += x.Count
		room := max(0, maxSamples-len(y.Samples))
		y.Samples = append(y.Samples, x.Samples[:min(len(x.Samples), room)]...)
	}
}

func (r *Report) addWarnings(all []Warning) {
	for _, x := range all {
		i := r.warning(x)
		if i < 0 && len(r.Warnings) >= maxGroups {
			x = Warning{Code: CodeOther, Message: "further kinds of warnings, not told apart here", Count: x.Count}
			i = r.warning(x)
		}
		if i < 0 {
			x.Lines = slices.Clone(x.Lines) // which are other's
			r.Warnings = append(r.Warnings, x)
			continue
		}
		y := &r.Warnings[i]
		y.Count += x.Count
		for _, line := range x.Lines {
			switch {
			case slices.Contains(y.Lines, line):
				y.Count-- // parts of one file have its header in common
			case len(y.Lines) < maxSamples:
				y.Lines = append(y.Lines, line)
			}
		}
	}
}

// warning returns the place of the warning of another one's kind; -1 is none.
func (r *Report) warning(of Warning) int {
	return slices.IndexFunc(r.Warnings, func(w Warning) bool { return w.File == of.File && w.Code == of.Code && w.Column == of.Column })
}

func keyOf(r Rejection) groupKey { return groupKey{verdict.Stage(r.Stage), r.Field, r.Code} }

// Totals counts rows. Rows is the sum of all the others: a run whose counts
// don't close has failed.
type Totals struct {
	Rows      int64 `json:"rows"`
	Created   int64 `json:"created"`
	Valid     int64 `json:"valid,omitempty"`
	Rejected  int64 `json:"rejected"`
	Duplicate int64 `json:"duplicate"`
	Unsent    int64 `json:"unsent"`
}

// closes reports whether every row has exactly one outcome.
func (t Totals) closes() bool {
	return t.Rows == t.Created+t.Valid+t.Rejected+t.Duplicate+t.Unsent
}

// defect is the error of counts that don't close.
func (t Totals) defect() error {
	sum := t.Created + t.Valid + t.Rejected + t.Duplicate + t.Unsent
	return fmt.Errorf("the counts don't close: %d rows were read, and %d created + %d valid + %d rejected + %d duplicate + %d unsent are %d. This is a defect of poolfill: please report it, and check the pool before you upload again",
		t.Rows, t.Created, t.Valid, t.Rejected, t.Duplicate, t.Unsent, sum)
}

func (t *Totals) merge(other *Totals) {
	t.Rows += other.Rows
	t.Created += other.Created
	t.Valid += other.Valid
	t.Rejected += other.Rejected
	t.Duplicate += other.Duplicate
	t.Unsent += other.Unsent
}

func (t *Totals) add(s verdict.Status) {
	switch s {
	case verdict.Created:
		t.Created++
	case verdict.Valid:
		t.Valid++
	case verdict.Rejected:
		t.Rejected++
	case verdict.Duplicate:
		t.Duplicate++
	case verdict.Unsent:
		t.Unsent++
	}
}

// File is one input of a run.
type File struct {
	Path string `json:"path"`
	// SHA256 is the hash of the file as it is stored; empty where the run did
	// not read it to its end.
	SHA256      string `json:"sha256"`
	Bytes       int64  `json:"bytes"`
	Compression string `json:"compression,omitempty"`
	Encoding    string `json:"encoding"`
	Delimiter   string `json:"delimiter"`
	// UnchangedSince is the finished run that has uploaded the file as it is. It
	// was not read again then, and its rows are in no count.
	UnchangedSince string `json:"unchanged_since,omitempty"`
	Totals
}

// Rejection is all rejections of one kind: same stage, field and code.
type Rejection struct {
	Stage   string   `json:"stage"`
	Field   string   `json:"field"`
	Code    string   `json:"code"`
	Message string   `json:"message"` // of the first one
	Count   int64    `json:"count"`
	Samples []string `json:"samples"` // "file:line" of the first ones
	Value   string   `json:"value,omitempty"`
	// Hint says what has probably gone wrong, and what to do. This package leaves
	// it to those that present the report.
	Hint string `json:"hint,omitempty"`
}

// Warning is something odd that stopped no row.
type Warning struct {
	File    string  `json:"file"`
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Count   int64   `json:"count"`
	Lines   []int64 `json:"lines"`
	Column  int     `json:"column,omitempty"`
}

// Settings are the rules that were in force in a run.
type Settings struct {
	// Server is the address of the API; empty where none was asked.
	Server string `json:"server,omitempty"`
	// Command continues the run, or repeats it.
	Command   string    `json:"command,omitempty"`
	ChunkSize int       `json:"chunk_size"` // tasks
	Workers   int       `json:"workers"`    // chunks uploaded at once; 0 is as many as pay
	OnInvalid OnInvalid `json:"on_invalid"`
	// MaxRejected is as the flag has it; empty where there is no bound.
	MaxRejected string `json:"max_rejected,omitempty"`
	Guard       Guard  `json:"guard"`
	OpenPool    bool   `json:"open_pool,omitempty"`
}

// Requests counts HTTP requests.
type Requests struct {
	// Sent counts every request, Retried those of them that repeat another.
	Sent    int64 `json:"sent"`
	Retried int64 `json:"retried"`
	// ByStatus counts the answers by HTTP status; what failed without an answer
	// stands under a word, such as "timeout".
	ByStatus map[string]int64 `json:"by_status"`
	Chunks   int64            `json:"chunks"`
}

// Quota says which limits held and what they cost.
type Quota struct {
	RequestsPerSecond float64 `json:"requests_per_second"`
	TasksPerMinute    int     `json:"tasks_per_minute"`
	TasksPerDay       int     `json:"tasks_per_day"`
	// Refused counts the answers 429.
	Refused int64 `json:"refused"`
	// TasksToday counts the tasks of this attempt since midnight, UTC, that count
	// against the quota of a day.
	TasksToday int `json:"tasks_today"`
	// Until is when a parked run can go on.
	Until *time.Time `json:"until,omitempty"`
}
