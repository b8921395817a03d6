package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// release is "VERSION COMMIT DATE" where the build says so with
// -ldflags "-X 'main.release=…'": for builds without git, such as from an
// archive of the sources. Elsewhere the go command records the same.
var release string

// version says which build this is.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return describeBuild(info, release)
}

// describeBuild returns version, commit, date of the commit, toolchain and system.
func describeBuild(info *debug.BuildInfo, release string) string {
	recorded := make(map[string]string, len(info.Settings))
	for _, s := range info.Settings {
		recorded[s.Key] = s.Value
	}
	v, commit, date := info.Main.Version, recorded["vcs.revision"], recorded["vcs.time"]
	if given := strings.Fields(release); len(given) == 3 {
		v, commit, date = given[0], given[1], given[2]
	}
	const short = 12 // as in Go's own pseudo-versions
	from := ""
	if commit != "" && date != "" {
		from = fmt.Sprintf(" (commit %s of %s)", commit[:min(short, len(commit))], date)
	}
	return fmt.Sprintf("%s%s %s %s/%s", cmp.Or(v, "(devel)"), from, cmp.Or(info.GoVersion, runtime.Version()), runtime.GOOS, runtime.GOARCH)
}

// versionFormat is what --version prints.
const versionFormat = "poolfill %s\n"
