package uploader

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/ratelimit"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// What a request did wrong is not the rows' fault: they are not rejected, and nothing
// more is sent.
func TestARefusalThatNamesNoMemberOfATaskEndsTheRun(t *testing.T) {
	for _, mode := range []Mode{Async, Sync} {
		for name, tc := range map[string]struct{ body, want string }{
			"no payload":             {`{"code":"VALIDATION_ERROR","message":"what is allow_defaults?"}`, "what is allow_defaults?"},
			"an unknown parameter":   {`{"code":"VALIDATION_ERROR","payload":{"allow_defaults":{"code":"VALUE_NOT_ALLOWED","message":"unknown parameter"}}}`, "allow_defaults: unknown parameter"},
			"the pool":               {`{"code":"VALIDATION_ERROR","payload":{"pool_id":{"code":"VALUE_REQUIRED"}}}`, "pool_id: VALUE_REQUIRED"},
			"a row that isn't there": {`{"code":"VALIDATION_ERROR","payload":{"7":{"input_values.a":{"code":"VALUE_REQUIRED"}}}}`, "VALIDATION_ERROR"},
		} {
			t.Run(string(mode)+" "+name, func(t *testing.T) {
				u := newUploader(t, script(t, on(post, 400, tc.body)), setup{cfg: Config{Mode: mode, SkipInvalid: true}})
				o, err := uploadFails(t.Context(), t, u, chunkOf(t, true, "a", "b"))
				if toloka.KindOf(err) != toloka.KindInvalid || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("the error is: %v", err)
				}
				expect(t, o, "unsent "+reasonNotSent+"; unsent "+reasonNotSent)
			})
		}
	}
}

// Where only the repetition is refused, the first request may have done it all.
func TestARefusedRepetitionLeavesNothingToGuess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := on(post, 400, `{"code":"VALIDATION_ERROR"}`)
		f := script(t, broken(io.EOF), refused, on(poll, 200, success), on(logs, 200, logOf(0, 1)))
		expect(t, upload(t, newUploader(t, f, setup{}), chunkOf(t, true, "a", "b")), "created t0; created t1")
		o, _ := uploadFails(t.Context(), t, newUploader(t, script(t, broken(io.EOF), refused, on(poll, 404, missing)), setup{}), chunkOf(t, true, "a", "b"))
		expect(t, o, "unsent? "+reasonInDoubt+"; unsent? "+reasonInDoubt)
	})
}

// Where all rows are refused for one reason, others most likely are, too.
func TestRowsRefusedAlike(t *testing.T) {
	refusal := func(path, code string) verdict.Verdict {
		return verdict.Verdict{Status: verdict.Rejected, Findings: []verdict.Finding{{Path: path, Code: code}}}
	}
	same := slices.Repeat([]verdict.Verdict{refusal("input_values.a", "C")}, 11)
	for _, tc := range []struct {
		name string
		rows []verdict.Verdict
		want bool
	}{
		{"all", same, true},
		{"only a few", same[:10], false},
		{"one was created", append(slices.Clone(same), verdict.Verdict{Status: verdict.Created}), false},
		{"another field", append(slices.Clone(same), refusal("input_values.b", "C")), false},
		{"another code", append(slices.Clone(same), refusal("input_values.a", "D")), false},
		{"nothing", nil, false},
	} {
		why, alike := Outcome{Rows: tc.rows}.RefusedAlike()
		if alike != tc.want || alike && why.Code != "C" {
			t.Errorf("%s: %v, %+v", tc.name, alike, why)
		}
	}
}

// A server, or something on the way, that takes the tasks under another name would take
// them again and again.
func TestAnotherOperationThanOursEndsTheRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := script(t, on(post, 202, `{"id":"5b3a0a52-8f0e-5d5c-9c39-3d9b2a2f6d41","type":"TASK.BATCH_CREATE","status":"RUNNING"}`))
		o, err := uploadFails(t.Context(), t, newUploader(t, f, setup{}), chunkOf(t, true, "a", "b"))
		if toloka.KindOf(err) != toloka.KindUnexpected || !strings.Contains(err.Error(), "answers about operation 5b3a0a52") || o.Attempts != 1 {
			t.Errorf("after %d attempts the error is: %v", o.Attempts, err)
		}
		expect(t, o, "unsent? "+reasonInDoubt+"; unsent? "+reasonInDoubt)
	})
}

// The day's quota is used to the last task, as long as somebody remembers what was sent.
func TestWhatTheDaysQuotaHasRoomForIsSent(t *testing.T) {
	for _, tc := range []struct {
		mode    Mode
		journal Journal
		want    int
	}{
		{Sync, nil, 5},
		{Async, &diary{}, 5},
		{Async, nil, 3}, // the operation's name alone protects its rows: it has all of them
	} {
		t.Run(fmt.Sprint(tc.mode, tc.want), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate, err := ratelimit.New(ratelimit.Config{TasksPerDay: 5, Park: true})
				if err != nil {
					t.Fatal(err)
				}
				m := &model{t: t, indexed: true, operations: map[string]*modelOperation{}}
				u := newUploader(t, &fakeServer{handle: m.handle, newest: m.handle}, setup{
					cfg: Config{Mode: tc.mode, Journal: tc.journal}, client: toloka.Config{Gate: gate},
				})
				upload(t, u, chunkOf(t, true, "a", "b", "c"))
				next := chunkOf(t, true, "d", "e", "f", "g")
				next.Number = 1
				o, err := uploadFails(t.Context(), t, u, next)
				var quota *ratelimit.DayQuotaError
				if !errors.As(err, &quota) || len(m.tasks) != tc.want || o.Count(verdict.Created) != tc.want-3 {
					t.Fatalf("the pool has %d tasks, want %d: %s (%v)", len(m.tasks), tc.want, show(o), err)
				}
				time.Sleep(24 * time.Hour)
				if o, err = u.Upload(t.Context(), next, Prior{Rows: slices.Clone(o.Rows)}); err != nil || o.Count(verdict.Created) != 4 || len(m.tasks) != 7 {
					t.Errorf("on the next day the pool has %d tasks: %s (%v)", len(m.tasks), show(o), err)
				}
			})
		})
	}
}

// A step of an operation that failed by the server's own fault says nothing against its
// row.
func TestARowThatTheServerFailedWithIsSentAgain(t *testing.T) {
	broke := `{"type":"TASK_CREATE","success":false,"input":{"__item_idx":"0"},"output":{"code":"INTERNAL_ERROR","message":"Something went wrong"}}`
	for name, end := range map[string]string{"success": success, "fail": failed} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := script(t, on(post, 202, end), on(logs, 200, "["+broke+","+created(1)+"]"), sends(1, 202, success), on(logs, 200, logOf(0)))
				expect(t, upload(t, newUploader(t, f, setup{}), chunkOf(t, true, "a", "b")), "created t0; created t1")
			})
		})
	}
}

// No two rows of a log have one id, either.
func TestALogThatGivesTwoRowsOneIDIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		twice := strings.Replace(logOf(0, 1), "t1", "t0", 1)
		f := script(t, on(post, 202, success), on(logs, 200, twice), on(logs, 200, twice), on(logs, 200, twice), on(logs, 200, twice),
			step{list, func(request) (*http.Response, error) { return answer(200, tasksOf(false, "t0", "b", "t1", "a")), nil }})
		expect(t, upload(t, newUploader(t, f, setup{}), chunkOf(t, true, "a", "b")), "created t1; created t0")
	})
}
