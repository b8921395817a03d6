package uploader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-faster/jx"

	"poolfill/internal/toloka"
)

const (
	// decodeBuffer is the part of an answer that is in memory while it streams.
	decodeBuffer = 32 << 10
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

// FieldError is one reason why the server refuses a row.
type FieldError struct {
	// Field is the server's name of the field, such as "input_values.image";
	// empty where the reason belongs to the whole task.
	Field   string
	Code    string
	Message string
}

// decoders lends out JSON decoders with their buffers.
type decoders struct{ pool sync.Pool }

func (p *decoders) with(r io.Reader, f func(*jx.Decoder) error) error {
	d, ok := p.pool.Get().(*jx.Decoder)
	if !ok {
		d = jx.Decode(nil, decodeBuffer)
	}
	d.Reset(r)
	defer func() {
		d.Reset(nil)
		p.pool.Put(d)
	}()
	return f(d)
}

// operation reads an operation.
func (p *decoders) operation(r io.Reader) (toloka.Operation, error) {
	var op toloka.Operation
	err := p.with(r, func(d *jx.Decoder) error {
		return d.ObjBytes(func(d *jx.Decoder, key []byte) error {
			var err error
			switch {
			case string(key) == "details":
				var raw jx.Raw
				if raw, err = d.Raw(); len(raw) <= maxDetails && raw.Type() != jx.Null {
					op.Details = bytes.Clone(raw)
				}
			case d.Next() != jx.String:
				return d.Skip()
			case string(key) == "id":
				op.ID, err = d.Str()
			case string(key) == "type":
				op.Type, err = d.Str()
			case string(key) == "status":
				op.Status, err = d.Str()
			default:
				return d.Skip()
			}
			return err
		})
	})
	if err == nil && op.Status == "" {
		err = errors.New("the answer is no operation")
	}
	return op, err
}

// logEntry is what an operation's log says about one task.
type logEntry struct {
	created bool // else it was refused
	taskID  string
	errors  []FieldError

	index int // of the task, as it was sent; -1 where the log doesn't say
	key   Key // of the task, where there is no index or keys are asked for
}

// log reads an operation's log and gives the entries that say that a task was
// created or refused; all others are passed over.
func (p *decoders) log(r io.Reader, keys bool, entry func(logEntry)) error {
	return p.with(r, func(d *jx.Decoder) error {
		return d.Arr(func(d *jx.Decoder) error {
			e := logEntry{index: -1}
			var kind string
			var success, known bool
			var output []byte
			err := d.ObjBytes(func(d *jx.Decoder, key []byte) error {
				var err error
				switch {
				case string(key) == "input" && d.Next() == jx.Object:
					var raw jx.Raw
					if raw, err = d.Raw(); err == nil {
						known = e.identify(raw, keys)
					}
				case string(key) == "output":
					var raw jx.Raw
					raw, err = d.Raw()
					output = append(output[:0], raw...)
				case string(key) == "type" && d.Next() == jx.String:
					kind, err = d.Str()
				case string(key) == "success" && d.Next() == jx.Bool:
					success, err = d.Bool()
				default:
					err = d.Skip()
				}
				return err
			})
			if err != nil || !known {
				return err
			}
			switch {
			case kind == entryCreate && success:
				e.created, e.taskID = true, idOf(output)
			case kind == entryCreate || kind == entryValidate && !success:
				e.errors = fieldErrors(output)
			default:
				return nil
			}
			entry(e)
			return nil
		})
	})
}

// identify finds out which task an entry is about, by its index or else by its
// content, and reports whether it is about one at all. With keys, it gives the
// content in any case.
func (e *logEntry) identify(input []byte, keys bool) bool {
	var hasInput bool
	err := jx.DecodeBytes(input).ObjBytes(func(d *jx.Decoder, key []byte) error {
		hasInput = hasInput || string(key) == "input_values"
		if string(key) != itemIndex {
			return d.Skip()
		}
		raw, err := d.Raw()
		if n, atoiErr := strconv.Atoi(strings.Trim(string(raw), "\" \t\r\n")); atoiErr == nil && n >= 0 {
			e.index = n
		}
		return err
	})
	if err != nil {
		return false
	}
	if hasInput && (keys || e.index < 0) {
		if e.key, err = ContentKey(input); err != nil {
			return e.index >= 0
		}
		return true
	}
	return e.index >= 0
}

// idOf reads the id of a created task.
func idOf(output []byte) string {
	var id string
	d := jx.DecodeBytes(output)
	if d.Next() != jx.Object {
		return ""
	}
	// What can't be read leaves the id unknown; the task was created anyway.
	_ = d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		if string(key) != "task_id" || d.Next() != jx.String {
			return d.Skip()
		}
		var err error
		id, err = d.Str()
		return err
	})
	return id
}

// created reads the answer to a synchronous upload of n tasks: the ids of those
// that were created and the errors of those that were refused, by their place.
func (p *decoders) created(r io.Reader, n int) (ids map[int]string, refused map[int][]FieldError, err error) {
	ids, refused = map[int]string{}, map[int][]FieldError{}
	place := func(key []byte) (int, error) {
		i, err := strconv.Atoi(string(key))
		if err != nil || i < 0 || i >= n {
			return 0, fmt.Errorf("the answer names item %q of %d items", cut(string(key), 40), n)
		}
		return i, nil
	}
	named := false
	err = p.with(r, func(d *jx.Decoder) error {
		return d.ObjBytes(func(d *jx.Decoder, section []byte) error {
			items := string(section) == "items"
			if !items && string(section) != "validation_errors" || d.Next() != jx.Object {
				return d.Skip()
			}
			named = true
			return d.ObjBytes(func(d *jx.Decoder, key []byte) error {
				i, err := place(key)
				if err != nil {
					return err
				}
				if !items {
					raw, err := d.Raw()
					refused[i] = fieldErrors(raw)
					return err
				}
				return d.ObjBytes(func(d *jx.Decoder, key []byte) error {
					if string(key) != "id" || d.Next() != jx.String {
						return d.Skip()
					}
					id, err := d.Str()
					ids[i] = id
					return err
				})
			})
		})
	})
	if err == nil && !named {
		err = errors.New("the answer has neither items nor errors")
	}
	return ids, refused, err
}

// tasks reads a page of a pool's tasks.
func (p *decoders) tasks(r io.Reader, task func(Task)) (more bool, err error) {
	listed := false
	err = p.with(r, func(d *jx.Decoder) error {
		return d.ObjBytes(func(d *jx.Decoder, key []byte) error {
			var err error
			switch {
			case string(key) == "has_more" && d.Next() == jx.Bool:
				more, err = d.Bool()
			case string(key) == "items" && d.Next() == jx.Array:
				listed = true
				err = d.Arr(func(d *jx.Decoder) error {
					raw, err := d.Raw()
					if err != nil {
						return err
					}
					id, err := taskID(raw)
					if err != nil {
						return err
					}
					content, err := ContentKey(raw)
					if err != nil {
						return err
					}
					task(Task{Index: -1, Key: content, ID: id})
					return nil
				})
			default:
				err = d.Skip()
			}
			return err
		})
	})
	if err == nil && !listed {
		err = errors.New("the answer has no items")
	}
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
func itemErrors(payload []byte) (byItem map[int][]FieldError, flat []FieldError) {
	byItem = map[int][]FieldError{}
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

// fieldErrors reads the errors of one item, {field: {code, message}} or just
// {code, message}. It gives at least one.
func fieldErrors(raw []byte) []FieldError {
	if errs := leaves("", raw, 0); len(errs) > 0 {
		return errs
	}
	return []FieldError{{Code: toloka.CodeValidationError, Message: "the server gave no reason"}}
}

// leaves collects the errors within a value, naming fields by their path.
func leaves(field string, raw []byte, depth int) []FieldError {
	d := jx.DecodeBytes(raw)
	switch d.Next() {
	case jx.String:
		if text, err := d.Str(); err == nil && text != "" {
			return []FieldError{{Field: field, Code: toloka.CodeValidationError, Message: cut(text, maxText)}}
		}
		return nil
	case jx.Array, jx.Object:
	default:
		return nil
	}
	if depth == maxNesting {
		return nil
	}
	var errs []FieldError
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
	var own FieldError
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
		own.Field, own.Code, own.Message = field, cut(own.Code, maxText), cut(own.Message, maxText)
		return []FieldError{own}
	}
	return errs
}
