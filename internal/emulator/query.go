package emulator

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// valueKind says how the values of a field are read and compared.
type valueKind uint8

const (
	textValue   valueKind = iota
	numberValue           // a whole number, such as the id of a pool
	timeValue
)

// listing says what can be asked of one list.
type listing struct {
	fields       map[string]valueKind
	sortable     []string
	defaultLimit int
	maxLimit     int
}

// query is what a client asks of a list.
type query struct {
	filters []filter
	sort    []sortKey
	limit   int
}

type filter struct {
	field string
	op    string // one of comparisons
	value string // as a sort key
}

type sortKey struct {
	field      string
	descending bool
}

// parse reads a query such as pool_id=1&id_gt=…&sort=-created&limit=50. What the
// list doesn't know is refused, since leaving it out would give wrong answers.
func (l listing) parse(values url.Values) (query, error) {
	q := query{limit: l.defaultLimit}
	var errs []*fieldError
	wrong := func(field string, r reason) { errs = append(errs, r.of(field)) }
	for name := range values {
		value := values.Get(name)
		switch name {
		case "limit":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > l.maxLimit {
				wrong(name, valueOutOfBounds.saying("the limit is a number from 1 to %d", l.maxLimit))
			}
			q.limit = n
		case "sort":
			for part := range strings.SplitSeq(value, ",") {
				field, descending := strings.CutPrefix(part, "-")
				if !slices.Contains(l.sortable, field) {
					wrong(name, unknownEnumValue.saying("the list can't be sorted by %q", field))
				}
				q.sort = append(q.sort, sortKey{field, descending})
			}
		default:
			f, err := l.parseFilter(name, value)
			if err != nil {
				wrong(name, valueNotAllowed.saying("%v", err))
			}
			q.filters = append(q.filters, f)
		}
	}
	if len(errs) > 0 {
		return query{}, invalid(errs...)
	}
	if len(q.sort) == 0 {
		q.sort = []sortKey{{field: "id"}}
	}
	return q, nil
}

func (l listing) parseFilter(name, value string) (filter, error) {
	f := filter{field: name}
	kind, known := l.fields[name]
	if i := strings.LastIndexByte(name, '_'); i >= 0 && !known && comparisons[name[i+1:]] != nil {
		f.field, f.op = name[:i], name[i+1:]
		kind, known = l.fields[f.field]
	}
	if !known {
		return f, fmt.Errorf("the list can't be filtered by %q", name)
	}
	var err error
	f.value, err = kind.key(value)
	return f, err
}

// of returns a value of an answer as a text that sorts as the values do; one that
// is absent sorts first.
func (k valueKind) of(f fields, name string) string {
	text := f.text(name)
	switch {
	case k == numberValue:
		n, _ := strconv.ParseUint(text, 10, 63) // the server writes no others
		return numberKey(n)
	case k == timeValue && text != "":
		return text + keyLayout[len(timeLayout):]
	}
	return text
}

// key returns a value of a query as a text that sorts as the values do.
func (k valueKind) key(value string) (string, error) {
	switch k {
	case numberValue:
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil {
			return "", fmt.Errorf("%q is no number", value)
		}
		return numberKey(n), nil
	case timeValue:
		t, err := time.Parse("2006-01-02T15:04:05", value)
		if err != nil {
			return "", fmt.Errorf("%q is no time such as 2015-12-13T23:32:01", value)
		}
		// A part of a millisecond is after it, and before the next.
		return t.Format(keyLayout), nil
	}
	return value, nil
}

// keyLayout keeps all that a client may say about a time.
const keyLayout = "2006-01-02T15:04:05.000000000"

func numberKey(n uint64) string { return fmt.Sprintf("%020d", n) }

// comparisons are the ways in which a value may compare with that of a filter.
var comparisons = map[string][]int{"": {0}, "gt": {1}, "gte": {0, 1}, "lt": {-1}, "lte": {-1, 0}}

// matches reports whether a thing whose fields key returns passes all filters.
func (q query) matches(key func(field string) string) bool {
	for _, f := range q.filters {
		if !slices.Contains(comparisons[f.op], strings.Compare(key(f.field), f.value)) {
			return false
		}
	}
	return true
}

// page answers with a part of a list that is small enough for memory.
func (l listing) page(r call, all []fields) (reply, error) {
	q, err := l.parse(r.URL.Query())
	if err != nil {
		return reply{}, err
	}
	all = slices.DeleteFunc(all, func(f fields) bool {
		return !q.matches(func(name string) string { return l.fields[name].of(f, name) })
	})
	q.sort = append(q.sort, sortKey{field: "id"})
	slices.SortFunc(all, func(a, b fields) int {
		for _, by := range q.sort {
			kind := l.fields[by.field]
			c := cmp.Compare(kind.of(a, by.field), kind.of(b, by.field))
			if by.descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return jsonReply(http.StatusOK, struct {
		Items   []fields `json:"items"`
		HasMore bool     `json:"has_more"`
	}{append([]fields{}, all[:min(q.limit, len(all))]...), len(all) > q.limit})
}
