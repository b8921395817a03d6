package referee

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Task is a task that exists, as an auditor sees it.
type Task struct {
	ID, Pool string
	// Operation is the one that created it; empty for a synchronous request.
	Operation string
	// Identity is that of what was sent, whatever the server made of it.
	Identity string
	// Sent is what was sent.
	Sent map[string]any
	// Created is the true time.
	Created time.Time

	view map[string]any
}

// Tasks returns all tasks of a pool, in the order of their creation. What is due by now
// is done before.
func (s *Server) Tasks(pool string) []Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(s.cfg.Now())
	var tasks []Task
	for _, t := range s.tasks {
		if t.Pool == pool {
			tasks = append(tasks, *t)
		}
	}
	return tasks
}

// Count returns how many tasks of each identity a pool has.
func (s *Server) Count(pool string) map[string]int {
	count := map[string]int{}
	for _, t := range s.Tasks(pool) {
		count[t.Identity]++
	}
	return count
}

// Identity returns what makes a task the same as another: all that is sent, with the
// documented defaults filled in, in one canonical text. overlap is the pool's.
func Identity(task []byte, overlap int) (string, error) {
	var sent map[string]any
	if err := decode(task, &sent); err != nil {
		return "", err
	}
	return identity(sent, overlap), nil
}

func identity(sent map[string]any, overlap int) string {
	view := filled(sent, overlap)
	delete(view, "pool_id")
	delete(view, "remaining_overlap")
	text, err := json.Marshal(view) // writes keys in order
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(text)
}

// filled is a task as the server gives it back: without the index, with every default.
func filled(sent map[string]any, overlap int) map[string]any {
	view := map[string]any{}
	for field, value := range sent {
		if list, ok := value.([]any); value == nil || value == "" || ok && len(list) == 0 || field == "__item_idx" {
			continue
		}
		view[field] = value
	}
	for _, list := range []string{"reserved_for", "unavailable_for", "traits_all_of", "traits_any_of", "traits_none_of_any"} {
		if _, ok := view[list]; !ok {
			view[list] = []any{}
		}
	}
	if view["infinite_overlap"] == true {
		delete(view, "overlap")
	} else {
		view["infinite_overlap"] = false
		if _, ok := view["overlap"]; !ok {
			view["overlap"] = json.Number(fmt.Sprint(overlap))
		}
		view["remaining_overlap"] = view["overlap"]
	}
	weigh(view, "known_solutions", "correctness_weight")
	weigh(view, "baseline_solutions", "confidence_weight")
	return view
}

// weigh fills in the weight of solutions that have none.
func weigh(view map[string]any, field, weight string) {
	list, ok := view[field].([]any)
	if !ok {
		return
	}
	weighed := slices.Clone(list)
	for i := range weighed {
		if solution, ok := weighed[i].(map[string]any); ok && solution[weight] == nil {
			weighed[i] = with(solution, weight, json.Number("1"))
		}
	}
	view[field] = weighed
}

// add makes a task exist.
func (s *Server) add(sent map[string]any, p *Pool, operation string, at time.Time) *Task {
	view := filled(sent, p.Overlap)
	if s.cfg.Ways.Normalises {
		view = normalised(view).(map[string]any)
	}
	t := &Task{ID: s.newID(), Pool: p.ID, Operation: operation, Identity: identity(sent, p.Overlap), Sent: sent, Created: at, view: view}
	view["id"], view["created"] = t.ID, s.stamp(at)
	s.tasks = append(s.tasks, t)
	return t
}

// newID has the form of published ids.
func (s *Server) newID() string {
	s.serial++
	n := uint64(s.serial)
	if s.cfg.Ways.Scattered {
		h := fnv.New64a()
		fmt.Fprint(h, n)
		n = h.Sum64()
	}
	return fmt.Sprintf("000248a756--6422ca21%016x", n)
}

// normalised trims strings, and lower-cases the hosts of URLs.
func normalised(value any) any {
	switch v := value.(type) {
	case string:
		v = strings.TrimSpace(v)
		if u, err := url.Parse(v); err == nil && u.Host != "" {
			v = strings.Replace(v, u.Host, strings.ToLower(u.Host), 1)
		}
		return v
	case []any:
		list := slices.Clone(v)
		for i := range list {
			list[i] = normalised(list[i])
		}
		return list
	case map[string]any:
		object := maps.Clone(v)
		for key := range object {
			object[key] = normalised(object[key])
		}
		return object
	}
	return value
}

// task answers with one task.
func (s *Server) task(id string) answer {
	for _, t := range s.tasks {
		if t.ID == id {
			return answer{status: 200, body: t.view}
		}
	}
	return absent("task")
}

// list answers with the tasks of a pool.
func (s *Server) list(q request) answer {
	pool := q.query.Get("pool_id")
	if s.pools[pool] == nil {
		return absent("pool")
	}
	limit, most := 50, cmp.Or(s.cfg.Ways.ListLimit, 300)
	var keys []string
	var found []*Task
	for _, t := range s.tasks {
		if t.Pool == pool {
			found = append(found, t)
		}
	}
	for name, values := range q.query {
		field, relation, _ := strings.Cut(name, "_")
		switch {
		case name == "pool_id":
		case name == "sort":
			keys = strings.Split(values[0], ",")
		case name == "limit":
			if n, err := fmt.Sscan(values[0], &limit); n != 1 || err != nil || limit < 1 || limit > most {
				return failure(400, "VALIDATION_ERROR", "The limit is too large", map[string]any{"limit": fault{"VALUE_GREATER_THAN_MAX", fmt.Sprintf("Value must be less than or equal to %d", most)}})
			}
		case field == "id" || field == "created":
			holds := relations[relation]
			if holds == nil {
				return badRequest("Unknown parameter " + name)
			}
			found = slices.DeleteFunc(found, func(t *Task) bool { return !holds(compareField(t.view[field].(string), values[0])) })
		default:
			return badRequest("Unknown parameter " + name)
		}
	}
	for _, key := range keys {
		if name := strings.TrimPrefix(key, "-"); name != "id" && name != "created" {
			return badRequest("Unknown sort key " + key)
		}
	}
	slices.SortStableFunc(found, func(a, b *Task) int {
		for _, key := range keys {
			name, down := strings.CutPrefix(key, "-")
			order := strings.Compare(a.view[name].(string), b.view[name].(string))
			if down {
				order = -order
			}
			if order != 0 {
				return order
			}
		}
		return 0
	})
	page := page{Items: []any{}, HasMore: len(found) > limit}
	for _, t := range found[:min(limit, len(found))] {
		page.Items = append(page.Items, t.view)
	}
	return answer{status: 200, body: page}
}

// page is a part of a list.
type page struct {
	Items   []any `json:"items"`
	HasMore bool  `json:"has_more"`
}

var relations = map[string]func(order int) bool{
	"gt": func(o int) bool { return o > 0 }, "gte": func(o int) bool { return o >= 0 },
	"lt": func(o int) bool { return o < 0 }, "lte": func(o int) bool { return o <= 0 },
}

// compareField compares ids as text; times, too, of which the shorter is filled up.
func compareField(kept, asked string) int {
	if len(asked) >= 10 && len(asked) < len(kept) && asked[4] == '-' && asked[7] == '-' {
		asked += "0000-00-00T00:00:00.000"[len(asked):]
	}
	return strings.Compare(kept, asked)
}
