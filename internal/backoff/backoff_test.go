package backoff

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestDelayGrowsAndIsBounded(t *testing.T) {
	for n, want := range map[int]time.Duration{1: 500, 2: 1000, 3: 2000, 6: 16000, 7: 30000, 1000: 30000} {
		want *= time.Millisecond
		if got := Delay(n, 0.9999999); got > want || got < want*99/100 {
			t.Errorf("before repetition %d it waits up to %v, want %v", n, got, want)
		}
		if got := Delay(n, 0); got != 0 {
			t.Errorf("before repetition %d it waits at least %v", n, got)
		}
	}
}

func TestASleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		begun := time.Now()
		if err := Sleep(ctx, time.Minute); err != nil || time.Since(begun) != time.Minute {
			t.Errorf("slept %v (%v)", time.Since(begun), err)
		}
		time.AfterFunc(time.Second, func() { cancel(why) })
		if err := Sleep(ctx, time.Minute); !errors.Is(err, why) || time.Since(begun) != time.Minute+time.Second {
			t.Errorf("slept %v more (%v)", time.Since(begun)-time.Minute, err)
		}
		if err := Sleep(ctx, 0); !errors.Is(err, why) {
			t.Errorf("an ended context gives %v", err)
		}
	})
}

func TestABudgetIsNeverOverdrawn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(rt, "all"))
		b := Budget{Left: all}
		var spent time.Duration
		for range 1000 {
			asked := time.Duration(rapid.Int64Range(0, int64(2*time.Minute)).Draw(rt, "asked"))
			delay, ok := b.Next(asked, 0.5)
			if !ok {
				return
			}
			if spent += delay; delay < asked || spent > all {
				rt.Fatalf("it waits %v, %v in all, though %v was asked for and %v is all", delay, spent, asked, all)
			}
			if asked == 0 {
				return
			}
		}
	})
}

func TestPollDelays(t *testing.T) {
	for _, tc := range []struct {
		n       int
		typical time.Duration
		want    time.Duration
	}{
		{0, 0, 25 * time.Millisecond},
		{1, 0, 40 * time.Millisecond},
		{20, 0, 10 * time.Second},
		{1 << 30, 0, 10 * time.Second},
		{0, time.Millisecond, 25 * time.Millisecond},
		{0, 10 * time.Second, 7 * time.Second},
		{1, 10 * time.Second, 3 * time.Second},
		{2, 10 * time.Second, 4800 * time.Millisecond},
		{0, time.Hour, 10 * time.Second},
		{1, time.Hour, 10 * time.Second},
	} {
		got := Poll(tc.n, tc.typical, 0)
		if diff := got - tc.want; diff > time.Millisecond || diff < -time.Millisecond {
			t.Errorf("poll %d of an operation of %v waits %v, want %v", tc.n, tc.typical, got, tc.want)
		}
		if most := Poll(tc.n, tc.typical, 1); most < got || most > got*12/10 {
			t.Errorf("with jitter it waits %v instead of %v", most, got)
		}
	}
	if got := Typical(0, time.Second); got != time.Second {
		t.Errorf("after one operation of a second %v are typical", got)
	}
	if got := Typical(time.Second, 5*time.Second); got != 2*time.Second {
		t.Errorf("a longer operation makes %v typical, want 2s", got)
	}
}
