package reader

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// stored is an Info as it comes back from where it was kept.
func stored(t *testing.T, info Info) (back Info) {
	t.Helper()
	text, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

func TestFieldsOfTheAPIAreLocatedInTheirRow(t *testing.T) {
	header := "picture,INPUT:tags,GOLDEN[3]:result,GOLDEN[2]:result,GOLDEN[2]:sure,GOLDEN[2]:correctness_weight,GOLDEN:result,HINT:text," +
		"BASELINE[4]:result,BASELINE[7]:result,BASELINE[7]:confidence_weight,TASK:overlap,TASK:reserved_for,TASK:traits_any_of,TASK:id\n"
	const (
		all      = `1.jpg,"a,b",r3,r2,yes,0.5,r1,h,b4,b7,1,3,u1,t1,x`
		second   = `1.jpg,"a,b",,r2,,,,,,b7,1,,,,`
		sure     = "1.jpg,\"a\nb\",,,yes,,,h,,,,infinite,,,"
		third    = `"1.jpg",a,"r,3",,,,"",,,,,,,,`
		unfilled = `1.jpg,,,,,,,,,,,,,,`
	)
	for _, c := range []struct{ path, row, want string }{
		{"input_values.image", all, "1 picture"},
		{"input_values.image", "", "1 picture"},
		{"input_values.tags.3", all, "2 INPUT:tags"},
		{"input_values.tags[3].x", all, "2 INPUT:tags"},
		{"input_values.missing", all, "0 INPUT:missing"},
		{"input_values", all, "0 input_values"},

		{"known_solutions.0.output_values.result", all, "7 GOLDEN:result"},
		{"known_solutions.1.output_values.result", all, "4 GOLDEN[2]:result"},
		{"known_solutions.2.output_values.result", all, "3 GOLDEN[3]:result"},
		{"known_solutions[2].output_values.result.1", all, "3 GOLDEN[3]:result"},
		{"known_solutions.0.output_values.result", second, "4 GOLDEN[2]:result"},
		{"known_solutions.0.correctness_weight", second, "6 GOLDEN[2]:correctness_weight"},
		{"known_solutions.0.output_values.sure", sure, "5 GOLDEN[2]:sure"},
		{"known_solutions.0.output_values.other", sure, "0 GOLDEN[2]:other"},
		{"known_solutions.0.output_values.result", third, "3 GOLDEN[3]:result"},
		{"known_solutions.0.correctness_weight", third, "0 GOLDEN[3]:correctness_weight"},
		{"known_solutions.1.output_values.result", third, "0 known_solutions.1.output_values.result"},
		{"known_solutions.0.output_values.result", unfilled, "0 known_solutions.0.output_values.result"},
		{"known_solutions.1.output_values.result", "", "4 GOLDEN[2]:result"}, // the row isn't known
		{"known_solutions.1.output_values.result", "a,b", "4 GOLDEN[2]:result"},
		{"known_solutions.0.output_values", all, "0 known_solutions.0.output_values"},
		{"known_solutions.0", all, "0 known_solutions.0"},
		{"known_solutions.-1.output_values.result", all, "0 known_solutions.-1.output_values.result"},
		{"known_solutions", all, "0 known_solutions"},

		{"baseline_solutions.0.output_values.result", all, "9 BASELINE[4]:result"},
		{"baseline_solutions.1.output_values.result", all, "10 BASELINE[7]:result"},
		{"baseline_solutions.0.output_values.result", second, "10 BASELINE[7]:result"},
		{"baseline_solutions.0.confidence_weight", second, "11 BASELINE[7]:confidence_weight"},

		{"message_on_unknown_solution", all, "8 HINT:text"},
		{"overlap", all, "12 TASK:overlap"},
		{"infinite_overlap", all, "0 TASK:infinite_overlap"},
		{"infinite_overlap", sure, "12 TASK:overlap"},
		{"reserved_for.0", all, "13 TASK:reserved_for"},
		{"traits_any_of", all, "14 TASK:traits_any_of"},
		{"unavailable_for.2", all, "0 TASK:unavailable_for"},
		{"id", all, "0 id"},
		{"pool_id", all, "0 pool_id"},
		{"", all, "0 "},
	} {
		r, err := New("f.csv", strings.NewReader(header+all+"\n"), Config{Map: map[string]string{"picture": "INPUT:image"}})
		if err != nil {
			t.Fatal(err)
		}
		closeLater(t, r)
		column, name := stored(t, r.Info()).Locate(c.path, []byte(c.row))
		if got := fmt.Sprint(column, " ", name); got != c.want {
			t.Errorf("%s of %q is column %s, want %s", c.path, c.row, got, c.want)
		}
	}
}

func TestQuotesCountWhereARowIsCutAgain(t *testing.T) {
	for quotes, want := range map[QuoteMode]string{
		QuotesAuto: "3 GOLDEN[2]:r", QuotesToloka: "3 GOLDEN[2]:r", QuotesNone: "2 GOLDEN:r",
	} {
		const row = "x;\"\";\"y\n\""
		info := Info{
			Delimiter: ';', Quotes: quotes,
			Header: []string{"INPUT:a", "GOLDEN:r", "GOLDEN[2]:r"}, Targets: []string{"INPUT:a", "GOLDEN:r", "GOLDEN[2]:r"},
		}
		column, name := info.Locate("known_solutions.0.output_values.r", []byte(row))
		if got := fmt.Sprint(column, " ", name); got != want {
			t.Errorf("with quotes %s it is column %s, want %s", quotes, got, want)
		}
	}
}

func TestTheRowsOfASourceAreCutAgain(t *testing.T) {
	s := source("rows", []string{"INPUT:a", "GOLDEN:r", "GOLDEN[2]:r"}, []string{"x\ty", "", "\"z\"\n"})
	r, err := s.Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, r)
	row, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if column, name := r.Info().Locate("known_solutions.0.output_values.r", row.Task.Raw); column != 3 || name != "GOLDEN[2]:r" {
		t.Errorf("it is column %d %s", column, name)
	}
}
