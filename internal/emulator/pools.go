package emulator

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
)

func (s *Server) createPool(w http.ResponseWriter, r *http.Request) error {
	var sent fields
	if err := readJSON(r, &sent); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	owner, err := s.checkPool(sent)
	if err != nil {
		return err
	}
	_, at := s.now()
	p := pool{ID: s.state.nextID, Project: owner.ID, Created: at, Fields: sent, Status: poolClosed}
	if err := s.commit(&entry{Pools: []pool{p}}); err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, p.render())
	return nil
}

// checkPool checks the properties that tasks depend on and gives the pool's
// project. It needs s.mu.
func (s *Server) checkPool(sent fields) (*project, error) {
	var errs []fieldError
	for _, name := range []string{"project_id", "private_name"} {
		if !sent.present(name) {
			errs = append(errs, required(name))
		}
	}
	owner := s.state.project(sent.text("project_id"))
	if sent.present("project_id") && owner == nil {
		errs = append(errs, fieldError{"project_id", codeEntityDoesNotExist, messages[codeEntityDoesNotExist], nil})
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

func (s *Server) updatePool(w http.ResponseWriter, r *http.Request) error {
	var sent fields
	if err := readJSON(r, &sent); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.state.pool(r.PathValue("id"))
	if old == nil {
		return notFound("pool", r.PathValue("id"))
	}
	owner, err := s.checkPool(sent)
	if err != nil {
		return err
	}
	_, at := s.now()
	p := old.at(at)
	switch {
	case p.Status == poolArchived:
		return refuse(http.StatusConflict, codeInappropriateStatus, "pool %d is archived", p.ID)
	case owner.ID != p.Project:
		return invalid(fieldError{"project_id", codeValueNotAllowed, "A pool stays in its project", nil})
	}
	p.Fields = sent
	if err := s.commit(&entry{Pools: []pool{p}}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, p.render())
	return nil
}

// poolNow gives a pool as it is now, or nil.
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

func (s *Server) getPool(w http.ResponseWriter, r *http.Request) error {
	p := s.poolNow(r.PathValue("id"))
	if p == nil {
		return notFound("pool", r.PathValue("id"))
	}
	writeJSON(w, http.StatusOK, p.render())
	return nil
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

func (s *Server) listPools(w http.ResponseWriter, r *http.Request) error {
	q, err := poolListing.parse(r.URL.Query())
	if err != nil {
		return err
	}
	s.mu.RLock()
	_, at := s.now()
	all := make([]pool, 0, len(s.state.pools))
	for _, p := range s.state.pools {
		all = append(all, p.at(at))
	}
	s.mu.RUnlock()
	writeJSON(w, http.StatusOK, selectPage(q, all, pool.key, pool.render))
	return nil
}

func (p pool) key(field string) string {
	switch field {
	case "id":
		return numberKey(uint64(p.ID))
	case "project_id":
		return numberKey(uint64(p.Project))
	case "status":
		return p.Status
	case "created":
		return timeKey(p.Created)
	}
	return timeKey(p.LastStarted)
}

func (p pool) render() any {
	out := maps.Clone(p.Fields)
	out.set("id", formatNumber(p.ID))
	out.set("project_id", formatNumber(p.Project))
	out.set("status", p.Status)
	out.set("created", p.Created.String())
	out["owner"] = json.RawMessage(`{"id":"requester-1","myself":true,"company_id":"1"}`)
	if p.LastStarted != 0 {
		out.set("last_started", p.LastStarted.String())
	}
	if p.LastStopped != 0 {
		out.set("last_stopped", p.LastStopped.String())
		out.set("last_close_reason", "MANUAL")
	}
	return out
}

// actOnPool answers POST /pools/{id}/open, close, clone and archive.
func (s *Server) actOnPool(w http.ResponseWriter, r *http.Request) error {
	id, action := r.PathValue("id"), r.PathValue("action")
	kind, known := map[string]string{
		"open":    typePoolOpen,
		"close":   typePoolClose,
		"archive": typePoolArchive,
		"clone":   typePoolClone,
	}[action]
	if !known {
		return s.noSuchPath(w, r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.state.pool(id)
	if found == nil {
		return notFound("pool", id)
	}
	_, at := s.now()
	op := &operation{
		ID: uuid.NewString(), Type: kind, Pool: found.ID,
		Submitted: at, Finished: at + stamp(s.cfg.OperationTime/time.Millisecond),
	}
	e := &entry{Operation: op}
	p := found.at(at)
	if kind == typePoolClone {
		op.Clone = s.state.nextID
		e.Pools = []pool{{ID: op.Clone, Project: p.Project, Created: at, Fields: p.Fields, Status: poolClosed}}
	} else {
		done, err := p.begin(kind, op.Finished)
		if err != nil {
			return err
		}
		if done {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		e.Pools = []pool{p}
	}
	if err := s.commit(e); err != nil {
		return err
	}
	writeJSON(w, http.StatusAccepted, op.render(at))
	return nil
}

// begin starts an operation that gives the pool another status; done says that
// it has this status already.
func (p *pool) begin(kind string, finished stamp) (done bool, err error) {
	var (
		next string
		from []string
	)
	switch kind {
	case typePoolOpen:
		next, from = poolOpen, []string{poolClosed}
	case typePoolClose:
		next, from = poolClosed, []string{poolOpen}
	case typePoolArchive:
		next, from = poolArchived, []string{poolClosed}
	}
	switch {
	case p.Next != "":
		return false, refuse(http.StatusConflict, codePoolLocked, "pool %d is held by another operation", p.ID)
	case p.Status == next:
		return true, nil
	case !slices.Contains(from, p.Status):
		return false, refuse(http.StatusConflict, codeInappropriateStatus, "pool %d has the status %s", p.ID, p.Status)
	case kind == typePoolOpen && p.tasks.count == 0:
		return false, refuse(http.StatusConflict, codeEmptyPool, "Pool contains no tasks. Operation is not allowed")
	}
	p.Next, p.NextAt = next, finished
	return false, nil
}
