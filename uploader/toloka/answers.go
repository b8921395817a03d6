package toloka

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-faster/jx"

	"poolfill/internal/contract"
	"poolfill/internal/identity"
	"poolfill/internal/visible"
	"poolfill/reader/verdict"
)

// Item is what the server says of one of the tasks that it was sent.
type Item struct {
	// Index is the task's place in the request, or in the chunk as it was sent; -1
	// where the server doesn't name one.
	Index int
	// Created means that the task was created, with the ID, unless the server doesn't
	// name that; else it was refused, with at least one finding of StageServer that
	// has Path, Code and Message.
	Created  bool
	ID       string
	Findings []verdict.Finding
	// Key is that of the task where it has no Index, or the Batch is empty.
	Key identity.Key
}

// Task is a task that the server has.
type Task struct {
	// ID is the task's id; empty where the server doesn't name it.
	ID string
	// Key stands for all that the task was sent with, see package identity.
	Key identity.Key
	// Created is when the server says that it was; zero where it doesn't.
	Created time.Time
}

// inputs returns the member input_values of a task as it was sent, by its index; nil
// for an index that no task has. A server that repeats tasks mostly does so to the letter.
type inputs func(index int) []byte

// The bounds of what a decoder keeps for the next answer: bytes, and tasks.
const (
	maxKept       = 2 << 20
	maxKeptPlaces = 20_000
)

// decoders lends out decoders with their buffers.
type decoders struct{ pool sync.Pool }

// decoder reads one answer. An item that has the shape of an earlier one is not decoded;
// the others are by jx, each by itself.
type decoder struct {
	scanner
	shapes shapes
	tasks  int    // that the answer is about, as far as is known
	ids    []byte // of the created tasks, one after the other
	placed []placed
	others []Item  // that were refused, or have no index
	slots  []int32 // of a hash table of ids
}

// placed means that the task with an index was created. Its id is a stretch of
// decoder.ids. A negative index means that the answer contradicts itself.
type placed struct{ index, start, end int }

// items reads an answer about so many tasks, which must be one value, by means of walk.
// Once the answer is known to be whole, take gets what walk has found.
func (p *decoders) items(r io.Reader, tasks int, walk func(*decoder) error, take func(iter.Seq[Item])) error {
	d, ok := p.pool.Get().(*decoder)
	if !ok {
		d = &decoder{}
	}
	d.reset(r)
	d.shapes.forget()
	d.tasks, d.ids, d.placed = tasks, d.ids[:0], d.placed[:0]
	defer func() {
		d.r, d.others = nil, nil
		if cap(d.buf)+cap(d.ids) <= maxKept && cap(d.placed) <= maxKeptPlaces {
			p.pool.Put(d)
		}
	}()
	err := walk(d)
	if err == nil {
		err = d.end()
	}
	if err == nil {
		d.dropDoubles()
		take(d.found)
	}
	return err
}

// read is items for an answer that is about none.
func (p *decoders) read(r io.Reader, walk func(*decoder) error) error {
	return p.items(r, 0, walk, func(iter.Seq[Item]) {})
}

// created keeps the id of a created task until the answer is known to be whole.
func (d *decoder) created(index int, id []byte) {
	if len(d.placed) == 0 { // most tasks are created, with ids of the same length
		d.ids, d.placed = slices.Grow(d.ids, min(d.tasks*len(id), maxKept)), slices.Grow(d.placed, d.tasks)
	}
	start := len(d.ids)
	d.ids = append(d.ids, id...)
	d.placed = append(d.placed, placed{index, start, len(d.ids)})
}

// found yields the items of an answer: first the tasks that were created and have an
// index, which are nearly all of nearly all answers. Their ids share one string.
func (d *decoder) found(yield func(Item) bool) {
	ids := string(d.ids)
	for _, t := range d.placed {
		if t.index >= 0 && !yield(Item{Created: true, Index: t.index, ID: ids[t.start:t.end]}) {
			return
		}
	}
	for i := range d.others {
		if !yield(d.others[i]) {
			return
		}
	}
}

// id returns the id of a created task.
func (d *decoder) id(t placed) []byte { return d.ids[t.start:t.end] }

// dropDoubles leaves out the tasks to which the answer gives one id: one of them may have
// it, but nobody can tell which, and the others may have been created or not.
func (d *decoder) dropDoubles() {
	if !d.ascending() {
		d.dropPlacedTwice()
	}
	if slices.ContainsFunc(d.others, func(i Item) bool { return i.Created && i.ID != "" }) {
		d.dropOthersTwice()
	}
}

// ascending reports whether the ids rise, as those of most answers do: then they differ.
func (d *decoder) ascending() bool {
	var last []byte
	for _, t := range d.placed {
		id := d.id(t)
		switch {
		case len(id) == 0:
		case bytes.Compare(id, last) <= 0:
			return false
		default:
			last = id
		}
	}
	return true
}

func (d *decoder) dropPlacedTwice() {
	size := 1 << bits.Len(uint(2*len(d.placed)))
	d.slots = slices.Grow(d.slots[:0], size)[:size]
	clear(d.slots)
	seed := maphash.MakeSeed()
	for i := range d.placed {
		t := &d.placed[i]
		id := d.id(*t)
		for at := int(maphash.Bytes(seed, id)); len(id) > 0; at++ {
			slot := &d.slots[at&(size-1)]
			if *slot == 0 {
				*slot = int32(i + 1)
				break
			}
			if first := &d.placed[*slot-1]; bytes.Equal(d.id(*first), id) {
				if first.index != t.index {
					first.index = -1
				}
				t.index = -1 // what is told twice of one task, stands once
				break
			}
		}
	}
}

// dropOthersTwice does so for the tasks that have no index, by their content.
func (d *decoder) dropOthersTwice() {
	first := map[string]int{} // by id; -1 for a task that has an index
	for _, t := range d.placed {
		first[string(d.id(t))] = -1
	}
	double := map[int]bool{}
	for i, item := range d.others {
		if !item.Created || item.ID == "" {
			continue
		}
		if at, known := first[item.ID]; !known {
			first[item.ID] = i
		} else if double[i] = true; at >= 0 && d.others[at].Key != item.Key {
			double[at] = true
		}
	}
	i := -1
	d.others = slices.DeleteFunc(d.others, func(Item) bool { i++; return double[i] })
}

// alike takes a value that has the shape of an earlier one, and reports whether it has.
func (d *decoder) alike(index int, sent inputs) (a alike, ok bool) {
	if !d.shapes.useful() {
		return a, false
	}
	if ok = d.shapes.match(d.buf[d.head:d.tail], index, sent, &a); ok {
		d.head += a.size
	}
	return a, ok
}

// member returns the last member of an object with a name, as it stands; nil where
// there is none.
func member(object []byte, name string) (value []byte, err error) {
	err = jx.DecodeBytes(object).ObjBytes(func(d *jx.Decoder, key []byte) error {
		if string(key) != name {
			return d.Skip()
		}
		var err error
		value, err = d.Raw()
		return err
	})
	return value, err
}

// answer reads the answer to a synchronous request for n tasks.
func (p *decoders) answer(r io.Reader, n int, sent inputs, take func(iter.Seq[Item])) error {
	named := false
	return p.items(r, n, func(d *decoder) error {
		err := d.object(func(section []byte) error {
			items := string(section) == "items"
			if !items && string(section) != "validation_errors" || !d.at('{') {
				return d.skip()
			}
			named = true
			return d.object(func(key []byte) error {
				i, err := strconv.Atoi(string(key))
				switch {
				case err != nil || i < 0 || i >= n:
					return fmt.Errorf("the answer names item %q of %d items", visible.Cut(string(key), 40), n)
				case items:
					return d.item(i, sent)
				}
				raw, err := d.raw()
				d.others = append(d.others, Item{Index: i, Findings: findings(raw)})
				return err
			})
		})
		if err == nil && !named {
			err = errors.New("the answer has neither items nor errors")
		}
		return err
	}, take)
}

// item takes a created task, of which only the id is wanted.
func (d *decoder) item(index int, sent inputs) error {
	if !d.at('{') {
		return errors.New("an item of the answer is no task")
	}
	if known, ok := d.alike(index, sent); ok {
		d.created(index, known.id)
		return nil
	}
	task, err := d.raw()
	if err != nil {
		return err
	}
	value, err := member(task, "id")
	if err != nil || len(value) == 0 || value[0] != '"' {
		return err
	}
	id, err := text(value)
	if err != nil {
		return err
	}
	d.created(index, id)
	marks := []mark{marked(task, value, theID)}
	if found := within(task, sent(index)); found != nil {
		marks = append(marks, marked(task, found, theInputs))
	}
	d.shapes.learn(task, marks...)
	return nil
}

// within returns the stretch of an object that equals a text; nil where there is none.
func within(object, text []byte) []byte {
	at := bytes.Index(object, text)
	if at < 0 || len(text) == 0 {
		return nil
	}
	return object[at : at+len(text)]
}

// itemIndex is the key that the log of an operation echoes of each task.
const itemIndex = "__item_idx"

// entry is an entry of an operation's log; its slices are of the entry's text.
type entry struct {
	kind    []byte // as it stands
	success bool
	input   []byte // the task, where it is an object
	place   []byte // of the task in its chunk, where it is named
	output  []byte
	id      []byte // in the output, as it stands
}

// entryFrom reads an entry of a log about things of an entity.
func entryFrom(raw []byte, of Entity) (e entry, err error) {
	err = jx.DecodeBytes(raw).ObjBytes(func(d *jx.Decoder, key []byte) error {
		value, err := d.Raw()
		if err != nil {
			return err
		}
		switch isObject := value[0] == '{'; string(key) {
		case "type":
			e.kind = value
		case "success":
			e.success = string(value) == "true"
		case "input":
			if e.input, e.place = nil, nil; isObject {
				e.input = value
				e.place, err = member(value, itemIndex)
			}
		case "output":
			if e.output, e.id = value, nil; isObject {
				e.id, err = member(value, of.idMember)
			}
		}
		return err
	})
	return e, err
}

// indexOf reads an index, a number or a string; -1 where it is neither.
func indexOf(raw []byte) int {
	n, err := strconv.Atoi(string(bytes.Trim(raw, `"`)))
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// log reads the log of an operation with n tasks. What says that a task was created or
// refused is an item; all else is passed over. Where n is 0, nothing is known of what was
// sent, and all items have keys. A log that is null has no entries yet.
func (p *decoders) log(r io.Reader, of Entity, n int, sent inputs, take func(iter.Seq[Item])) error {
	return p.items(r, n, func(d *decoder) error {
		if c, err := d.peek(); err != nil {
			return err
		} else if c == 'n' {
			return d.null()
		}
		return d.array(func() error {
			if known, ok := d.alike(-1, sent); ok {
				if known.id != nil {
					d.created(known.index, known.id)
				}
				return nil
			}
			raw, err := d.raw()
			if err != nil {
				return err
			}
			return d.entry(raw, of, sent)
		})
	}, take)
}

// entry takes what an entry says.
func (d *decoder) entry(raw []byte, of Entity, sent inputs) error {
	e, err := entryFrom(raw, of)
	if err != nil {
		return err
	}
	kind, err := text(e.kind)
	if err != nil {
		return err
	}
	var marks []mark
	if kind != nil {
		marks = append(marks, marked(raw, e.kind, theKind))
	}
	create, validate := string(kind) == of.createEntry, string(kind) == of.validateEntry
	if !create && (!validate || e.success) {
		d.shapes.learn(raw, marks...)
		return nil
	}
	item := Item{Created: create && e.success, Index: indexOf(e.place)}
	id, err := text(e.id)
	if err != nil {
		return err
	}
	switch {
	case !item.Created:
		item.Findings = findings(e.output)
	case item.Index < 0 || d.tasks == 0:
		item.ID = string(id)
	default:
		if d.created(item.Index, id); id == nil {
			return nil
		}
		marks = append(marks, marked(raw, e.place, theIndex), marked(raw, e.id, theID))
		// The index must come first, as it says which task's inputs follow.
		if found := within(e.input, sent(item.Index)); found != nil && cap(found) < cap(e.place) {
			marks = append(marks, marked(raw, found, theInputs))
		}
		d.shapes.learn(raw, marks...)
		return nil
	}
	if item.Index < 0 || d.tasks == 0 {
		var isTask bool
		if item.Key, isTask = taskKey(e.input, of); !isTask && item.Index < 0 {
			return nil
		}
	}
	d.others = append(d.others, item)
	return nil
}

// taskKey returns the key of what is a task; it reports false for what is none.
func taskKey(input []byte, of Entity) (identity.Key, bool) {
	if !bytes.Contains(input, []byte(`"input_values"`)) {
		return identity.Key{}, false
	}
	key, err := of.key(input)
	return key, err == nil
}

// page reads a page of what a pool holds.
func (p *decoders) page(r io.Reader, of Entity, task func(Task)) (more bool, err error) {
	listed := false
	err = p.read(r, func(d *decoder) error {
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
					t, err := taskFrom(raw, of)
					if err == nil {
						task(t)
					}
					return err
				})
			}
			return d.skip()
		})
		if err == nil && !listed {
			err = errNoItems
		}
		return err
	})
	return more, err
}

var errNoItems = errors.New("the answer has no items")

// taskFrom reads a task of the server.
func taskFrom(raw []byte, of Entity) (Task, error) {
	value, err := member(raw, "id")
	if err != nil {
		return Task{}, err
	}
	id, err := text(value)
	if err != nil {
		return Task{}, err
	}
	if len(id) == 0 {
		return Task{}, errors.New("a task has no id")
	}
	t := Task{ID: string(id)}
	if value, err = member(raw, "created"); err != nil {
		return Task{}, err
	}
	if when, err := text(value); err == nil {
		t.Created, _ = time.Parse(createdLayout, string(when)) // without one it is zero
	}
	t.Key, err = of.key(raw)
	return t, err
}

// itemFindings reads the payload of a VALIDATION_ERROR. The server has several
// shapes for it: errors keyed by the item's place ({"3": {field: error}}), by
// place and field ({"3.field": error}), and flat ({field: error}), where it
// doesn't say which item they belong to.
func itemFindings(payload any) (byItem map[int][]verdict.Finding, flat []verdict.Finding) {
	byItem = map[int][]verdict.Finding{}
	members, _ := payload.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		if inner, ok := value.(map[string]any); ok && name == "validation_errors" {
			of, all := itemFindings(inner)
			for i, found := range of {
				byItem[i] = append(byItem[i], found...)
			}
			flat = append(flat, all...)
			continue
		}
		place, field, _ := strings.Cut(name, ".")
		if i, err := strconv.Atoi(place); err == nil && i >= 0 {
			byItem[i] = append(byItem[i], leaves(field, value, 0)...)
		} else {
			flat = append(flat, leaves(name, value, 0)...)
		}
	}
	return byItem, flat
}

const noReason = "the server gave no reason"

// findings reads the errors of one item, {field: {code, message}} or just
// {code, message}. It returns at least one.
func findings(raw []byte) []verdict.Finding {
	var value any
	if json.Unmarshal(raw, &value) == nil {
		if found := leaves("", value, 0); len(found) > 0 {
			return found
		}
	}
	return []verdict.Finding{finding("", contract.CodeValidationError, noReason)}
}

func finding(path, code, message string) verdict.Finding {
	return verdict.Finding{
		Stage: verdict.StageServer, Path: visible.Cut(path, maxText), Code: visible.Cut(code, maxText), Message: visible.Cut(message, maxText),
	}
}

// maxNesting bounds how deep the errors of a row are looked for.
const maxNesting = 8

// leaves collects the errors within a value, naming fields by their path.
func leaves(path string, value any, depth int) (found []verdict.Finding) {
	if depth > maxNesting {
		return nil
	}
	switch value := value.(type) {
	case string:
		if value != "" {
			found = append(found, finding(path, contract.CodeValidationError, value))
		}
	case []any:
		for _, one := range value {
			found = append(found, leaves(path, one, depth+1)...)
		}
	case map[string]any:
		code, isCode := value["code"].(string)
		message, isMessage := value["message"].(string)
		if code != "" || message != "" {
			if payload, ok := value["payload"].(map[string]any); ok { // which says what it is about
				if found = leaves(path, payload, depth+1); len(found) > 0 {
					return found
				}
			}
			return append(found, finding(path, code, message))
		}
		for _, name := range slices.Sorted(maps.Keys(value)) {
			switch {
			case name == "code" && isCode, name == "message" && isMessage, name == "params", name == "request_id":
				continue
			}
			inner := name
			if path != "" {
				inner = path + "." + name
			}
			found = append(found, leaves(inner, value[name], depth+1)...)
		}
	}
	return found
}

// AboutRequest reports whether a refusal of KindInvalid is about the request: a parameter,
// a body that is no tasks, the pool. Nothing in it names a task by its place, or a field
// whose value is a task's own. No task is to blame then, and none is any better in another
// request.
func (e *Error) AboutRequest() bool {
	if e.Kind != KindInvalid {
		return false
	}
	byItem, all := e.Findings()
	for _, found := range byItem {
		if !slices.ContainsFunc(found, func(f verdict.Finding) bool { return ofAll(f.Path) }) {
			return false
		}
	}
	return !slices.ContainsFunc(all, func(f verdict.Finding) bool { return ofOne(f.Path) })
}

// ofOne reports whether a path is that of what a task holds of its own.
func ofOne(path string) bool {
	switch member, _, _ := strings.Cut(path, "."); member {
	case "input_values", "known_solutions", "baseline_solutions", "message_on_unknown_solution", "overlap", "infinite_overlap",
		"reserved_for", "unavailable_for", "traits_all_of", "traits_any_of", "traits_none_of_any":
		return true
	}
	return false
}

// ofAll reports whether a path is that of what we give to all tasks alike.
func ofAll(path string) bool { return path == "pool_id" || path == itemIndex }

// Findings returns what the server says about a batch that it refused as a whole: what
// is wrong with single items, by their place in it, and what it doesn't say of any one of
// them. There is at least one finding each.
func (e *Error) Findings() (byItem map[int][]verdict.Finding, all []verdict.Finding) {
	var payload any
	_ = json.Unmarshal(e.Payload, &payload) // what can't be read names no item
	byItem, all = itemFindings(payload)
	for i, found := range byItem {
		if len(found) == 0 {
			byItem[i] = findings(nil)
		}
	}
	if len(all) == 0 {
		all = []verdict.Finding{finding("", e.Code, cmp.Or(e.Message, noReason))}
	}
	return byItem, all
}
