package reader

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"poolfill/internal/contract"
)

// Validate reports everything that is wrong with the configuration. Whether an
// input has the columns that Map and Ignore name, and whether the charset is
// known, is seen when an input is opened.
func (c Config) Validate() error {
	var errs []error
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if d := c.Delimiter; d != 0 && (d == '"' || d == '\n' || d == '\r' || d >= utf8.RuneSelf) {
		report("the delimiter %q can't part cells: take a tab, a comma, a semicolon or another ASCII character", rune(d))
	}
	switch c.Quotes {
	case "", QuotesAuto, QuotesToloka, QuotesNone:
	default:
		report("the quote mode %s is not known: take %s, %s or %s", quoteText(string(c.Quotes)), QuotesAuto, QuotesToloka, QuotesNone)
	}
	for _, limit := range []struct {
		name  string
		value int64
	}{
		{"bytes of a cell", int64(c.MaxCellBytes)},
		{"bytes of a record", int64(c.MaxRecordBytes)},
		{"rows to skip", c.SkipRows},
		{"rows to read", c.LimitRows},
		{"goroutines that parse", int64(c.Parallel)},
	} {
		if limit.value < 0 {
			report("the limit of %s is negative: %d", limit.name, limit.value)
		}
	}
	if c.From != nil && c.SkipRows > 0 {
		report("rows to skip and a place to begin exclude each other")
	}
	if c.ControlOverlap < ControlOverlapPool || c.ControlOverlap > contract.MaxOverlap {
		report("the overlap of control tasks is %d: it must be from %d to %d, infinite or the pool's", c.ControlOverlap, contract.MinOverlap, contract.MaxOverlap)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Map)) {
		if _, problem := mapTarget(c.Map[name]); problem != nil {
			report("the column %s can't be mapped: %s", quoteText(name), problem.text)
		}
		if slices.Contains(c.Ignore, name) {
			report("the column %s is both mapped and ignored", quoteText(name))
		}
	}
	if c.Spec != nil {
		errs = append(errs, validateFields("input", c.Spec.Input), validateFields("output", c.Spec.Output))
	}
	return errors.Join(errs...)
}

func validateFields(kind string, fields map[string]FieldSpec) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if _, _, err := compileField(fields[name]); err != nil {
			errs = append(errs, fmt.Errorf("the spec of the %s field %s can't be used: %w", kind, quoteText(name), err))
		}
	}
	return errors.Join(errs...)
}
