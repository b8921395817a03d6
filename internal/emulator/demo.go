package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// The demo project and its pools, which every new server has.
const (
	// DemoProject is the project of all demo pools. Its spec is Config.Spec.
	DemoProject = "1"
	// DemoPool is open and takes tasks.
	DemoPool = "1"
	// DemoPoolNoMixer has no mixer_config, so it takes no tasks.
	DemoPoolNoMixer = "2"
	// DemoPoolArchived is archived, so it takes no tasks.
	DemoPoolArchived = "3"
	// DemoPoolTraining is a training pool.
	DemoPoolTraining = "4"
	// DemoPoolClosed is closed; it takes tasks and can be opened.
	DemoPoolClosed = "5"
)

// DemoSpec is the spec of the demo project where Config.Spec names none.
const DemoSpec = `{
  "input_spec": {
    "image": {"type": "url", "required": true},
    "title": {"type": "string", "required": false, "max_length": 200},
    "weight": {"type": "float", "required": false, "min_value": 0},
    "tags": {"type": "array_string", "required": false}
  },
  "output_spec": {
    "result": {"type": "string", "required": true, "allowed_values": ["cat", "dog", "other"]}
  }
}`

// DemoPool returns the id of the pool that takes tasks of the demo project.
func (s *Server) DemoPool() string { return DemoPool }

// makeDemo makes the demo project and its pools, and the pools that the
// configuration asks for, where the state has none.
func (a *account) makeDemo() error {
	wanted := a.cfg.Spec
	if wanted == nil {
		wanted = json.RawMessage(DemoSpec)
	}
	spec, err := demoTaskSpec(wanted)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, at := a.now()
	var e entry
	if known := a.state.project(DemoProject); known == nil {
		e.Project = &project{ID: number(DemoProject), Created: at, Fields: fields{"task_spec": spec}}
		e.Project.Fields.set("public_name", "Demo: what is in the picture?")
		e.Project.Fields.set("public_description", "A project for trying things")
		e.Project.Fields.set("assignments_issuing_type", "AUTOMATED")
		for _, demo := range []struct{ id, name, kind, status, mixer string }{
			{DemoPool, "Demo: open", "REGULAR", poolOpen, demoMixer},
			{DemoPoolNoMixer, "Demo: without smart mixing", "REGULAR", poolOpen, "null"},
			{DemoPoolArchived, "Demo: archived", "REGULAR", poolArchived, demoMixer},
			{DemoPoolTraining, "Demo: training", "TRAINING", poolClosed, demoMixer},
			{DemoPoolClosed, "Demo: closed", "REGULAR", poolClosed, demoMixer},
		} {
			e.Pools = append(e.Pools, demoPool(at, demo.id, demo.name, demo.kind, demo.status, demo.mixer))
		}
	} else if a.cfg.Spec != nil && !bytes.Equal(known.Fields["task_spec"], spec) {
		return errors.New("the state file has another spec of the demo project: name another state file, or the spec that this one began with")
	}
	for _, id := range a.cfg.Pools {
		isIt := func(p pool) bool { return p.ID == number(id) }
		if a.state.pool(id) == nil && !slices.ContainsFunc(e.Pools, isIt) {
			e.Pools = append(e.Pools, demoPool(at, id, "Demo: pool "+id, "REGULAR", poolOpen, demoMixer))
		}
	}
	if e.Project == nil && e.Pools == nil {
		return nil
	}
	return a.commit(&e)
}

// demoPool is a pool of the demo project.
func demoPool(at stamp, id, name, kind, status, mixer string) pool {
	p := pool{ID: number(id), Project: number(DemoProject), Created: at, Status: status, Fields: fields{
		"may_contain_adult_content":       json.RawMessage(`false`),
		"reward_per_assignment":           json.RawMessage(`0.01`),
		"assignment_max_duration_seconds": json.RawMessage(`600`),
		"auto_accept_solutions":           json.RawMessage(`true`),
		"priority":                        json.RawMessage(`0`),
		"defaults":                        json.RawMessage(`{"default_overlap_for_new_task_suites":3,"default_overlap_for_new_tasks":3}`),
		"mixer_config":                    json.RawMessage(mixer),
	}}
	p.Fields.set("private_name", name)
	p.Fields.set("type", kind)
	if status == poolOpen {
		p.LastStarted = at
	}
	return p
}

const demoMixer = `{"real_tasks_count":10,"golden_tasks_count":0,"training_tasks_count":0}`

// demoTaskSpec returns a spec in one form, with the view that every project has.
func demoTaskSpec(raw json.RawMessage) (json.RawMessage, error) {
	spec := make(fields)
	if err := json.Unmarshal(raw, &spec); err != nil {
		return nil, fmt.Errorf("the demo project's spec: %w", err)
	}
	if !spec.present("output_spec") {
		spec["output_spec"] = json.RawMessage(`{}`)
	}
	if !spec.present("view_spec") {
		spec["view_spec"] = json.RawMessage(`{"type":"classic","markup":"<img src=\"{{image}}\">","script":"","styles":""}`)
	}
	return json.Marshal(spec)
}
