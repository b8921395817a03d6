package emulator

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	named     = "5e0f7a4c-8f0a-4c55-9d0e-3a3c9f3b8a01"
	namedTask = "/api/v1/tasks?async_mode=true&allow_defaults=true&skip_invalid_items=true&operation_id=" + named
)

// always is a script with one fault that meets every request that it can meet.
func always(name string) Config { return Config{Faults: Faults{{Name: name, Probability: 1}}} }

func TestAnOperationFailsAndBurnsItsID(t *testing.T) {
	s := start(t, always(FaultOpFail))
	send(s, http.MethodPost, namedTask, mixed).want(t, http.StatusAccepted)
	if got := operationStatus(t, s, named); got != "FAIL" {
		t.Errorf("status %s", got)
	}
	send(s, http.MethodPost, namedTask, mixed).wantError(t, http.StatusConflict, "OPERATION_ALREADY_EXISTS")
	log := send(s, http.MethodGet, "/api/v1/operations/"+named+"/log", "").want(t, http.StatusOK)
	if strings.Contains(log.raw, "TASK_CREATE") || !strings.Contains(log.raw, "TASK_VALIDATE") {
		t.Errorf("the log names what is wrong with rows, and no creation: %s", log.raw)
	}
	if n := len(count(t, s)); n != 0 {
		t.Errorf("%d tasks were created", n)
	}
}

func TestAFailedOperationOpensNoPool(t *testing.T) {
	s := start(t, always(FaultOpFail))
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks(DemoPoolClosed, 0, 1)).want(t, http.StatusCreated)
	send(s, http.MethodPost, namedTask+"&open_pool=true", goodTasks(DemoPoolClosed, 0, 1)).want(t, http.StatusAccepted)
	pool := send(s, http.MethodGet, "/api/v1/pools/"+DemoPoolClosed, "").want(t, http.StatusOK)
	if status := pool.get(t, "status"); status != "CLOSED" {
		t.Errorf("the pool is %v", status)
	}
}

func TestAnOperationIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := always(FaultOpStuck)
		cfg.State = filepath.Join(t.TempDir(), "state")
		s := start(t, cfg)
		send(s, http.MethodPost, namedTask, mixed).want(t, http.StatusAccepted)
		look := func(s *Server) {
			t.Helper()
			a := send(s, http.MethodGet, "/api/v1/operations/"+named, "").want(t, http.StatusOK)
			if a.get(t, "status") != "RUNNING" || a.get(t, "progress") != 0.0 || a.get(t, "finished") != nil {
				t.Errorf("operation %s", a.raw)
			}
			log := send(s, http.MethodGet, "/api/v1/operations/"+named+"/log", "").want(t, http.StatusOK)
			if n := len(count(t, s)); n != 0 || log.raw != "[]" {
				t.Errorf("%d tasks, log %s", n, log.raw)
			}
		}
		for range 3 {
			time.Sleep(1000 * time.Hour)
			look(s)
		}
		send(s, http.MethodPost, namedTask, mixed).wantError(t, http.StatusConflict, "OPERATION_ALREADY_EXISTS")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		look(start(t, cfg))
	})
}

func TestAnOperationVanishes(t *testing.T) {
	s := start(t, always(FaultOpVanish))
	for range 2 { // the id is free each time
		a := send(s, http.MethodPost, namedTask, mixed).want(t, http.StatusAccepted)
		if a.get(t, "id") != named || a.get(t, "status") != "PENDING" {
			t.Errorf("answer %s", a.raw)
		}
		send(s, http.MethodGet, "/api/v1/operations/"+named, "").wantError(t, http.StatusNotFound, "DOES_NOT_EXIST")
		send(s, http.MethodGet, "/api/v1/operations/"+named+"/log", "").wantError(t, http.StatusNotFound, "DOES_NOT_EXIST")
	}
	if st := s.Stats(); st.Tasks != 0 || st.TasksLastDay != 0 || st.Operations != 0 || st.Faults[FaultOpVanish] != 2 {
		t.Errorf("statistics %+v", st)
	}
}

func TestALogIsArchivedForGood(t *testing.T) {
	faulty := always(FaultLogArchived)
	s := start(t, faulty)
	send(s, http.MethodPost, namedTask, mixed).want(t, http.StatusAccepted)
	path := "/api/v1/operations/" + named + "/log"
	send(s, http.MethodGet, path, "").wantError(t, http.StatusConflict, "OPERATION_LOGS_ARCHIVED")
	s.cfg.Faults = nil
	send(s, http.MethodGet, path, "").wantError(t, http.StatusConflict, "OPERATION_LOGS_ARCHIVED")
	if got := operationStatus(t, s, named); got != "SUCCESS" {
		t.Errorf("status %s", got)
	}
	if n := len(count(t, s)); n != 2 {
		t.Errorf("%d tasks were created, want 2", n)
	}
}

func TestALogLacksEntriesTheFirstTime(t *testing.T) {
	for name, tasks := range map[string]int{"one task": 1, "many tasks": 1000} {
		s := start(t, always(FaultLogLacks))
		send(s, http.MethodPost, namedTask, goodTasks("1", 0, tasks)).want(t, http.StatusAccepted)
		for n, want := range []struct{ least, most int }{{0, tasks - 1}, {tasks, tasks}, {tasks, tasks}} {
			log := send(s, http.MethodGet, "/api/v1/operations/"+named+"/log", "").want(t, http.StatusOK)
			entries := len(log.get(t).([]any))
			if entries < want.least || entries > want.most || tasks > 1 && entries == 0 {
				t.Errorf("%s, reading %d: %d entries, want %d to %d", name, n+1, entries, want.least, want.most)
			}
		}
		if n := len(count(t, s)); n != tasks {
			t.Errorf("%s: %d tasks were created", name, n)
		}
	}
}

// A log that is asked for before its operation has ended is empty, which is no
// first reading.
func TestALogThatIsNotThereYetIsNotLacking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := always(FaultLogLacks)
		cfg.OperationTime = time.Second
		s := start(t, cfg)
		send(s, http.MethodPost, namedTask, goodTasks("1", 0, 8)).want(t, http.StatusAccepted)
		for _, want := range []int{0, 6, 8} {
			log := send(s, http.MethodGet, "/api/v1/operations/"+named+"/log", "").want(t, http.StatusOK)
			if n := len(log.get(t).([]any)); n != want {
				t.Errorf("%d entries, want %d", n, want)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestSynchronousRequestsHaveNoOperationFaults(t *testing.T) {
	s := start(t, Config{Faults: Faults{
		{Name: FaultOpFail, Probability: 0.4}, {Name: FaultOpStuck, Probability: 0.3}, {Name: FaultOpVanish, Probability: 0.3},
	}})
	for i := range 5 {
		send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", i, i+1)).want(t, http.StatusCreated)
	}
	if n, st := len(count(t, s)), s.Stats(); n != 5 || len(st.Faults) != 0 || st.ByKind["post"] != 5 {
		t.Errorf("%d tasks, statistics %+v", n, st)
	}
}

func TestOperationFaultsKeepToTheirRequests(t *testing.T) {
	for _, script := range []string{"list:opfail=1", "log:opstuck=1", "operation:opvanish=1", "post:logarchived=1", "operation:loglacks=1"} {
		if _, err := ParseFaults(script); err == nil || !strings.Contains(err.Error(), "meets only") {
			t.Errorf("%q: error %v", script, err)
		}
	}
	for _, script := range []string{"opfail=1,loglacks=1", "post:opvanish=1,log:logarchived=1,operation:lost=1"} {
		if _, err := ParseFaults(script); err != nil {
			t.Errorf("%q: %v", script, err)
		}
	}
}
