package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestDescribeBuild(t *testing.T) {
	fromGit := &debug.BuildInfo{
		GoVersion: "go1.26.8",
		Main:      debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{
			{Key: "vcs", Value: "git"},
			{Key: "vcs.revision", Value: "f2f719eec214baddc7b0455c00a78feb246ed528"},
			{Key: "vcs.time", Value: "2026-11-24T13:01:10Z"},
		},
	}
	system := " " + runtime.GOOS + "/" + runtime.GOARCH
	for name, c := range map[string]struct {
		info    *debug.BuildInfo
		release string
		want    string
	}{
		"from a clone":    {fromGit, "", "v1.2.3 (commit f2f719eec214 of 2026-11-24T13:01:10Z) go1.26.8"},
		"from an archive": {&debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "(devel)"}}, "v1.2.4 0a1b2c3 2026-12-01T08:00:00Z", "v1.2.4 (commit 0a1b2c3 of 2026-12-01T08:00:00Z) go1.26.8"},
		"said and known":  {fromGit, "v1.2.4 0a1b2c3 2026-12-01T08:00:00Z", "v1.2.4 (commit 0a1b2c3 of 2026-12-01T08:00:00Z) go1.26.8"},
		"said in part":    {fromGit, "v1.2.4", "v1.2.3 (commit f2f719eec214 of 2026-11-24T13:01:10Z) go1.26.8"},
		"by go install":   {&debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v1.2.3"}}, "", "v1.2.3 go1.26.8"},
		"nothing known":   {&debug.BuildInfo{}, "", "(devel) " + runtime.Version()},
	} {
		t.Run(name, func(t *testing.T) {
			if got := describeBuild(c.info, c.release); got != c.want+system {
				t.Errorf("got  %q\nwant %q", got, c.want+system)
			}
		})
	}
}
