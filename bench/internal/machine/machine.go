// Package machine says what figures depend on: the machine and the versions of programs.
package machine

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/dockerfactory/dockerfactory/bench/internal/markdown"
	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
)

// Facts are what figures depend on.
type Facts struct {
	CPU    string            `json:"cpu"`
	Cores  int               `json:"cores"`
	Memory int64             `json:"memory"` // bytes
	Kernel string            `json:"kernel"`
	OS     string            `json:"os"`
	Tools  map[string]string `json:"tools"` // versions
}

// Look asks the machine, and each of the tools for its version: argv by name.
func Look(ctx context.Context, tools map[string][]string, env []string) (Facts, error) {
	f := Facts{Cores: runtime.NumCPU(), Tools: map[string]string{}}
	f.CPU = field("/proc/cpuinfo", `model name\s*: (.*)`)
	f.OS = strings.Trim(field("/etc/os-release", `PRETTY_NAME=(.*)`), `"`)
	f.Kernel = field("/proc/sys/kernel/osrelease", `^([0-9.]+)`)
	if kb, err := strconv.ParseInt(field("/proc/meminfo", `MemTotal:\s*(\d+) kB`), 10, 64); err == nil {
		f.Memory = kb << 10
	}
	for name, argv := range tools {
		var out bytes.Buffer
		if _, err := measure.Run(ctx, measure.Command{Argv: argv, Env: env, Stdout: &out}); err != nil {
			return f, fmt.Errorf("asking %s for its version: %w", name, err)
		}
		f.Tools[name] = version(out.String())
	}
	return f, nil
}

// Markdown renders f as a table that begins with the date, if there is one.
func (f Facts) Markdown(date string) string {
	rows := [][]string{{"processor", fmt.Sprintf("%s, %d cores", f.CPU, f.Cores)}, {"memory", markdown.MB(f.Memory) + " MB"}, {"system", f.OS + ", Linux " + f.Kernel}}
	if date != "" {
		rows = append([][]string{{"date", date}}, rows...)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Tools)) {
		rows = append(rows, []string{name, f.Tools[name]})
	}
	return markdown.Table([]string{"", ""}, rows)
}

var (
	dotted     = regexp.MustCompile(`v?\d+\.\d+(\.\d+)?(-\w[\w.]*)?`)
	dependency = regexp.MustCompile(`(?m)^\s+(?:mod|dep)\s+(github\.com/(?:regclient/regclient|moby/buildkit|docker/buildx|distribution/distribution/v3))\s+(\S+)`)
)

// version finds the version in what a program, or "go version -m" of it, prints.
func version(text string) string {
	if m := dependency.FindStringSubmatch(text); m != nil {
		return m[2]
	}
	return dotted.FindString(text)
}

func field(path, pattern string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	m := regexp.MustCompile(`(?m)` + pattern).FindSubmatch(text)
	if m == nil {
		return ""
	}
	return strings.TrimSpace(string(m[1]))
}
