package pipeline_test

import (
	"fmt"
	"strings"
	"testing"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
	"poolfill/uploader"
)

// Files of one run know each other as those of runs that follow each other do.
func TestEqualRowsOfFilesOfOneRunAreCreatedOnce(t *testing.T) {
	for _, guard := range []pipeline.Guard{pipeline.GuardLedger, pipeline.GuardPool} {
		for _, mode := range []uploader.Mode{uploader.Async, uploader.Sync} {
			t.Run(fmt.Sprint(guard, ", ", mode), func(t *testing.T) {
				t.Parallel()
				twice := images(20) + strings.Join(strings.SplitAfter(images(3), "\n")[1:], "")
				texts := []string{images(20), strings.ReplaceAll(twice, "\t", ";"), images(25)}
				var paths []string
				for i, text := range texts {
					paths = append(paths, write(t, fmt.Sprint(i, ".csv"), text))
				}
				server, url := serve(t, emulator.Config{}, nil)
				cfg := config(url, paths...)
				cfg.Mode, cfg.Job = mode, pipeline.Upload{Guard: guard}
				together, _ := openBook(t).upload(t, t.Context(), cfg)
				wantTotals(t, "together", together, 20+3+5, 20+20, 0)
				if got := server.Stats().Pools["1"]; got != 28 {
					t.Errorf("%d tasks in the pool", got)
				}
				other, url := serve(t, emulator.Config{}, nil)
				b := openBook(t)
				for _, path := range paths {
					one := config(url, path)
					one.Mode, one.Job = mode, cfg.Job
					b.upload(t, t.Context(), one)
				}
				if got := other.Stats().Pools["1"]; got != 28 {
					t.Errorf("%d tasks in the pool after one run each", got)
				}
			})
		}
	}
}

// Tasks that are sent otherwise are other tasks, whatever is in them.
func TestTheGuardByThePoolSeesAllThatIsSent(t *testing.T) {
	row := "https://example.com/1.jpg\t"
	for name, rows := range map[string][2]string{
		"TASK:reserved_for":    {"u1", "u2"},
		"TASK:unavailable_for": {"u1", "u1,u2"},
		"TASK:overlap":         {"2", "3"},
		"TASK:traits_all_of":   {"t1", "t2"},
		"TASK:traits_any_of":   {"", "t2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, url := serve(t, emulator.Config{}, nil)
			b := openBook(t)
			cfg := config(url)
			cfg.Job = pipeline.Upload{Guard: pipeline.GuardPool}
			for i, want := range []int64{1, 1, 0} {
				cfg.Files = []string{write(t, "a.tsv", "INPUT:image\t"+name+"\n"+row+rows[min(i, 1)]+strings.Repeat("\n", i+1))}
				r, _ := b.upload(t, t.Context(), cfg)
				wantTotals(t, fmt.Sprint("file ", i), r, want, 1-want, 0)
			}
			if got := server.Stats().Pools["1"]; got != 2 {
				t.Errorf("%d tasks in the pool", got)
			}
		})
	}
}
