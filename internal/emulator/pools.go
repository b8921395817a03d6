package emulator

import (
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// savePool answers POST /pools and PUT /pools/{id}.
func (s *Server) savePool(r call) (reply, error) {
	var sent fields
	if err := readJSON(r, &sent); err != nil {
		return reply{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.PathValue("id")
	old := s.state.pool(id)
	if old == nil && id != "" {
		return reply{}, notFound("pool", id)
	}
	owner, err := s.checkPool(sent)
	if err != nil {
		return reply{}, err
	}
	_, at := s.now()
	status := http.StatusCreated
	p := pool{ID: s.state.nextID, Project: owner.ID, Created: at, Status: poolClosed}
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
	if err := s.commit(&entry{Pools: []pool{p}}); err != nil {
		return reply{}, err
	}
	return jsonReply(status, p.render())
}

// checkPool checks the properties that tasks depend on and returns the pool's
// project. It needs s.mu.
func (s *Server) checkPool(sent fields) (*project, error) {
	var errs []*fieldError
	for _, name := range []string{"project_id", "private_name"} {
		if !sent.present(name) {
			errs = append(errs, valueRequired.of(name))
		}
	}
	owner := s.state.project(sent.text("project_id"))
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
func (s *Server) poolNow(id string) *pool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.state.pool(id)
	if p == nil {
		return nil
	}
	_, at := s.now()
	now := p.at(at)
	return &now
}

func (s *Server) getPool(r call) (reply, error) {
	p := s.poolNow(r.PathValue("id"))
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

func (s *Server) listPools(r call) (reply, error) {
	s.mu.RLock()
	_, at := s.now()
	var all []fields
	for _, p := range s.state.pools {
		all = append(all, p.at(at).render())
	}
	s.mu.RUnlock()
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
func (s *Server) actOnPool(r call) (reply, error) {
	id := r.PathValue("id")
	t, known := transitions[r.PathValue("action")]
	if !known {
		return s.noSuchPath(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.state.pool(id)
	if found == nil {
		return reply{}, notFound("pool", id)
	}
	_, at := s.now()
	op := &operation{
		ID: uuid.NewString(), Type: t.operation, Pool: found.ID,
		Submitted: at, Finished: at + stamp(s.cfg.OperationTime/time.Millisecond),
	}
	p := found.at(at)
	if t.to == "" {
		op.Clone = s.state.nextID
		p = pool{ID: op.Clone, Project: p.Project, Created: at, Fields: p.Fields, Status: poolClosed}
	} else if p.Next == "" && p.Status == t.to {
		return reply{status: http.StatusNoContent}, nil
	} else if err := p.refuses(t); err != nil {
		return reply{}, err
	} else {
		p.Next, p.NextAt = t.to, op.Finished
	}
	if err := s.commit(&entry{Operation: op, Pools: []pool{p}}); err != nil {
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
