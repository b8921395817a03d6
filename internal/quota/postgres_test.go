package quota

import (
	"testing"
	"time"

	"poolfill/internal/pgtest"
	"poolfill/ratelimit"
)

// Computers whose clocks are far apart share the window: what one of them has
// used counts for a minute after its answer, as the server's clock has it.
func TestClocksOfManyMachinesMayBeApart(t *testing.T) {
	url := pgtest.URL(t)
	book := func(fast time.Duration) *Book {
		b, err := New(t.Context(), openURL(t, url), "someone", 0)
		if err != nil {
			t.Fatal(err)
		}
		b.now = func() time.Time { return time.Now().Add(fast) }
		return b
	}
	slow, fast := book(-time.Hour), book(time.Hour)
	for _, b := range []*Book{slow, fast} {
		settle(t, b, take(t, b, 30, perMinute), true)
	}
	for _, b := range []*Book{slow, fast} {
		_, wait, reason, err := b.Take(t.Context(), 41, perMinute)
		if err != nil || reason != ratelimit.ReasonMinute || wait <= ratelimit.Minute/2 || wait > ratelimit.Minute {
			t.Errorf("the wait is %v (%s), %v; want up to a minute", wait, reason, err)
		}
		today(t, b, 60)
	}
	take(t, fast, 40, perMinute)
}

// Grants are taken and ended while the server is restarted, and each counts.
func TestTheServerIsRestartedBetweenGrants(t *testing.T) {
	server := pgtest.Start(t)
	b, err := New(t.Context(), openURL(t, server.URL("postgres")), "someone", 0)
	if err != nil {
		t.Fatal(err)
	}
	limits := ratelimit.Limits{TasksPerMinute: 100_000}
	const grants = 200
	used := make(chan error)
	go func() {
		for range grants {
			// As much as a lease has, so that each asks the database.
			id, wait, _, err := b.Take(t.Context(), 400, limits)
			if err == nil && wait == 0 {
				err = b.Settle(t.Context(), id, true)
			}
			used <- err
		}
	}()
	for i := range grants {
		if err := <-used; err != nil {
			t.Fatal(err)
		}
		if i == grants/3 || i == 2*grants/3 {
			server.Kill()
			server.Restart()
		}
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	today(t, b, grants*400)
}

// A user who may make no tables keeps the quota in those that are there.
func TestAUserWithoutTheRightToMakeTables(t *testing.T) {
	url := pgtest.URL(t)
	owner, err := New(t.Context(), openURL(t, url), "someone", 0)
	if err != nil {
		t.Fatal(err)
	}
	user, err := New(t.Context(), openURL(t, pgtest.Restricted(t, url)), "someone", 0)
	if err != nil {
		t.Fatal(err)
	}
	settle(t, user, take(t, user, 30, perMinute), true)
	today(t, owner, 30)
}
