package importer

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/uploader/toloka"
	"poolfill/uploader/tolokatest"
)

func TestAnimalsAreUploadedOnce(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	state := t.TempDir()
	three := 3
	animals := []Animal{
		{Image: "https://example.com/1.jpg", Tags: reader.Array{"small", "a, b"}, Overlap: &three},
		{Image: "example.com/2.jpg"},
		{Image: "https://example.com/3.jpg", Answer: "cat"},
	}
	for _, want := range []string{
		"3 rows so far\nmay:1 created\nmay:2 rejected, INPUT:image: INVALID_URL_SYNTAX\nmay:3 created\n",
		"3 rows so far\nmay:1 duplicate\nmay:2 rejected, INPUT:image: INVALID_URL_SYNTAX\nmay:3 duplicate\n",
	} {
		var out strings.Builder
		report, err := Upload(t.Context(), server.API(), server.PoolID, state, "may", reader.NoError(slices.Values(animals)), &out)
		if err != nil || report.State != pipeline.Finished || out.String() != want {
			t.Errorf("%v, %s:\n%swant\n%s", err, report.State, &out, want)
		}
	}
	tasks, err := server.Tasks()
	if err != nil || len(tasks) != 2 {
		t.Errorf("%v, %d tasks", err, len(tasks))
	}
}

func TestTheLedgerTellsOfTheLastRun(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	state := t.TempDir()
	rows := reader.NoError(slices.Values([]Animal{{Image: "https://example.com/1.jpg"}, {}}))
	if _, err := Upload(t.Context(), server.API(), server.PoolID, state, "may", rows, io.Discard); err != nil {
		t.Fatal(err)
	}
	book, err := ledger.Open(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = book.Close() }()
	run, report, err := LastRun(t.Context(), book)
	if err != nil || report.Totals.Created != 1 || report.Totals.Rejected != 1 || run.Files[0].Path != "may" {
		t.Errorf("%v, %+v, %+v", err, run, report.Totals)
	}
	_, err = book.Find(t.Context(), "nothing like it")
	var unknown *ledger.UnknownRunError
	if !errors.As(err, &unknown) {
		t.Errorf("an unknown run: %v", err)
	}
}

func TestARefusedTokenIsAnErrorToActOn(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	api := server.API()
	api.Token = "wrong"
	_, err := Upload(t.Context(), api, server.PoolID, t.TempDir(), "may", reader.NoError(slices.Values([]Animal{{Image: "https://example.com/1.jpg"}})), io.Discard)
	var refused *toloka.Error
	if !errors.As(err, &refused) || refused.Status != 401 {
		t.Errorf("got %v", err)
	}
}

func TestAnotherRunOfThePoolIsInTheWay(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	state := t.TempDir()
	lock, err := pipeline.LockPool(state, server.URL, server.PoolID, "the nightly job")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Upload(t.Context(), server.API(), server.PoolID, state, "may", reader.NoError(slices.Values([]Animal{})), io.Discard)
	var held *pipeline.HeldError
	if !errors.As(err, &held) || held.Owner != "the nightly job" {
		t.Errorf("got %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err = Upload(t.Context(), server.API(), server.PoolID, state, "may", reader.NoError(slices.Values([]Animal{})), io.Discard); err != nil {
		t.Errorf("no rows: %v", err)
	}
}

func TestTheSpecIsThatOfTheProgram(t *testing.T) {
	r, err := reader.Source{Name: "x", Columns: []string{"INPUT:title"}, Rows: reader.NoError(slices.Values([][]string{{strings.Repeat("x", 201)}}))}.Open(reader.Config{Spec: Spec()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	row, err := r.Next()
	if err != nil || row.Err == nil || row.Err.Findings[0].Code != "STRING_LENGTH_GREATER_THAN_MAX" {
		t.Errorf("%v, %+v", err, row.Err)
	}
}
