package toloka

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/internal/emulator"
)

func TestCloningAPool(t *testing.T) {
	const clone, poll = "POST /pools/12/clone", "GET /operations/op"
	operation := func(status, details string) string {
		return fmt.Sprintf(`{"id":"op","type":"POOL.CLONE","status":%q,"details":%s}`, status, details)
	}
	lost := step{clone, func(received) (*http.Response, error) { return nil, syscall.ECONNRESET }}
	for _, tc := range []struct {
		name  string
		steps []step
		want  string // the copy's id
		fails string // in the error; empty: none
		doubt bool
	}{
		{"as an operation", []step{on(clone, 202, operation("PENDING", `{"pool_id":"13"}`)), on(poll, 200, operation("SUCCESS", `{"pool_id":"13"}`))}, "13", "", false},
		{"with a number", []step{on(clone, 202, operation("SUCCESS", `{"pool_id":13}`))}, "13", "", false},
		{"told at the end", []step{on(clone, 202, operation("PENDING", "null")), on(poll, 200, operation("SUCCESS", `{"pool_id":"13"}`))}, "13", "", false},
		{"after a 429", []step{on(clone, 429, "{}", "Retry-After", "1"), on(clone, 202, operation("SUCCESS", `{"pool_id":"13"}`))}, "13", "", false},
		{"refused", []step{on(clone, 404, missing)}, "", "not found while cloning pool 12", false},
		{"which fails", []step{on(clone, 202, operation("FAIL", `{"message":"no"}`))}, "", "cloning pool 12 failed", false},
		{"a lost answer", []step{lost}, "", "it is not known whether pool 12 was cloned", true},
		{"a 500", []step{on(clone, 500, "")}, "", "it is not known", true},
		{"an answer without sense", []step{on(clone, 202, "<html>")}, "", "it is not known", true},
		{"no operation", []step{on(clone, 204, "")}, "", "it is not known", true},
		{"an operation that is lost", []step{on(clone, 202, operation("RUNNING", `{"pool_id":"13"}`)), on(poll, 404, missing)}, "13", "not found while reading operation op", true},
		{"no id", []step{on(clone, 202, operation("SUCCESS", "{}"))}, "", "doesn't tell the copy's id", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := newClient(t, script(t, tc.steps...), Config{}).ClonePool(t.Context(), "12")
				var doubt *CloneInDoubtError
				if got != tc.want || (err == nil) != (tc.fails == "") || err != nil && !strings.Contains(err.Error(), tc.fails) || errors.As(err, &doubt) != tc.doubt {
					t.Errorf("got %q, %v", got, err)
				}
			})
		})
	}
}

func TestRenamingLeavesAllElseAsItIs(t *testing.T) {
	const before = `{ "id":"12", "private_name" : "Old \"one\"", "price":0.10,  "ж":"<b>&", "unknown":{"private_name":"x", "n":1e2}}`
	const after = `{ "id":"12", "private_name" : "Cats 2/3", "price":0.10,  "ж":"<b>&", "unknown":{"private_name":"x", "n":1e2}}`
	f := script(t, on("GET /pools/12", 200, before), on("PUT /pools/12", 500, ""), on("PUT /pools/12", 200, after))
	synctest.Test(t, func(t *testing.T) {
		if err := newClient(t, f, Config{}).RenamePool(t.Context(), "12", "Cats 2/3"); err != nil {
			t.Fatal(err)
		}
	})
	if got := string(f.requests[2].body); got != after {
		t.Errorf("sent %s", got)
	}
	for _, object := range []string{`[]`, `{}`, `{"private_name":`, `{"id":1}`} {
		if got, err := withMember([]byte(object), "private_name", "x"); err == nil {
			t.Errorf("%s became %s", object, got)
		}
	}
}

func TestPoolsComeInPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := script(t,
			on("GET /pools", 200, `{"items":[{"id":"3","private_name":"a","created":"2026-01-31T12:00:00.123"},{"id":"4"}],"has_more":true}`),
			on("GET /pools", 200, `{"items":[{"id":"9"}],"has_more":true}`),
			on("GET /pools", 200, `{"items":[{"id":"9"}],"has_more":true}`),
		)
		var ids []string
		var failed error
		for pool, err := range newClient(t, f, Config{}).Pools(t.Context(), "7", time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)) {
			if err != nil {
				failed = err
				continue
			}
			if ids = append(ids, pool.ID); pool.ID == "3" && (pool.PrivateName != "a" || pool.Created == "") {
				t.Errorf("the pool is %+v", pool)
			}
		}
		if !slices.Equal(ids, []string{"3", "4", "9", "9"}) || failed == nil || !strings.Contains(failed.Error(), "doesn't go on") {
			t.Errorf("got %v, %v", ids, failed)
		}
		for i, after := range []string{"", "4", "9"} {
			q := f.requests[i].URL.Query()
			if q.Get("project_id") != "7" || q.Get("id_gt") != after || q.Get("sort") != "id" || !strings.HasPrefix(q.Get("created_gte"), "2026-01-31T11:") {
				t.Errorf("request %d asks for %v", i, q)
			}
		}
	})
}

// The server's own view: a copy is made, found among the newest, and renamed.
func TestCopiesOfAPoolAtAServer(t *testing.T) {
	server, err := emulator.New(emulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(server)
	t.Cleanup(func() {
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := NewClient(Config{BaseURL: listener.URL, Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx := context.Background()
	original, err := c.Pool(ctx, "1")
	if err != nil {
		t.Fatal(err)
	}
	id, err := c.ClonePool(ctx, "1")
	if err != nil || id == "" || id == "1" {
		t.Fatalf("cloned to %q, %v", id, err)
	}
	if err := c.RenamePool(ctx, id, "Copy 2"); err != nil {
		t.Fatal(err)
	}
	var names []string
	for pool, err := range c.Pools(ctx, original.ProjectID, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if pool.ID == id {
			names = append(names, pool.PrivateName)
			if pool.Created == "" || string(pool.MixerConfig) != string(original.MixerConfig) {
				t.Errorf("the copy is %+v of %+v", pool, original)
			}
		}
	}
	if !slices.Equal(names, []string{"Copy 2"}) {
		t.Errorf("the copies are called %q", names)
	}
	if now, err := c.Pool(ctx, "1"); err != nil || now.PrivateName != original.PrivateName {
		t.Errorf("the original is called %q now, %v", now.PrivateName, err)
	}
}
