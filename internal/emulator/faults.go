package emulator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The faults that have a name. Besides them a status from 400 to 599, such as
// "500", answers with Toloka's error and does nothing, and a status followed by
// "html", such as "502html", answers with a web page, as proxies do.
const (
	FaultLost    = "lost"    // the request is carried out, the connection is closed without an answer
	FaultReset   = "reset"   // the connection is reset and nothing is done
	FaultTrunc   = "trunc"   // the request is carried out, the answer breaks off in its middle
	FaultSlow    = "slow"    // the answer comes late, by Fault.Delay
	FaultHang    = "hang"    // no answer until the client or the server goes away; nothing is done
	Fault429     = "429"     // too many requests, with Retry-After: 1 or without a hint
	Fault429Min  = "429min"  // the quota of a minute
	Fault429Hour = "429hour" // the quota of an hour
	Fault429Day  = "429day"  // the quota of a day

	// These are of asynchronous POST /tasks. The request is answered as accepted.
	FaultOpFail   = "opfail"   // the operation ends in FAIL and creates nothing; its id is burnt
	FaultOpStuck  = "opstuck"  // the operation stays RUNNING for ever and creates nothing
	FaultOpVanish = "opvanish" // the operation is forgotten at once: nothing is created, its id is free again

	// These are of the log of an operation that has ended.
	FaultLogArchived = "logarchived" // OPERATION_LOGS_ARCHIVED, for this operation from now on
	FaultLogLacks    = "loglacks"    // entries lack the first time that the log is read, never after it
)

// DefaultSlowDelay is the delay of the fault "slow" that names none.
const DefaultSlowDelay = time.Second

// The kinds of requests that a fault can be restricted to.
const (
	scopePost      = "post"      // POST /tasks
	scopeList      = "list"      // GET /tasks and GET /tasks/{id}
	scopeOperation = "operation" // GET /operations and GET /operations/{id}
	scopeLog       = "log"       // GET /operations/{id}/log
	scopePool      = "pool"      // everything under /pools
	scopeProject   = "project"   // everything under /projects
	scopeOther     = "other"     // all else
)

var (
	faultNames = []string{
		FaultLost, FaultReset, FaultTrunc, FaultSlow, FaultHang, Fault429, Fault429Min, Fault429Hour, Fault429Day,
		FaultOpFail, FaultOpStuck, FaultOpVanish, FaultLogArchived, FaultLogLacks,
	}
	faultScopes = []string{scopePost, scopeList, scopeOperation, scopeLog, scopePool, scopeProject, scopeOther}
	// ownScopes are the only kinds of requests that some faults can meet.
	ownScopes = map[string]string{
		FaultOpFail: scopePost, FaultOpStuck: scopePost, FaultOpVanish: scopePost,
		FaultLogArchived: scopeLog, FaultLogLacks: scopeLog,
	}
)

// Fault is one way to fail.
type Fault struct {
	// Scope is the kind of request that fails: post, list, operation, log,
	// pool, project or other; empty means every request that the fault can meet.
	Scope string
	// Name is one of the fault names, a status, or a status with "html".
	Name string
	// Probability is the share of the requests that fail so, from 0 to 1.
	Probability float64
	// Delay is how late the fault "slow" makes the answer; 0 means
	// DefaultSlowDelay. Other faults have none.
	Delay time.Duration
}

// String returns the fault as ParseFaults reads it.
func (f Fault) String() string {
	text := f.Name + "=" + strconv.FormatFloat(f.Probability, 'g', -1, 64)
	if f.Scope != "" {
		text = f.Scope + ":" + text
	}
	if f.Delay != 0 {
		text += ":" + f.Delay.String()
	}
	return text
}

// Faults is a fault script. A request meets at most one of its faults, so the
// probabilities that apply to one kind of request sum up to at most 1.
type Faults []Fault

// String returns the script as ParseFaults reads it.
func (fs Faults) String() string {
	parts := make([]string, len(fs))
	for i, f := range fs {
		parts[i] = f.String()
	}
	return strings.Join(parts, ",")
}

// ParseFaults reads a fault script: name=probability, separated by commas, as in
// "lost=0.1,502html=0.05,slow=0.1:2s". A name can be restricted to one kind of
// request, as in "post:lost=0.1". The error names every part that can't be read
// and the names that are known. An empty script has no faults.
func ParseFaults(s string) (Faults, error) {
	var (
		faults Faults
		errs   []error
	)
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			f, err := parseFault(part)
			faults, errs = append(faults, f), append(errs, err)
		}
	}
	err := errors.Join(errs...)
	if err == nil {
		err = faults.validate()
	}
	if err != nil {
		return nil, err
	}
	return faults, nil
}

func parseFault(part string) (Fault, error) {
	name, value, ok := strings.Cut(part, "=")
	if !ok {
		return Fault{}, fmt.Errorf("fault %q has no probability: write name=probability, such as %s=0.1", part, FaultLost)
	}
	var f Fault
	if scope, rest, scoped := strings.Cut(name, ":"); scoped {
		f.Scope, name = scope, rest
	}
	f.Name = name
	probability, delay, delayed := strings.Cut(value, ":")
	var err error
	if f.Probability, err = strconv.ParseFloat(probability, 64); err != nil {
		return Fault{}, fmt.Errorf("fault %q: %q is no probability, write a number from 0 to 1", part, probability)
	}
	if delayed {
		if f.Delay, err = time.ParseDuration(delay); err != nil {
			return Fault{}, fmt.Errorf("fault %q: %q is no duration, write one such as 2s", part, delay)
		}
	}
	return f, f.validate()
}

func (f Fault) validate() error {
	if f.Scope != "" && !slices.Contains(faultScopes, f.Scope) {
		return fmt.Errorf("fault %q: no requests are called %q; they are %s", f, f.Scope, strings.Join(faultScopes, ", "))
	}
	if _, _, ok := f.status(); !ok && !slices.Contains(faultNames, f.Name) {
		return fmt.Errorf("there is no fault %q; the faults are %s, a status from 400 to 599, and a status with html such as 502html",
			f.Name, strings.Join(faultNames, ", "))
	}
	// The comparison is written so that NaN is refused as well.
	if !(f.Probability >= 0 && f.Probability <= 1) {
		return fmt.Errorf("fault %q: the probability is not from 0 to 1", f)
	}
	if own := f.ownScope(); own != "" && f.Scope != "" && f.Scope != own {
		return fmt.Errorf("fault %q: %s meets only %s requests", f, f.Name, own)
	}
	if f.Delay < 0 || f.Delay > 0 && f.Name != FaultSlow {
		return fmt.Errorf("fault %q: only %s has a delay, and it is positive", f, FaultSlow)
	}
	return nil
}

func (fs Faults) validate() error {
	var errs []error
	for _, f := range fs {
		errs = append(errs, f.validate())
	}
	for _, scope := range faultScopes {
		sum := 0.0
		for _, f := range fs {
			if f.applies(scope) {
				sum += f.Probability
			}
		}
		// Ten times 0.1 is a little over 1 in binary.
		if sum > 1+1e-9 {
			errs = append(errs, fmt.Errorf("the probabilities of the faults of %q requests sum up to %g, which is over 1", scope, sum))
			break
		}
	}
	return errors.Join(errs...)
}

// applies reports whether the fault can meet requests of a kind.
func (f Fault) applies(scope string) bool {
	if own := f.ownScope(); own != "" {
		return scope == own
	}
	return f.Scope == "" || f.Scope == scope
}

// ownScope returns the only kind of requests that a fault can meet; empty where
// it can meet all.
func (f Fault) ownScope() string { return ownScopes[f.Name] }

// status returns the status that a fault is named by, if it is.
func (f Fault) status() (status int, html, ok bool) {
	digits, html := strings.CutSuffix(f.Name, "html")
	status, err := strconv.Atoi(digits)
	if err != nil || len(digits) != 3 || status < 400 || status > 599 || status == 429 && !html {
		return 0, false, false
	}
	return status, html, true
}

// draw picks the fault of one request; one without a name is none. It takes
// exactly one number from rnd, whatever the script, so that one request never
// shifts the luck of the next.
func (fs Faults) draw(scope string, rnd *rand.Rand) Fault {
	u := rnd.Float64()
	for _, f := range fs {
		if !f.applies(scope) {
			continue
		}
		if u < f.Probability {
			return f
		}
		u -= f.Probability
	}
	return Fault{}
}
