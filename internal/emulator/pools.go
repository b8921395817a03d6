package emulator

import (
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// savePool answers POST /pools and PUT /pools/{id}.
func (a *account) savePool(r call) (reply, error) {
	var sent fields
	if err := readJSON(r, &sent); err != nil {
		return reply{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	id := r.PathValue("id")
	old := a.state.pool(id)
	if old == nil && id != "" {
		return reply{}, notFound("pool", id)
	}
	owner, err := a.checkPool(sent)
	if err != nil {
		return reply{}, err
	}
	_, at := a.now()
	status := http.StatusCreated
	p := pool{ID: a.state.nextID, Project: owner.ID, Created: at, Status: poolClosed}
	if old != nil {
		status, p = http.StatusOK, old.at(at)
	}
	switch {
	case p.Status == poolArchived:
		return reply{}, conflict(codeInappropriateStatus, "pool %d is archived", p.ID)
	case owner.ID != p.Project:
		return reply{}, invalid(valueNotAllowed.saying("A pool stays in its project").of("project_id"))
	}
	p.Fields = sent
	if err := a.commit(&entry{Pools: []pool{p}}); err != nil {
		return reply{}, err
	}
	return jsonReply(status, p.render())
}

// checkPool checks the properties that tasks depend on and returns the pool's
// project. It needs s.mu.
func (a *account) checkPool(sent fields) (*project, error) {
	var errs []*fieldError
	for _, name := range []string{"project_id", "private_name"} {
		if !sent.present(name) {
			errs = append(errs, valueRequired.of(name))
		}
	}
	owner := a.state.project(sent.text("project_id"))
	if sent.present("project_id") && owner == nil {
		errs = append(errs, entityDoesNotExist.of("project_id"))
	}
	if len(errs) > 0 {
		return nil, invalid(errs...)
	}
	sent.dropReadOnly()
	if !sent.present("type") {
		sent.set("type", "REGULAR")
	}
	return owner, nil
}

// poolNow returns a pool as it is now, or nil.
func (a *account) poolNow(id string) *pool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	p := a.state.pool(id)
	if p == nil {
		return nil
	}
	_, at := a.now()
	now := p.at(at)
	return &now
}

func (a *account) getPool(r call) (reply, error) {
	p := a.poolNow(r.PathValue("id"))
	if p == nil {
		return reply{}, notFound("pool", r.PathValue("id"))
	}
	return jsonReply(http.StatusOK, p.render())
}

var poolListing = listing{
	fields: map[string]valueKind{
		"id": numberValue, "project_id": numberValue, "status": textValue,
		"created": timeValue, "last_started": timeValue,
	},
	sortable:     []string{"id", "created", "last_started"},
	defaultLimit: 20,
	maxLimit:     300,
}

func (a *account) listPools(r call) (reply, error) {
	a.mu.RLock()
	_, at := a.now()
	var all []fields
	for _, p := range a.state.pools {
		all = append(all, p.at(at).render())
	}
	a.mu.RUnlock()
	return poolListing.page(r, all)
}

// render returns the pool as the API answers with it.
func (p pool) render() fields {
	out := maps.Clone(p.Fields)
	out["owner"] = json.RawMessage(`{"id":"requester-1","myself":true,"company_id":"1"}`)
	out.set("id", formatNumber(p.ID))
	out.set("project_id", formatNumber(p.Project))
	out.set("status", p.Status)
	out.set("created", p.Created.String())
	if p.LastStarted != 0 {
		out.set("last_started", p.LastStarted.String())
	}
	if p.LastStopped != 0 {
		out.set("last_stopped", p.LastStopped.String())
		out.set("last_close_reason", "MANUAL")
	}
	return out
}

// transition is what an action does to a pool's status.
type transition struct {
	operation string // its type
	from, to  string // nothing where the pool stays as it is
}

var transitions = map[string]transition{
	"open":    {typePoolOpen, poolClosed, poolOpen},
	"close":   {typePoolClose, poolOpen, poolClosed},
	"archive": {typePoolArchive, poolClosed, poolArchived},
	"clone":   {operation: typePoolClone},
}

// actOnPool answers POST /pools/{id}/open, close, clone and archive.
func (a *account) actOnPool(r call) (reply, error) {
	id := r.PathValue("id")
	t, known := transitions[r.PathValue("action")]
	if !known {
		return noSuchPath(r)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	found := a.state.pool(id)
	if found == nil {
		return reply{}, notFound("pool", id)
	}
	_, at := a.now()
	op := &operation{
		ID: uuid.NewString(), Type: t.operation, Pool: found.ID,
		Submitted: at, Finished: at + stamp(a.cfg.OperationTime/time.Millisecond),
	}
	p := found.at(at)
	if t.to == "" {
		op.Clone = a.state.nextID
		p = pool{ID: op.Clone, Project: p.Project, Created: at, Fields: p.Fields, Status: poolClosed}
	} else if p.Next == "" && p.Status == t.to {
		return reply{status: http.StatusNoContent}, nil
	} else if err := p.refuses(t); err != nil {
		return reply{}, err
	} else {
		p.Next, p.NextAt = t.to, op.Finished
	}
	if err := a.commit(&entry{Operation: op, Pools: []pool{p}}); err != nil {
		return reply{}, err
	}
	return jsonReply(http.StatusAccepted, op.submitted())
}

// refuses returns why a pool can't be given another status, or nil.
func (p *pool) refuses(t transition) error {
	switch {
	case p.Next != "":
		return conflict(codePoolLocked, "pool %d is held by another operation", p.ID)
	case p.Status != t.from:
		return conflict(codeInappropriateStatus, "pool %d has the status %s", p.ID, p.Status)
	case t.to == poolOpen && p.tasks.count == 0:
		return emptyPool()
	}
	return nil
}

func emptyPool() *apiError {
	return conflict(codeEmptyPool, "Pool contains no tasks. Operation is not allowed")
}
