package referee

import (
	"fmt"
	"maps"
	"net/http"
	"time"
)

// Pool is a pool, or a training.
type Pool struct {
	ID string
	// Status is OPEN, CLOSED or ARCHIVED; empty means CLOSED.
	Status string
	// Overlap is that of tasks that have none.
	Overlap  int
	Training bool
	// NoMixer is a pool without a mixer_config, to which no task can be added.
	NoMixer bool
}

// Change changes a pool from now on.
func (s *Server) Change(id string, change func(*Pool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(s.cfg.Now())
	change(s.pools[id])
}

func (s *Server) pool(id string, training bool) answer {
	p := s.pools[id]
	if p == nil || p.Training != training {
		return absent("pool")
	}
	status := p.Status
	if status == "" {
		status = "CLOSED"
	}
	view := map[string]any{
		"id": p.ID, "project_id": "83859", "private_name": "Pool " + p.ID, "status": status, "type": "REGULAR", "created": "2022-03-10T07:41:53.626",
		"will_expire": "2099-03-09T00:00:00", "reward_per_assignment": 0.07, "may_contain_adult_content": false, "assignment_max_duration_seconds": 600,
		"defaults": map[string]any{"default_overlap_for_new_task_suites": p.Overlap, "default_overlap_for_new_tasks": p.Overlap},
	}
	if training {
		view["type"] = "TRAINING"
	} else if !p.NoMixer {
		view["mixer_config"] = map[string]any{"real_tasks_count": 6, "golden_tasks_count": 1, "training_tasks_count": 1}
	}
	return answer{status: http.StatusOK, body: view}
}

func (s *Server) project(id string) answer {
	if id != "83859" {
		return absent("project")
	}
	input, output := maps.Clone(s.cfg.Spec.Input), maps.Clone(s.cfg.Spec.Output)
	if input == nil {
		input = map[string]Field{}
	}
	if output == nil {
		output = map[string]Field{}
	}
	return answer{status: http.StatusOK, body: map[string]any{
		"id": id, "public_name": "Referee", "public_description": "A project", "status": "ACTIVE", "created": "2022-01-22T07:50:14.210",
		"task_spec": map[string]any{"input_spec": input, "output_spec": output, "view_spec": map[string]any{"markup": "", "script": "", "styles": ""}},
	}}
}

func (s *Server) open(id string, now time.Time) answer {
	p := s.pools[id]
	switch {
	case p == nil:
		return absent("pool")
	case p.Status == "OPEN":
		return answer{status: http.StatusNoContent}
	case p.Status == "ARCHIVED":
		return failure(http.StatusConflict, "INAPPROPRIATE_STATUS", "This or related resource is in inappropriate status, operation is not allowed", map[string]any{"appropriate_statuses": []string{"CLOSED"}})
	}
	s.serial++
	o := s.newOperation(fmt.Sprintf("019587fd-b536-49f8-b6dc-%012x", s.serial), "POOL.OPEN", map[string]any{"pool_id": id}, now)
	p.Status = "OPEN"
	s.finish(o, "SUCCESS", nil, now)
	return answer{status: http.StatusAccepted, body: o.view}
}

func (s *Server) clone(id string, now time.Time) answer {
	p := s.pools[id]
	if p == nil {
		return absent("pool")
	}
	if a, full := s.quota.clone(s.cfg.Ways.Quota, now, s.stamp(now)[:10]); full {
		return a
	}
	s.serial++
	copied := *p
	copied.ID, copied.Status = fmt.Sprint(900_000+s.serial), "CLOSED"
	s.pools[copied.ID] = &copied
	o := s.newOperation(fmt.Sprintf("7ea08f99-5e24-47b4-b61f-%012x", s.serial), "POOL.CLONE", map[string]any{"pool_id": id}, now)
	s.finish(o, "SUCCESS", map[string]any{"pool_id": copied.ID}, now)
	return answer{status: http.StatusAccepted, body: o.view}
}
