package uploader

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/batcher"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// pool is a server that keeps whole tasks and creates within the request. What tests want
// otherwise than a good server does it is told.
type pool struct {
	id     func(n int) string                                       // of task n; nil has them rise
	clock  func() time.Time                                         // of what it says that was created; nil is right
	change func(task map[string]any)                                // what it makes of a task
	answer func(n int, good *http.Response) (*http.Response, error) // to request n that created; nil is good
	before func(n int) *http.Response                               // instead of carrying out request n

	tasks []map[string]any
	posts int
	lists []string // the queries
}

func (p *pool) server() *fakeServer { return &fakeServer{handle: p.handle, newest: p.handle} }

func (p *pool) handle(r request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		p.lists = append(p.lists, r.URL.RawQuery)
		return p.list(r), nil
	}
	n := p.posts
	p.posts++
	if p.before != nil {
		if resp := p.before(n); resp != nil {
			return resp, nil
		}
	}
	made := map[string]any{}
	for i, raw := range items(r.body) {
		made[fmt.Sprint(i)] = p.add(raw)
	}
	body, _ := json.Marshal(map[string]any{"items": made})
	good := answer(201, string(body))
	if p.answer == nil {
		return good, nil
	}
	return p.answer(n, good)
}

// add creates a task, and gives it what the API does.
func (p *pool) add(raw []byte) map[string]any {
	task := map[string]any{
		"overlap": 1.0, "infinite_overlap": false, "reserved_for": []any{}, "unavailable_for": []any{}, "traits_all_of": []any{},
		"known_solutions": []any{},
	}
	var sent map[string]any
	if json.Unmarshal(raw, &sent) != nil {
		return nil
	}
	maps.Copy(task, sent)
	if p.change != nil {
		p.change(task)
	}
	task["id"] = fmt.Sprintf("t%06d", len(p.tasks))
	if p.id != nil {
		task["id"] = p.id(len(p.tasks))
	}
	now := time.Now()
	if p.clock != nil {
		now = p.clock()
	}
	task["created"] = now.UTC().Format(createdLayout + ".000")
	p.tasks = append(p.tasks, task)
	return task
}

func (p *pool) list(r request) *http.Response {
	q := r.URL.Query()
	found := slices.DeleteFunc(append([]map[string]any{}, p.tasks...), func(task map[string]any) bool {
		return task["id"].(string) <= q.Get("id_gt") || task["created"].(string) < q.Get("created_gte")
	})
	slices.SortFunc(found, func(a, b map[string]any) int { return cmp.Compare(a["id"].(string), b["id"].(string)) })
	if q.Get("sort") == "-id" {
		slices.Reverse(found)
	}
	const page = 50
	limit := page
	if q.Get("limit") == "1" {
		limit = 1
	}
	more := len(found) > limit
	body, _ := json.Marshal(map[string]any{"items": found[:min(limit, len(found))], "has_more": more})
	return answer(200, string(body))
}

// tasksFor makes a chunk of the tasks with this JSON.
func tasksFor(t *testing.T, indexed bool, tasks ...string) *batcher.Chunk {
	t.Helper()
	b, err := batcher.New(batcher.Config{PoolID: "12", ItemIndex: indexed, DefaultOverlap: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i, task := range tasks {
		b.Add(reader.Task{Position: verdict.Position{Line: int64(i) + 2}, JSON: []byte(task)})
	}
	return b.Flush()
}

// onePicture is for one of twelve users.
func onePicture(user int) string {
	return fmt.Sprintf(`"input_values":{"image":"https://example.com/1.jpg"},"unavailable_for":["user%d"]`, user)
}

// together uploads chunks at once, as workers do.
func together(t *testing.T, u *Uploader, chunks []*batcher.Chunk) []Outcome {
	outcomes := make([]Outcome, len(chunks))
	var group sync.WaitGroup
	for i, c := range chunks {
		c.Number = i
		group.Go(func() { outcomes[i] = upload(t, u, c) })
	}
	group.Wait()
	return outcomes
}

// lost is an answer that breaks off, for some of the requests.
func lost(which func(n int) bool) func(int, *http.Response) (*http.Response, error) {
	return func(n int, good *http.Response) (*http.Response, error) {
		if which(n) {
			return nil, io.ErrUnexpectedEOF
		}
		return good, nil
	}
}

// Twelve rows show one picture, each to another user. What tells them apart is not among
// their input values.
func TestEachUsersTaskIsOfItsOwnRow(t *testing.T) {
	for _, size := range []int{1, 12} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pool{
					before: func(n int) *http.Response {
						if n%3 == 0 && n < 12 {
							return answer(500, "")
						}
						return nil
					},
					answer: lost(func(n int) bool { return n%3 == 1 && n < 12 }),
				}
				u := newUploader(t, p.server(), setup{cfg: Config{Mode: Sync}, client: toloka.Config{RetryFor: time.Hour}})
				var chunks []*batcher.Chunk
				for user := 0; user < 12; user += size {
					var tasks []string
					for i := range size {
						tasks = append(tasks, onePicture(user+i))
					}
					chunks = append(chunks, tasksFor(t, false, tasks...))
				}
				row := 0
				for _, o := range together(t, u, chunks) {
					for _, r := range o.Rows {
						checkUser(t, p, r, row)
						row++
					}
				}
				if len(p.tasks) != 12 {
					t.Errorf("the pool has %d tasks for 12 rows", len(p.tasks))
				}
			})
		})
	}
}

func checkUser(t *testing.T, p *pool, r verdict.Verdict, user int) {
	t.Helper()
	i := slices.IndexFunc(p.tasks, func(task map[string]any) bool { return task["id"] == r.TaskID })
	if r.Status != verdict.Created || i < 0 || fmt.Sprint(p.tasks[i]["unavailable_for"]) != fmt.Sprintf("[user%d]", user) {
		t.Errorf("the row of user %d has task %q, %s", user, r.TaskID, r.Reason)
	}
}

// A log without indexes is matched by all that a task was sent with; what is equal, by
// count.
func TestALogWithoutIndexesTellsUsersApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var entries, tasks []string
		for user := range 6 {
			for range 2 {
				tasks = append(tasks, onePicture(user))
				entries = append(entries, fmt.Sprintf(`{"type":"TASK_CREATE","success":true,"input":{"pool_id":"12","overlap":1,"reserved_for":[],%s},"output":{"task_id":"t%02d"}}`,
					onePicture(user), len(entries)))
			}
		}
		slices.Reverse(entries)
		f := script(t, broken(io.EOF), on(post, 202, success), on(logs, 200, "["+strings.Join(entries, ",")+"]"))
		o := upload(t, newUploader(t, f, setup{}), tasksFor(t, true, tasks...))
		seen := map[string]bool{}
		for i, r := range o.Rows {
			if user := i / 2; r.TaskID != fmt.Sprintf("t%02d", 2*user) && r.TaskID != fmt.Sprintf("t%02d", 2*user+1) || seen[r.TaskID] {
				t.Errorf("row %d, of user %d, has task %q", i, user, r.TaskID)
			}
			seen[r.TaskID] = true
		}
	})
}

// Whatever clocks say, each row is there once.
func TestNoClockDecides(t *testing.T) {
	dated := func(resp *http.Response, at time.Time) *http.Response {
		resp.Header.Set("Date", at.UTC().Format(http.TimeFormat))
		return resp
	}
	drift := 0 * time.Second
	for _, tc := range []struct {
		name   string
		clock  func() time.Time
		answer func(n int, good *http.Response) (*http.Response, error)
		ids    func(int) string
	}{
		{
			name:  "Date is 6 s ahead of created",
			clock: func() time.Time { return time.Now().Add(-6 * time.Second) },
			answer: func(n int, good *http.Response) (*http.Response, error) {
				if n%2 == 1 {
					return nil, io.ErrUnexpectedEOF
				}
				return dated(good, time.Now()), nil
			},
		},
		{
			name: "a proxy's 504 with a wrong Date",
			answer: func(n int, good *http.Response) (*http.Response, error) {
				if n%2 == 1 {
					return dated(answer(504, html502), time.Now().Add(25*time.Hour)), nil
				}
				return good, nil
			},
		},
		{
			name: "our clock is set back while we run",
			clock: func() time.Time {
				drift += time.Hour // the server's goes on
				return time.Now().Add(drift)
			},
			answer: lost(func(n int) bool { return n%2 == 1 }),
		},
		{
			name: "the server's clock is set back",
			clock: func() time.Time {
				drift -= time.Hour
				return time.Now().Add(drift)
			},
			answer: lost(func(n int) bool { return n%2 == 1 }),
		},
		{
			name:   "no Date at all, and a day behind",
			clock:  func() time.Time { return time.Now().Add(-24 * time.Hour) },
			answer: lost(func(n int) bool { return n%2 == 1 }),
		},
		{
			name:   "ids that don't rise",
			answer: lost(func(n int) bool { return n%2 == 1 }),
			ids:    func(n int) string { return fmt.Sprintf("%08x", rand.New(rand.NewPCG(1, uint64(n))).Uint32()) },
		},
		{
			name:   "ids that fall",
			answer: lost(func(n int) bool { return n%2 == 1 }),
			ids:    func(n int) string { return fmt.Sprintf("%06d", 100_000-n) },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				drift = 0
				p := &pool{clock: tc.clock, answer: tc.answer, id: tc.ids}
				for range 20 { // somebody else's, from before
					p.add([]byte(`{"input_values":{"a":"old"}}`))
				}
				time.Sleep(time.Hour)
				u := newUploader(t, p.server(), setup{cfg: Config{Mode: Sync}, client: toloka.Config{RetryFor: time.Hour}})
				ids := map[string]bool{}
				for n := range 8 {
					c := chunkOf(t, false, fmt.Sprint("a", n), fmt.Sprint("b", n), "same")
					c.Number = n
					o := upload(t, u, c)
					if o.Resent {
						t.Errorf("rows of chunk %d were sent again", n)
					}
					for _, r := range o.Rows {
						ids[r.TaskID] = true
					}
					time.Sleep(time.Second)
				}
				if len(ids) != 24 || len(p.tasks) != 20+24 || ids[""] {
					t.Errorf("24 rows have %d ids, the pool has %d tasks", len(ids), len(p.tasks)-20)
				}
			})
		})
	}
}

// What is kept of an attempt serves a later process, whatever the time is then.
func TestALaterProcessFindsWhatCameSinceTheMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{answer: lost(func(n int) bool { return n == 0 }), clock: func() time.Time { return time.Unix(1e9, 0) }}
		p.add([]byte(`{"input_values":{"a":"a"}}`)) // somebody else's, and equal
		var kept Attempt
		ctx, cancel := context.WithCancel(t.Context())
		journal := journalFunc(func(_ context.Context, a Attempt) error {
			kept = a
			return nil
		})
		first := newUploader(t, p.server(), setup{cfg: Config{Mode: Sync, Journal: journal}})
		go func() {
			time.Sleep(time.Second)
			cancel() // while it waits for the server to settle
		}()
		if _, err := uploadFails(ctx, t, first, chunkOf(t, false, "a", "b")); toloka.KindOf(err) != toloka.KindCanceled {
			t.Fatal(err)
		}
		text, err := kept.Mark.MarshalText()
		var mark Mark
		if err != nil || mark.UnmarshalText(text) != nil || mark.TaskID != "t000000" || !mark.Created.Equal(time.Unix(1e9, 0)) {
			t.Fatalf("the mark is %q: %+v (%v)", text, mark, err)
		}
		p.lists = nil
		o, err := newUploader(t, p.server(), setup{cfg: Config{Mode: Sync}}).Upload(t.Context(), chunkOf(t, false, "a", "b"), Prior{Mark: mark})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, o, "created t000001; created t000002")
		if len(p.tasks) != 3 || len(p.lists) != 1 || !strings.Contains(p.lists[0], "id_gt=t000000") || strings.Contains(p.lists[0], "created") {
			t.Errorf("the pool has %d tasks, and was asked %v", len(p.tasks), p.lists)
		}
	})
}

func TestMarksAreText(t *testing.T) {
	for _, m := range []Mark{{}, {Empty: true}, {TaskID: "a--b"}, {TaskID: "a--b", Created: time.Date(2026, 1, 31, 12, 0, 0, 123_000_000, time.UTC)}} {
		text, err := m.MarshalText()
		got := Mark{TaskID: "something"}
		if err != nil || got.UnmarshalText(text) != nil || got != m {
			t.Errorf("%+v is %q, which is %+v (%v)", m, text, got, err)
		}
	}
	if err := new(Mark).UnmarshalText([]byte("id yesterday")); err == nil {
		t.Error("nonsense is a mark")
	}
}

// A mark is good for a while: then another is taken, so that searches stay short.
func TestMarksAreTakenAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{}
		u := newUploader(t, p.server(), setup{cfg: Config{Mode: Sync}})
		newest := func(want string) {
			t.Helper()
			if m, err := u.mark(t.Context()); err != nil || m.TaskID != want {
				t.Errorf("the mark is %+v, want %q (%v)", m, want, err)
			}
		}
		newest("")
		p.add([]byte(`{}`))
		newest("")
		u.marks.count(markedTasks)
		newest("t000000")
		p.add([]byte(`{}`))
		newest("t000000")
		time.Sleep(markedTime)
		newest("t000001")
		if len(p.lists) != 3 {
			t.Errorf("the pool was asked %d times", len(p.lists))
		}
	})
}

// That the pool shows no equal task proves nothing where it shows others that nobody
// knows of: the server may change what it is sent.
func TestNothingIsSentAgainThatTheServerMayHaveChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{
			answer: lost(func(n int) bool { return n%3 == 0 }),
			change: func(task map[string]any) {
				values := task["input_values"].(map[string]any)
				values["a"] = strings.ToLower(strings.TrimSpace(values["a"].(string)))
			},
		}
		u := newUploader(t, p.server(), setup{cfg: Config{Mode: Sync}, client: toloka.Config{RetryFor: time.Hour}})
		var chunks []*batcher.Chunk
		for n := range 50 {
			chunks = append(chunks, chunkOf(t, false, fmt.Sprint(" A", n), fmt.Sprint("b", n)))
		}
		created, doubtful := 0, 0
		for _, o := range together(t, u, chunks) {
			for _, r := range o.Rows {
				switch {
				case r.Status == verdict.Created:
					created++
				case r.InDoubt && r.Reason == reasonUnknownTasks:
					doubtful++
				}
			}
		}
		if created+doubtful != 100 || len(p.tasks) != 100 || doubtful == 0 || doubtful > 20 {
			t.Errorf("of 100 rows %d are created and %d in doubt, the pool has %d tasks", created, doubtful, len(p.tasks))
		}
	})
}

// Of several requests without an answer at once, each leaves the tasks of the others to
// them, and is not in doubt for them.
func TestDoubtsDoNotDisturbEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{
			before: func(n int) *http.Response {
				if n < 8 && n%2 == 0 {
					return answer(500, "")
				}
				return nil
			},
			answer: lost(func(n int) bool { return n < 8 }),
		}
		u := newUploader(t, p.server(), setup{cfg: Config{Mode: Sync}})
		var chunks []*batcher.Chunk
		for n := range 8 {
			chunks = append(chunks, chunkOf(t, false, "same", fmt.Sprint("a", n)))
		}
		ids, resent := map[string]bool{}, 0
		for _, o := range together(t, u, chunks) {
			if o.Resent {
				resent++
			}
			for _, r := range o.Rows {
				ids[r.TaskID] = true
			}
		}
		if len(ids) != 16 || ids[""] || len(p.tasks) != 16 || resent < 4 {
			t.Errorf("16 rows have %d ids, the pool has %d tasks; %d chunks were sent again", len(ids), len(p.tasks), resent)
		}
	})
}

// What an earlier process has in doubt beside the chunk is not the chunk's.
func TestTasksOfChunksThatAreStillToComeAreLeftToThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{}
		p.add([]byte(`{"input_values":{"a":"old"}}`))
		mark := Mark{TaskID: "t000000", Created: time.Now()}
		p.add([]byte(`{"input_values":{"a":"b"}}`)) // of the next chunk
		c, next := chunkOf(t, false, "a"), chunkOf(t, false, "b")
		prior := Prior{Mark: mark}
		o, err := newUploader(t, p.server(), setup{cfg: Config{Mode: Sync}}).Upload(t.Context(), c, prior)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, o, "unsent? "+reasonUnknownTasks)
		prior.Doubted = map[batcher.Key]int{next.Keys()[0]: 1}
		if o, err = newUploader(t, p.server(), setup{cfg: Config{Mode: Sync}}).Upload(t.Context(), c, prior); err != nil || !o.Resent {
			t.Fatal(o.Resent, err)
		}
		expect(t, o, "created t000002")
	})
}

// Somebody else who uploads all the time doesn't keep a search from its end.
func TestASearchEndsThoughOthersUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{before: func(int) *http.Response { return answer(500, "") }}
		f := p.server()
		f.handle = func(r request) (*http.Response, error) {
			p.add([]byte(`{"input_values":{"a":"theirs"}}`))
			return p.handle(r)
		}
		expect(t, upload(t, newUploader(t, f, setup{cfg: Config{Mode: Sync}}), chunkOf(t, false, "a")), "unsent? "+reasonUnknownTasks)
		if len(p.lists) > 5 {
			t.Errorf("the pool was listed %d times", len(p.lists))
		}
	})
}
