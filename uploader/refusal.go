package uploader

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"poolfill/internal/contract"
	"poolfill/ratelimit"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// The codes of what is the server's own fault.
const (
	codeInternalError = "INTERNAL_ERROR"
	codeUnavailable   = "REMOTE_SERVICE_UNAVAILABLE"
)

// refused takes an answer that means that nothing was created, returns what is to
// be sent instead, and fails where that is no matter of single rows.
func (j *job) refused(s subset, err error) (rest []subset, inDoubt bool, _ error) {
	failed, ok := errors.AsType[*toloka.Error](err)
	switch {
	case !ok:
	case failed.Kind == toloka.KindTooLarge && !failed.InDoubt:
		return j.tooLarge(s, failed), false, nil
	case failed.Kind == toloka.KindInvalid && failed.Code == contract.CodeValidationError:
		rest, err = j.invalid(s, failed)
		return rest, failed.InDoubt, err
	default:
		if parts := j.fitting(s, failed); parts != nil {
			return parts, false, nil
		}
		inDoubt = failed.InDoubt
	}
	return nil, inDoubt, err
}

// fitting cuts off what the day's quota still has room for; nil where that is nothing.
//
// An operation of a part has another name than that of all rows: only a journal knows
// of it later. Without one, the rows wait for the next day together.
func (j *job) fitting(s subset, failed *toloka.Error) []subset {
	quota, ok := errors.AsType[*ratelimit.DayQuotaError](failed)
	_, forgets := j.cfg.Journal.(noJournal)
	open := j.opens(s.rows)
	if !ok || failed.InDoubt || quota.Room < 1 || quota.Room >= len(open) || forgets && j.cfg.Mode == Async {
		return nil
	}
	return []subset{only(s.chunk, open[:quota.Room]), only(s.chunk, open[quota.Room:])}
}

// tooLarge halves what the server finds too large. A single row that is too large is
// refused.
func (j *job) tooLarge(s subset, failed *toloka.Error) []subset {
	if n := len(s.rows); n > 1 {
		j.log.Warn("a request was too large and is sent in halves", zap.Int("chunk", s.chunk.Number), zap.Int("rows", n))
		return []subset{only(s.chunk, s.rows[:n/2]), only(s.chunk, s.rows[n/2:])}
	}
	j.rejected(s.rows[0], []verdict.Finding{{
		Stage:   verdict.StageServer,
		Code:    cmp.Or(failed.Code, "REQUEST_TOO_LARGE"),
		Message: fmt.Sprintf("the server finds even this row alone too large (%d bytes): shorten it", len(s.body)),
	}})
	return nil
}

// invalid takes the reasons why the server refuses rows. Rows that it doesn't
// name are sent again without the others, unless one invalid row stops all. It fails
// where the reasons are not about rows.
func (j *job) invalid(s subset, failed *toloka.Error) ([]subset, error) {
	byItem, all := failed.Findings()
	for i, findings := range byItem {
		if i < len(s.rows) {
			j.rejected(s.rows[i], findings)
		}
	}
	open := j.opens(s.rows)
	switch {
	case len(open) < len(s.rows):
		if len(open) == 0 || !j.cfg.SkipInvalid {
			return nil, nil
		}
		return []subset{only(s.chunk, open)}, nil
	case !slices.ContainsFunc(all, namesMember):
		for _, f := range all {
			if f.Path != "" {
				failed.Cause = errors.Join(failed.Cause, fmt.Errorf("%s: %s", f.Path, cmp.Or(f.Message, f.Code)))
			}
		}
		return nil, failed
	}
	if len(s.rows) > 1 {
		for i := range all {
			all[i].Message += fmt.Sprintf(" (the server refused all %d rows of the request together)", len(s.rows))
		}
	}
	for _, row := range s.rows {
		j.rejected(row, all)
	}
	return nil, nil
}

// passes reports whether findings say that the server failed, and nothing of the row.
func passes(findings []verdict.Finding) bool {
	return !slices.ContainsFunc(findings, func(f verdict.Finding) bool {
		return f.Path != "" || f.Code != codeInternalError && f.Code != codeUnavailable
	})
}

// namesMember reports whether a finding is about a member of a task. All rows have the
// same pool, so that isn't one.
func namesMember(f verdict.Finding) bool {
	member, _, _ := strings.Cut(f.Path, ".")
	switch member {
	case "input_values", "known_solutions", "baseline_solutions", "message_on_unknown_solution", "overlap", "infinite_overlap",
		"reserved_for", "unavailable_for", "traits_all_of", "traits_any_of", "traits_none_of_any":
		return true
	}
	return false
}
