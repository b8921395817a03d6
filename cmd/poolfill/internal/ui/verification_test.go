package ui

import (
	"fmt"
	"strings"
	"testing"

	"poolfill/pipeline"
)

func TestAVerificationSaysWhatDiffers(t *testing.T) {
	var some []pipeline.Difference
	for i := range int64(12) {
		some = append(some, pipeline.Difference{Kind: pipeline.Foreign, TaskID: fmt.Sprint("t", i)})
	}
	some[0] = pipeline.Difference{Kind: pipeline.Missing, File: "a.tsv", Line: 3, Record: 2}
	some[1] = pipeline.Difference{Kind: pipeline.Changed, File: "a.tsv", Line: 4, Record: 3, TaskID: "t1"}
	some[2] = pipeline.Difference{Kind: pipeline.Doubled, File: "a.tsv", Line: 5, Record: 4, TaskID: "t2"}
	for _, tc := range []struct {
		name  string
		found Verification
		want  string
	}{
		{
			"well",
			Verification{Verification: pipeline.Verification{RunID: "5c0f", PoolID: "7", Accounts: pipeline.Accounts{Tasks: 12, Rows: 1}}},
			"Pool 7 holds each of the 1 row of run 5c0f once; it has 12 tasks.\n",
		},
		{
			"all kinds",
			Verification{
				Verification: pipeline.Verification{
					PoolID: "7", Accounts: pipeline.Accounts{Tasks: 1, Rows: 2000, Missing: 1, Changed: 1, Doubled: 1, Foreign: 1009, InDoubt: 2, Found: 1},
					Rejected: 1, Differences: some,
				},
				Outputs: map[string]string{"verify": "out/verify.tsv"},
			},
			`Pool 7 does not hold each of the 2,000 valid rows once, and nothing else; it has 1 task.

        1  missing  rows that have no task
        1  doubled  tasks beyond one for each row like them
        1  changed  rows whose task holds something else now
    1,009  foreign  tasks that are no row's

  missing: a.tsv:3
  changed: a.tsv:4, task t1
  doubled: task t2, like a.tsv:5
  foreign: task t3
  foreign: task t4
  foreign: task t5
  foreign: task t6
  foreign: task t7
  foreign: task t8
  foreign: task t9
  and 1,002 more

Beside them 2 rows are in doubt, and the pool has tasks for 1: run the command of the upload again.

1 row is no valid task and not looked for: see 'poolfill check'.

Every difference: out/verify.tsv
`,
		},
	} {
		var out strings.Builder
		if err := tc.found.Text(&out); err != nil || out.String() != tc.want {
			t.Errorf("%s: it says\n%s\nand not\n%s(%v)", tc.name, &out, tc.want, err)
		}
	}
}
