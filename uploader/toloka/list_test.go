package toloka

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
)

// limited is a server that refuses a limit of a list above 300.
func limited(limits *[]string) *fakeServer {
	return &fakeServer{handle: func(r received) (*http.Response, error) {
		limit := r.URL.Query().Get("limit")
		*limits = append(*limits, limit)
		if limit != "300" {
			return answer(400, `{"code":"VALIDATION_ERROR","message":"limit is too large","payload":{"limit":{"code":"VALUE_GREATER_THAN_MAX"}}}`), nil
		}
		return answer(200, tasksOf(len(*limits) < 3, "t"+string(rune('0'+len(*limits))), "a")), nil
	}}
}

func TestAListIsAskedForInPagesThatTheServerGives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var limits []string
		c := newClient(t, limited(&limits), Config{})
		for range 2 {
			if n, err := c.Count(t.Context(), Tasks(), "12"); err != nil || n == 0 {
				t.Errorf("%d tasks, %v", n, err)
			}
		}
		if want := []string{"1000", "300", "300", "300"}; !slices.Equal(limits, want) {
			t.Errorf("it asks for %q, want %q", limits, want)
		}
	})
}

// What a 400 is about otherwise is no matter of the page.
func TestAListThatIsRefusedFails(t *testing.T) {
	refusal := `{"code":"VALIDATION_ERROR","message":"no such pool"}`
	c := newClient(t, script(t, on("GET /tasks", 400, refusal), on("GET /tasks", 400, refusal), on("GET /tasks", 200, tasksOf(false))), Config{})
	if _, err := c.Count(t.Context(), Tasks(), "x"); KindOf(err) != KindInvalid {
		t.Errorf("the error is: %v", err)
	}
	for _, err := range c.List(t.Context(), Tasks(), "x", From{}, "") {
		if err != nil {
			t.Error(err)
		}
	}
}
