package tolokatest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"poolfill/batcher"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
	"poolfill/uploader/tolokatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upload sends one task with a word.
func upload(server *tolokatest.Server, mode uploader.Mode, word string) (uploader.Outcome, error) {
	gate, err := ratelimit.New(ratelimit.Config{})
	if err != nil {
		return uploader.Outcome{}, err
	}
	api := server.API()
	api.Gate = gate
	client, err := toloka.NewClient(api)
	if err != nil {
		return uploader.Outcome{}, err
	}
	defer client.Close()
	up, err := uploader.New(client, uploader.Config{PoolID: server.PoolID, Mode: mode, RunKey: "words", SkipInvalid: true})
	if err != nil {
		return uploader.Outcome{}, err
	}
	batches, err := batcher.New(batcher.Config{PoolID: server.PoolID, ItemIndex: mode == uploader.Async})
	if err != nil {
		return uploader.Outcome{}, err
	}
	input := fmt.Sprintf(`{"word":%q}`, word)
	batches.Add(reader.Task{JSON: []byte(`"input_values":` + input), InputBytes: len(input)})
	return up.Upload(context.Background(), batches.Flush(), uploader.Prior{})
}

const words = `{"input_spec": {"word": {"type": "string", "max_length": 5}}, "output_spec": {}}`

func TestAServerTakesTasksAndHasTheirFaults(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{Spec: []byte(words)})
	for i, word := range []string{"one", "two", "thirteen", "four"} {
		outcome, err := upload(server, uploader.Sync, word)
		if err != nil || len(outcome.Rows) != 1 || (outcome.Rows[0].Status == verdict.Rejected) != (word == "thirteen") {
			t.Errorf("%d: %v, %+v", i, err, outcome.Rows)
		}
	}
	tasks, err := server.Tasks()
	if err != nil || len(tasks) != 3 || tasks[0].ID == "" || !strings.Contains(string(tasks[2].JSON), `"four"`) {
		t.Errorf("%v, %+v", err, tasks)
	}

	server = tolokatest.New(t, tolokatest.Config{Spec: []byte(words), Faults: "post:403=1"})
	_, err = upload(server, uploader.Sync, "one")
	var refused *toloka.Error
	if !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("a fault gives %v", err)
	}
}

func TestOnlyTheTokenIsAccepted(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/pools/"+server.PoolID, nil)
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{"": 401, "another": 401, server.Token: 200} {
		request.Header.Set("Authorization", "OAuth "+token)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("the token %q gives %d, want %d", token, answer.StatusCode, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestAWrongConfigurationIsAnError(t *testing.T) {
	for _, cfg := range []tolokatest.Config{{Faults: "typo=1"}, {Spec: []byte("{")}, {MinLatency: -1}} {
		if s, err := tolokatest.Start(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
			_ = s.Close()
		}
	}
}

func TestAServerIsClosedOnce(t *testing.T) {
	s, err := tolokatest.Start(tolokatest.Config{Faults: "hang=1"})
	if err != nil {
		t.Fatal(err)
	}
	hung := make(chan struct{})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/v1/pools/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "OAuth "+s.Token)
	go func() {
		defer close(hung)
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close()
		}
	}()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	<-hung
}
