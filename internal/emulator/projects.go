package emulator

import (
	"errors"
	"maps"
	"net/http"
)

// saveProject answers POST /projects and PUT /projects/{id}.
func (a *account) saveProject(r call) (reply, error) {
	sent, err := readProject(r)
	if err != nil {
		return reply{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, at := a.now()
	status := http.StatusCreated
	p := &project{ID: a.state.nextID, Created: at, Fields: sent}
	if id := r.PathValue("id"); id != "" {
		old := a.state.project(id)
		if old == nil {
			return reply{}, notFound("project", id)
		}
		status, p.ID, p.Created = http.StatusOK, old.ID, old.Created
	}
	if err := a.commit(&entry{Project: p}); err != nil {
		return reply{}, err
	}
	return jsonReply(status, p.render())
}

// readProject reads the properties of a project and checks those that tasks
// depend on.
func readProject(r call) (fields, error) {
	var sent fields
	if err := readJSON(r, &sent); err != nil {
		return nil, err
	}
	var errs []*fieldError
	for _, name := range []string{"public_name", "public_description", "task_spec"} {
		if !sent.present(name) {
			errs = append(errs, valueRequired.of(name))
		}
	}
	if len(errs) > 0 {
		return nil, invalid(errs...)
	}
	if _, err := compileTaskSpec(sent["task_spec"]); err != nil {
		var wrong specError
		if errors.As(err, &wrong) {
			return nil, invalid(wrong...)
		}
		return nil, err
	}
	sent.dropReadOnly()
	return sent, nil
}

// dropReadOnly removes what only the server sets. Clients send it back when
// they change what they got.
func (f fields) dropReadOnly() {
	for _, name := range []string{"id", "status", "created", "owner", "last_started", "last_stopped", "last_close_reason"} {
		delete(f, name)
	}
}

func (a *account) getProject(r call) (reply, error) {
	a.mu.RLock()
	p := a.state.project(r.PathValue("id"))
	a.mu.RUnlock()
	if p == nil {
		return reply{}, notFound("project", r.PathValue("id"))
	}
	return jsonReply(http.StatusOK, p.render())
}

var projectListing = listing{
	fields:       map[string]valueKind{"id": numberValue, "created": timeValue, "status": textValue},
	sortable:     []string{"id", "created", "public_name", "private_comment"},
	defaultLimit: 20,
	maxLimit:     300,
}

func (a *account) listProjects(r call) (reply, error) {
	a.mu.RLock()
	var all []fields
	for _, p := range a.state.projects {
		all = append(all, p.render())
	}
	a.mu.RUnlock()
	return projectListing.page(r, all)
}

// render returns the project as the API answers with it. None can be archived
// here.
func (p *project) render() fields {
	out := maps.Clone(p.Fields)
	out.set("id", formatNumber(p.ID))
	out.set("status", "ACTIVE")
	out.set("created", p.Created.String())
	return out
}
