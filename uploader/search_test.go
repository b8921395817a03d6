package uploader

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/ratelimit"
	"poolfill/uploader/toloka"
)

// A request that was ready and then had to wait for its second holds a permit: it must
// give it back when it never leaves, or no search would ever begin.
func TestARequestThatNeverLeavesKeepsNoSearchWaiting(t *testing.T) {
	for _, mode := range []Mode{Sync, Async} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate, err := ratelimit.New(ratelimit.Config{RequestsPerSecond: 0.1})
				if err != nil {
					t.Fatal(err)
				}
				steps := []step{on(post, 500, ""), on(list, 200, tasksOf(false, "t0", "a"))}
				if mode == Async {
					steps = []step{on(post, 202, success), on(logs, 400, archived), on(list, 200, tasksOf(false, "t0", "a"))}
				}
				f := script(t, append([]step{on("GET /pools/12", 200, `{"id":"12"}`)}, steps...)...)
				ready := make(chan struct{}, 2)
				journal := journalFunc(func(context.Context, Attempt) error {
					ready <- struct{}{}
					return nil
				})
				u := newUploader(t, f, setup{cfg: Config{Mode: mode, Journal: journal}, client: toloka.Config{Gate: gate}})
				if _, err := u.client.Pool(t.Context(), "12"); err != nil { // the next request has to wait
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					<-ready
					synctest.Wait()
					cancel()
				}()
				o, _ := uploadFails(ctx, t, u, chunkOf(t, true, "never sent"))
				expect(t, o, "unsent "+reasonNotSent)
				expect(t, upload(t, u, chunkOf(t, true, "a")), "created t0")
			})
		})
	}
}

// While the pool is searched nothing is sent, as what is created meanwhile could be
// taken for the tasks that are looked for.
func TestNothingIsSentWhileThePoolIsSearched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		f := &fakeServer{handle: func(r request) (*http.Response, error) {
			if order = append(order, r.Method); r.Method == http.MethodGet {
				return answer(200, tasksOf(false)), nil
			}
			if len(order) == 1 {
				return answer(500, ""), nil
			}
			return answer(201, itemsOf("t")), nil
		}}
		u := newUploader(t, f, setup{cfg: Config{Mode: Sync}})
		done := make(chan Outcome)
		go func() { done <- upload(t, u, chunkOf(t, false, "a")) }()
		time.Sleep(DefaultSettle / 2)
		upload(t, u, chunkOf(t, false, "b"))
		<-done
		if want := []string{"POST", "GET", "GET", "POST", "POST"}; !slices.Equal(order, want) {
			t.Errorf("the requests are %v, want %v", order, want)
		}
	})
}

// What the server still has under way when an answer was lost needs time to end, before
// each look into the pool.
func TestTheServerSettlesBeforeEachLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := script(t, on(post, 500, ""), on(list, 200, tasksOf(false)), on(list, 200, tasksOf(false)), on(post, 201, itemsOf("t0")))
		expect(t, upload(t, newUploader(t, f, setup{cfg: Config{Mode: Sync, Settle: 7 * time.Second}}), chunkOf(t, false, "a")), "created t0")
		for i := range 2 {
			if waited := f.requests[i+1].at.Sub(f.requests[i].at); waited != 7*time.Second {
				t.Errorf("look %d comes after %v, want 7 seconds", i+1, waited)
			}
		}
	})
}

// An answer that names a row twice settles it once: the others still have to end.
func TestARowThatIsNamedTwiceIsSettledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUploader(t, script(t,
			on(post, 201, `{"items":{"0":{"id":"t0"},"0":{"id":"t1"}},"validation_errors":{"1":{"f":{"code":"C"}}}}`),
			on(list, 200, tasksOf(false, "t1", "a", "t2", "c")),
		), setup{cfg: Config{Mode: Sync}})
		expect(t, upload(t, u, chunkOf(t, false, "a", "b", "c")), "created t1; rejected f:C; created t2")
	})
}
