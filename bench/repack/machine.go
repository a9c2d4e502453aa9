package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/measure"
)

// Facts are what figures depend on: the machine and the versions of the programs.
type Facts struct {
	CPU    string            `json:"cpu"`
	Cores  int               `json:"cores"`
	Memory int64             `json:"memory"` // bytes
	Kernel string            `json:"kernel"`
	OS     string            `json:"os"`
	Tools  map[string]string `json:"tools"`
}

func facts(ctx context.Context, b *bed.Bed) (Facts, error) {
	f := Facts{Cores: runtime.NumCPU(), Tools: map[string]string{}}
	f.CPU = field("/proc/cpuinfo", `model name\s*: (.*)`)
	f.OS = strings.Trim(field("/etc/os-release", `PRETTY_NAME=(.*)`), `"`)
	f.Kernel = field("/proc/sys/kernel/osrelease", `^([0-9.]+)`)
	if kb, err := strconv.ParseInt(field("/proc/meminfo", `MemTotal:\s*(\d+) kB`), 10, 64); err == nil {
		f.Memory = kb << 10
	}
	for name, argv := range map[string][]string{
		"go":            {"go", "version"},
		"docker-repack": {b.Rival, "--version"},
		"skopeo":        {"skopeo", "--version"},
		"umoci":         {"umoci", "--version"},
		"rsync":         {"rsync", "--version"},
		"zstd":          {"zstd", "--version"},
		"regctl":        {"go", "version", "-m", b.Tool("regctl")},
		"buildkitd":     {"go", "version", "-m", b.Tool("buildkitd")},
		"registry":      {"go", "version", "-m", b.Tool("registry")},
	} {
		var out bytes.Buffer
		if _, err := measure.Run(ctx, measure.Command{Argv: argv, Env: b.Env(b.Scratch), Stdout: &out}); err != nil {
			return f, fmt.Errorf("asking %s for its version: %w", name, err)
		}
		f.Tools[name] = version(out.String())
	}
	engine, _, err := b.Docker(ctx, "version", "--format", "{{range .Server.Components}}{{.Name}} {{.Version}}, {{end}}")
	if err != nil {
		return f, fmt.Errorf("asking the engine for its version: %w", err)
	}
	f.Tools["engine"] = strings.Trim(strings.TrimSpace(engine), ",")
	return f, nil
}

var (
	dotted     = regexp.MustCompile(`v?\d+\.\d+(\.\d+)?(-\w[\w.]*)?`)
	dependency = regexp.MustCompile(`(?m)^\s+(?:mod|dep)\s+(github\.com/(?:regclient/regclient|moby/buildkit|distribution/distribution/v3))\s+(\S+)`)
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
