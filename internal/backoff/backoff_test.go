package backoff

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
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
