package uploader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-faster/jx"

	"poolfill/internal/contract"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

const (
	// maxNesting bounds how deep the errors of a row are looked for.
	maxNesting = 8
	// maxDetails bounds what is kept of an operation's details.
	maxDetails = 4 << 10
)

// The types of log entries that say something about a task.
const (
	entryValidate = "TASK_VALIDATE"
	entryCreate   = "TASK_CREATE"
)

// itemIndex is the key that the log of an operation echoes of each task.
const itemIndex = "__item_idx"

// The bounds of what a decoder keeps for the next answer: bytes, and tasks.
const (
	maxKept       = 2 << 20
	maxKeptPlaces = 20_000
)

// decoders lends out decoders with their buffers.
type decoders struct{ pool sync.Pool }

// decoder reads one answer.
type decoder struct {
	scanner
	shapes shapes
	tasks  int    // that the answer is about, as far as is known
	ids    []byte // of the created tasks, one after the other
	placed []placed
}

// placed says that the task with an index was created. Its id is a part of
// decoder.ids.
type placed struct{ index, start, end int }

// with walks through an answer about so many tasks, which must be one value. Once it
// is known to be whole, take is called, unless it is nil.
func (p *decoders) with(r io.Reader, tasks int, walk func(*decoder) error, take func(*decoder)) error {
	d, ok := p.pool.Get().(*decoder)
	if !ok {
		d = &decoder{}
	}
	d.reset(r)
	d.shapes.forget()
	d.tasks, d.ids, d.placed = tasks, d.ids[:0], d.placed[:0]
	defer func() {
		d.r = nil
		if cap(d.buf)+cap(d.unescaped)+cap(d.ids) <= maxKept && cap(d.placed) <= maxKeptPlaces {
			p.pool.Put(d)
		}
	}()
	err := walk(d)
	if err == nil {
		err = d.end()
	}
	if err == nil && take != nil {
		take(d)
	}
	return err
}

// addID keeps the id of a created task until the answer is known to be whole.
func (d *decoder) addID(index int, id []byte) {
	if len(d.placed) == 0 { // most tasks are created, with ids of the same length
		d.ids, d.placed = slices.Grow(d.ids, min(d.tasks*len(id), maxKept)), slices.Grow(d.placed, d.tasks)
	}
	start := len(d.ids)
	d.ids = append(d.ids, id...)
	d.placed = append(d.placed, placed{index, start, len(d.ids)})
}

// each gives the created tasks, index and id. The ids are parts of one string.
func (d *decoder) each(yield func(int, string) bool) {
	ids := string(d.ids)
	for _, t := range d.placed {
		if !yield(t.index, ids[t.start:t.end]) {
			return
		}
	}
}

// operation reads an operation.
func (p *decoders) operation(r io.Reader) (toloka.Operation, error) {
	var op toloka.Operation
	err := p.with(r, 0, func(d *decoder) error {
		return d.object(func(key []byte) error {
			var field *string
			switch string(key) {
			case "details":
				raw, err := d.raw()
				if len(raw) <= maxDetails && string(raw) != "null" {
					op.Details = bytes.Clone(raw)
				}
				return err
			case "id":
				field = &op.ID
			case "type":
				field = &op.Type
			case "status":
				field = &op.Status
			}
			if field == nil || !d.at('"') {
				return d.skip()
			}
			text, err := d.text()
			*field = string(text)
			return err
		})
	}, nil)
	if err == nil && op.Status == "" {
		err = errors.New("the answer is no operation")
	}
	return op, err
}

// logEntry is what an operation's log says about one task.
type logEntry struct {
	created  bool // else it was refused
	taskID   string
	findings []verdict.Finding

	index int // of the task, as it was sent; -1 where the log doesn't say
	key   Key // of the task, where there is no index or keys are asked for
}

// log reads the log of an operation with n tasks. Once it is known to be whole, take
// gets the entries that say that a task was created or refused; all others are passed
// over. The tasks that were created and have an index come first, unless keys
// are asked for: they are nearly all of nearly all logs, and only their ids are
// kept until then.
func (p *decoders) log(r io.Reader, n int, keys bool, sent sent, take func(iter.Seq[logEntry])) error {
	var others []logEntry
	return p.with(r, n, func(d *decoder) error {
		return d.array(func() error {
			d.keep = -1 // of the entry before, nothing is needed any more
			if known := (alike{}); !keys && d.alike(-1, sent, &known) {
				if known.id != nil {
					d.addID(known.index, known.id)
				}
				return nil
			}
			e, err := d.entry()
			if err != nil {
				return err
			}
			if e.kind == "" || e.kind == entryValidate && e.success {
				d.learn(e, sent)
				return nil
			}
			created := e.kind == entryCreate && e.success
			var id []byte
			if created && e.id != (span{}) && d.bytes(e.id)[0] == '"' {
				if id, err = d.unquote(d.bytes(e.id)); err != nil {
					return err
				}
			}
			if created && e.index >= 0 && !keys {
				d.addID(e.index, id)
				d.learn(e, sent)
				return nil
			}
			other := logEntry{created: created, taskID: string(id), index: e.index}
			if !other.identify(d.bytes(e.input), keys) {
				return nil
			}
			if !created {
				other.findings = fieldFindings(d.bytes(e.output))
			}
			others = append(others, other)
			return nil
		})
	}, func(d *decoder) {
		take(func(yield func(logEntry) bool) {
			for index, id := range d.each {
				if !yield(logEntry{created: true, taskID: id, index: index}) {
					return
				}
			}
			for _, e := range others {
				if !yield(e) {
					return
				}
			}
		})
	})
}

// scannedEntry is an entry of a log, with the spans of what tells more. A span
// is zero where there is no such thing.
type scannedEntry struct {
	kind    string // one of the types of entries, or empty
	success bool
	index   int

	whole   span
	kindAt  span
	input   span // the task, if it is an object
	indexAt span // in the input
	output  span
	id      span // in the output
}

// identify gives an entry the key of its task, where there is no index or keys
// are asked for, and reports whether it is about a task at all.
func (e *logEntry) identify(input []byte, keys bool) bool {
	if len(input) > 0 && (keys || e.index < 0) && bytes.Contains(input, []byte(`"input_values"`)) {
		var err error
		if e.key, err = ContentKey(input); err == nil {
			return true
		}
	}
	return e.index >= 0
}

// indexOf reads an index, a number or a string; -1 where it is neither.
func indexOf(raw []byte) int {
	n, err := strconv.Atoi(string(bytes.Trim(raw, `"`)))
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// entry takes an entry of a log. Its spans are kept until the next entry.
func (d *decoder) entry() (scannedEntry, error) {
	e := scannedEntry{index: -1}
	d.keep = d.place()
	e.whole.start = d.keep
	err := d.object(func(key []byte) error {
		switch start := d.place(); string(key) {
		case "type":
			e.kind, e.kindAt = "", span{}
			if !d.at('"') {
				break
			}
			kind, err := d.text()
			switch string(kind) {
			case entryCreate:
				e.kind = entryCreate
			case entryValidate:
				e.kind = entryValidate
			}
			e.kindAt = d.since(start)
			return err
		case "success":
			raw, err := d.raw()
			e.success = string(raw) == "true"
			return err
		case "input":
			e.index, e.input, e.indexAt = -1, span{}, span{}
			if !d.at('{') {
				break
			}
			index, err := d.member(itemIndex)
			if e.input = d.since(start); err == nil && index != (span{}) {
				e.index, e.indexAt = indexOf(d.bytes(index)), index
			}
			return err
		case "output":
			e.id = span{}
			var err error
			if d.at('{') {
				e.id, err = d.member("task_id")
			} else {
				err = d.skip()
			}
			e.output = d.since(start)
			return err
		}
		return d.skip()
	})
	e.whole.end = d.place()
	return e, err
}

// alike takes a value that has the shape of an earlier one.
func (d *decoder) alike(index int, sent sent, a *alike) bool {
	if !d.shapes.useful() || !d.shapes.match(d.buf[d.head:d.tail], index, sent, a) {
		return false
	}
	d.head += a.size
	return true
}

// learn makes others know the shape of an entry that tells of one task's creation, or of
// nothing.
func (d *decoder) learn(e scannedEntry, sent sent) {
	created := e.kind == entryCreate
	marks := make([]mark, 0, 4)
	if e.kindAt != (span{}) {
		marks = append(marks, mark{e.kindAt, theKind})
	}
	if created {
		if e.id == (span{}) || d.bytes(e.id)[0] != '"' {
			return
		}
		marks = append(marks, mark{e.indexAt, theIndex}, mark{e.id, theID})
		if inputs := d.find(e.input, sent, e.index); inputs.start > e.indexAt.start {
			marks = append(marks, mark{inputs, theInputs})
		}
	}
	d.shapes.learn(d.bytes(e.whole), e.whole.start, marks...)
}

// find gives the place in a kept span of the inputs of a task, where they stand there as
// they were sent.
func (d *decoder) find(in span, sent sent, index int) span {
	if sent == nil {
		return span{}
	}
	inputs := sent(index)
	at := bytes.Index(d.bytes(in), inputs)
	if len(inputs) == 0 || at < 0 {
		return span{}
	}
	return span{in.start + at, in.start + at + len(inputs)}
}

// sent gives the member input_values of a task as it was sent; nil for an index
// that no task has. A server that repeats tasks mostly does so to the letter.
type sent func(index int) []byte

// created reads the answer to a synchronous upload of n tasks. Once it is known
// to be whole, it gives the tasks that were created, by their place, and after
// them those that were refused.
func (p *decoders) created(r io.Reader, n int, sent sent, created func(i int, id string), refused func(i int, errs []verdict.Finding)) error {
	var refusals map[int][]verdict.Finding
	named := false
	place := func(key []byte) (int, error) {
		i, err := strconv.Atoi(string(key))
		if err != nil || i < 0 || i >= n {
			return 0, fmt.Errorf("the answer names item %q of %d items", cut(string(key), 40), n)
		}
		return i, nil
	}
	return p.with(r, n, func(d *decoder) error {
		err := d.object(func(section []byte) error {
			items := string(section) == "items"
			if !items && string(section) != "validation_errors" || !d.at('{') {
				return d.skip()
			}
			named = true
			return d.object(func(key []byte) error {
				i, err := place(key)
				if err != nil {
					return err
				}
				if items {
					return d.item(i, sent)
				}
				raw, err := d.raw()
				if err != nil {
					return err
				}
				if refusals == nil {
					refusals = map[int][]verdict.Finding{}
				}
				refusals[i] = fieldFindings(raw)
				return nil
			})
		})
		if err == nil && !named {
			err = errors.New("the answer has neither items nor errors")
		}
		return err
	}, func(d *decoder) {
		for i, id := range d.each {
			created(i, id)
		}
		for i, errs := range refusals {
			refused(i, errs)
		}
	})
}

// item takes a created task, of which only the id is wanted.
func (d *decoder) item(index int, sent sent) error {
	if !d.at('{') {
		return errors.New("an item of the answer is no task")
	}
	if known := (alike{}); d.alike(index, sent, &known) {
		d.addID(index, known.id)
		return nil
	}
	start, before := d.hold()
	value, err := d.member("id")
	if quoted := d.bytes(value); err == nil && len(quoted) > 0 && quoted[0] == '"' {
		var id []byte
		if id, err = d.unquote(quoted); err == nil {
			d.addID(index, id)
			item := d.since(start)
			marks := []mark{{value, theID}}
			if inputs := d.find(item, sent, index); inputs != (span{}) {
				marks = append(marks, mark{inputs, theInputs})
			}
			d.shapes.learn(d.bytes(item), start, marks...)
		}
	}
	d.keep = before
	return err
}

// tasks reads a page of a pool's tasks.
func (p *decoders) tasks(r io.Reader, task func(Task)) (more bool, err error) {
	listed := false
	err = p.with(r, 0, func(d *decoder) error {
		err := d.object(func(key []byte) error {
			switch {
			case string(key) == "has_more":
				raw, err := d.raw()
				more = string(raw) == "true"
				return err
			case string(key) == "items" && d.at('['):
				listed = true
				return d.array(func() error {
					raw, err := d.raw()
					if err != nil {
						return err
					}
					id, err := taskID(raw)
					if err != nil {
						return err
					}
					content, err := ContentKey(raw)
					if err == nil {
						task(Task{Index: -1, Key: content, ID: id})
					}
					return err
				})
			}
			return d.skip()
		})
		if err == nil && !listed {
			err = errors.New("the answer has no items")
		}
		return err
	}, nil)
	return more, err
}

func taskID(task []byte) (string, error) {
	var id string
	err := jx.DecodeBytes(task).ObjBytes(func(d *jx.Decoder, key []byte) error {
		if string(key) != "id" {
			return d.Skip()
		}
		var err error
		id, err = d.Str()
		return err
	})
	if err == nil && id == "" {
		err = errors.New("a task has no id")
	}
	return id, err
}

// itemErrors reads the payload of a VALIDATION_ERROR. The server has several
// shapes for it: errors keyed by the item's place ({"3": {field: error}}), by
// place and field ({"3.field": error}), and flat ({field: error}), where it
// doesn't say which item they belong to.
func itemErrors(payload []byte) (byItem map[int][]verdict.Finding, flat []verdict.Finding) {
	byItem = map[int][]verdict.Finding{}
	d := jx.DecodeBytes(payload)
	if d.Next() != jx.Object {
		return byItem, nil
	}
	// Of a payload that is cut off, what was read is good.
	_ = d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		name := string(key)
		raw, err := d.Raw()
		if err != nil {
			return err
		}
		if name == "validation_errors" && raw.Type() == jx.Object {
			inner, innerFlat := itemErrors(raw)
			for i, errs := range inner {
				byItem[i] = append(byItem[i], errs...)
			}
			flat = append(flat, innerFlat...)
			return nil
		}
		place, field, _ := strings.Cut(name, ".")
		if i, err := strconv.Atoi(place); err == nil && i >= 0 {
			byItem[i] = append(byItem[i], leaves(field, raw, 0)...)
		} else {
			flat = append(flat, leaves(name, raw, 0)...)
		}
		return nil
	})
	return byItem, flat
}

// fieldFindings reads the errors of one item, {field: {code, message}} or just
// {code, message}. It gives at least one.
func fieldFindings(raw []byte) []verdict.Finding {
	if errs := leaves("", raw, 0); len(errs) > 0 {
		return errs
	}
	return []verdict.Finding{{Stage: verdict.StageServer, Code: contract.CodeValidationError, Message: "the server gave no reason"}}
}

// leaves collects the errors within a value, naming fields by their path.
func leaves(field string, raw []byte, depth int) []verdict.Finding {
	d := jx.DecodeBytes(raw)
	switch d.Next() {
	case jx.String:
		if text, err := d.Str(); err == nil && text != "" {
			return []verdict.Finding{{Stage: verdict.StageServer, Path: field, Code: contract.CodeValidationError, Message: cut(text, maxText)}}
		}
		return nil
	case jx.Array, jx.Object:
	default:
		return nil
	}
	if depth == maxNesting {
		return nil
	}
	var errs []verdict.Finding
	if d.Next() == jx.Array {
		// What can't be read is left out, here and below: the row is refused
		// in any case, and there is always at least one reason.
		_ = d.Arr(func(d *jx.Decoder) error {
			item, err := d.Raw()
			errs = append(errs, leaves(field, item, depth+1)...)
			return err
		})
		return errs
	}
	own := verdict.Finding{Stage: verdict.StageServer, Path: field}
	_ = d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		var err error
		switch name := string(key); {
		case name == "code" && d.Next() == jx.String:
			own.Code, err = d.Str()
		case name == "message" && d.Next() == jx.String:
			own.Message, err = d.Str()
		case name == "params" || name == "request_id":
			err = d.Skip()
		default:
			var inner jx.Raw
			if inner, err = d.Raw(); err == nil {
				path := name
				if field != "" {
					path = field + "." + name
				}
				errs = append(errs, leaves(path, inner, depth+1)...)
			}
		}
		return err
	})
	if own.Code != "" || own.Message != "" {
		own.Code, own.Message = cut(own.Code, maxText), cut(own.Message, maxText)
		return []verdict.Finding{own}
	}
	return errs
}
