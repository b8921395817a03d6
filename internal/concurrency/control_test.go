package concurrency

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// round lets a round of uploads end, all alike.
func (c *control) round(now *time.Time, took, waited time.Duration, crowded bool) {
	began := *now
	*now = now.Add(took + waited)
	var crowdedFor time.Duration
	if crowded {
		crowdedFor = took + waited
	}
	for range max(c.limit, minRound) {
		c.done(began, *now, waited, crowdedFor)
	}
}

func TestTheLimitFollowsWhatPays(t *testing.T) {
	const ms = time.Millisecond
	type round struct {
		took, waited time.Duration
		alone        bool // nobody waits for a place
		overload     bool // at the end of the round
		want         int
	}
	for _, tc := range []struct {
		name   string
		rounds []round
	}{
		{"it doubles while nothing gets slower", []round{
			{took: 200 * ms, want: 16}, {took: 200 * ms, want: 32}, {took: 220 * ms, want: 64}, {took: 200 * ms, want: 64}, {took: 200 * ms, want: 64},
		}},
		{"it goes back where more only take longer, and rests", []round{
			{took: 200 * ms, want: 16},
			{took: 400 * ms, want: 8},
			{took: 200 * ms, want: 8},
			{took: 200 * ms, want: 8},
			{took: 200 * ms, want: 8},
			{took: 200 * ms, want: 8},
			{took: 200 * ms, want: 10},
			{took: 250 * ms, want: 8},
			{took: 200 * ms, want: 8},
		}},
		{"it stays where the quota is the bound", []round{
			{took: 200 * ms, want: 16}, {took: 200 * ms, waited: 150 * ms, want: 16}, {took: 200 * ms, waited: 300 * ms, want: 16},
		}},
		{"it gives back what only waits for the quota", []round{
			{took: 200 * ms, want: 16},
			{took: 200 * ms, waited: 2000 * ms, want: 12},
			{took: 200 * ms, waited: 2000 * ms, want: 9},
			{took: 200 * ms, waited: 2000 * ms, want: 8},
			{took: 200 * ms, waited: 2000 * ms, want: 8},
		}},
		{"it stays where nobody waits for a place", []round{
			{took: 200 * ms, alone: true, want: 8}, {took: 200 * ms, alone: true, want: 8},
		}},
		{"it goes back where the server slows down", []round{
			{took: 200 * ms, alone: true, want: 8}, {took: 500 * ms, want: 8}, {took: 500 * ms, want: 6}, {took: 500 * ms, want: 6},
		}},
		{"it stays where one round was slow", []round{
			{took: 200 * ms, alone: true, want: 8}, {took: 500 * ms, want: 8}, {took: 200 * ms, alone: true, want: 8}, {took: 500 * ms, want: 8},
		}},
		{"an overload halves it, and then it grows by small steps", []round{
			{took: 200 * ms, want: 16},
			{took: 200 * ms, want: 32},
			{took: 200 * ms, overload: true, want: 32},
			{took: 200 * ms, want: 32},
			{took: 200 * ms, want: 32},
			{took: 200 * ms, want: 32},
			{took: 200 * ms, want: 32},
			{took: 200 * ms, want: 40},
		}},
	} {
		now := time.Unix(0, 0)
		c := newControl(1, 8, 64, now)
		for i, r := range tc.rounds {
			c.round(&now, r.took, r.waited, !r.alone)
			if r.overload {
				c.overload(now, now)
			}
			if c.limit != r.want {
				t.Errorf("%s: after round %d the limit is %d, want %d", tc.name, i, c.limit, r.want)
				break
			}
		}
	}
}

func TestAShortStandstillTellsNothing(t *testing.T) {
	now := time.Unix(0, 0)
	c := newControl(1, 8, 8, now)
	for i := range 1000 {
		took := 4 * time.Millisecond
		if i%50 == 0 {
			took = 40 * time.Millisecond
		}
		c.round(&now, took, 0, true)
		if c.limit != 8 {
			t.Fatalf("after %d uploads, most of them alike, the limit is %d", 8*i, c.limit)
		}
	}
}

func TestAnOverloadCountsOnceARoundTrip(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	c := newControl(2, 32, 64, at(0))
	for _, step := range []struct{ sent, now, want int }{
		{10, 100, 16}, {20, 110, 16}, {99, 150, 16}, {100, 160, 16}, {101, 200, 8}, {150, 300, 8}, {201, 300, 4}, {301, 400, 2}, {401, 500, 2},
	} {
		c.overload(at(step.sent), at(step.now))
		if c.limit != step.want {
			t.Errorf("after an overload at %d ms, sent at %d, the limit is %d, want %d", step.now, step.sent, c.limit, step.want)
		}
	}
}

func TestUploadsOfAnEarlierLimitTellNothing(t *testing.T) {
	start := time.Unix(0, 0)
	c := newControl(1, 8, 64, start)
	now := start
	c.round(&now, time.Second, 0, true)
	for range 100 {
		c.done(start, now, 0, time.Second)
	}
	if c.limit != 16 || c.ended != 0 {
		t.Errorf("the limit is %d and %d uploads count", c.limit, c.ended)
	}
}

func TestTheLimitStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		least := rapid.IntRange(1, 10).Draw(rt, "least")
		start := rapid.IntRange(least, 20).Draw(rt, "start")
		most := rapid.IntRange(start, 40).Draw(rt, "most")
		now := time.Unix(0, 0)
		c := newControl(least, start, most, now)
		var cuts []time.Time
		for range rapid.IntRange(1, 300).Draw(rt, "steps") {
			before := c.limit
			took := max(leastRound, time.Duration(rapid.IntRange(0, 1000).Draw(rt, "took"))*time.Millisecond)
			if rapid.IntRange(0, 20).Draw(rt, "overload") == 0 {
				sent := now
				now = now.Add(took)
				c.overload(sent, now)
				if c.limit > before || c.limit < max(least, before/2) {
					rt.Fatalf("an overload makes %d of %d", c.limit, before)
				}
				if c.limit < before {
					if n := len(cuts); n > 0 && !sent.After(cuts[n-1]) {
						rt.Fatalf("a request of %v lowers the limit twice", sent)
					}
					cuts = append(cuts, now)
				}
			} else {
				crowded := rapid.Bool().Draw(rt, "crowded")
				waited := time.Duration(rapid.IntRange(0, 2000).Draw(rt, "waited")) * time.Millisecond
				share := float64(waited) / float64(max(1, took+waited))
				c.round(&now, took, waited, crowded)
				if c.limit > before && (!crowded || share > gatedShare) {
					rt.Fatalf("it grows from %d to %d with nothing to gain", before, c.limit)
				}
			}
			if c.limit < least || c.limit > most {
				rt.Fatalf("the limit is %d, not within %d and %d", c.limit, least, most)
			}
		}
	})
}

func TestAFixedNumberStays(t *testing.T) {
	now := time.Unix(0, 0)
	c := newControl(8, 8, 8, now)
	for i := range 100 {
		c.round(&now, time.Duration(i%7)*time.Second, 0, true)
		c.overload(now.Add(time.Second), now.Add(time.Second))
		if c.limit != 8 {
			t.Fatalf("the limit is %d", c.limit)
		}
	}
}
