package testbed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestModuleKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "registry")
	write(t, filepath.Join(dir, "go.mod"), "module x\n")
	write(t, filepath.Join(dir, "go.sum"), "")
	write(t, filepath.Join(dir, "main.go"), "package main\n")
	key := func(goVersion string) string {
		t.Helper()
		k, err := moduleKey(dir, goVersion)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := key("go1.26.8 linux amd64")
	if !strings.HasPrefix(first, "registry-") {
		t.Errorf("the key %s does not name its module", first)
	}
	if again := key("go1.26.8 linux amd64"); again != first {
		t.Errorf("the same sources gave %s and %s", first, again)
	}
	seen := map[string]string{first: "the original"}
	differs := func(what, k string) {
		t.Helper()
		if other, ok := seen[k]; ok {
			t.Errorf("%s has the key of %s", what, other)
		}
		seen[k] = what
	}
	differs("another compiler", key("go1.26.9 linux amd64"))
	write(t, filepath.Join(dir, "go.sum"), "a\n")
	differs("another go.sum", key("go1.26.8 linux amd64"))
	write(t, filepath.Join(dir, "main.go"), "package main // changed\n")
	differs("another source", key("go1.26.8 linux amd64"))
	write(t, filepath.Join(dir, "README.md"), "not built\n")
	if k := key("go1.26.8 linux amd64"); seen[k] != "another source" {
		t.Error("a file that is not built changed the key")
	}
}

func TestRequiredVersion(t *testing.T) {
	const gomod = `module x

require github.com/one/single v1.2.3

require (
	github.com/docker/cli v29.8.0+incompatible // indirect
	github.com/docker/cli/extra v1.0.0
	github.com/moby/buildkit v0.33.0
)
`
	for module, want := range map[string]string{
		"github.com/docker/cli": "v29.8.0", "github.com/moby/buildkit": "v0.33.0", "github.com/one/single": "v1.2.3",
	} {
		if got, err := requiredVersion([]byte(gomod), module); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %s", module, got, err, want)
		}
	}
	if v, err := requiredVersion([]byte(gomod), "github.com/moby"); err == nil {
		t.Errorf("a prefix of a module has the version %s", v)
	}
}

// Every tool has to name a module that exists and requires what is stamped.
func TestToolsAreDefined(t *testing.T) {
	for _, tl := range tools {
		dir := filepath.Join("tools", tl.module)
		gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil {
			t.Error(err)
			continue
		}
		version, err := requiredVersion(gomod, tl.from)
		if err != nil {
			t.Errorf("%s: %v", tl.name, err)
		}
		if flags := tl.ldflags(version); !strings.Contains(flags, strings.TrimPrefix(version, "v")) {
			t.Errorf("%s is not stamped with %s: %s", tl.name, version, flags)
		}
		if tl.pkg != "." && !strings.Contains(string(gomod), tl.pkg) {
			t.Errorf("%s: %s/go.mod has no tool %s", tl.name, dir, tl.pkg)
		}
	}
	for _, name := range append(append(append([]string{}, demoTools...), testTools...), engineTools...) {
		if _, ok := findTool(name); !ok {
			t.Errorf("there is no tool %s", name)
		}
	}
}

// The demo compiles buildkitd, buildx, the registry and the suite. Where they
// require the same module in the same version, it is compiled once.
func TestDemoToolsShareTheSuitesVersions(t *testing.T) {
	suite := requirements(t, "../go.mod")
	for _, module := range []string{"buildkit", "registry"} {
		shared, apart := 0, []string{}
		for path, version := range requirements(t, filepath.Join("tools", module, "go.mod")) {
			switch suite[path] {
			case "":
			case version:
				shared++
			default:
				apart = append(apart, path)
			}
		}
		if len(apart)*10 > shared {
			t.Errorf("%d modules of tools/%s have another version than in the suite's go.mod, %d the same: %s\n"+
				"raise them there: every one of them is compiled twice", len(apart), module, shared, strings.Join(apart, " "))
		}
	}
}

func requirements(t *testing.T, gomod string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(gomod)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(b), "\nexclude")
	out := map[string]string{}
	for line := range strings.Lines(text) {
		f := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(f) >= 2 && strings.HasPrefix(f[1], "v") {
			out[f[0]] = f[1]
		}
	}
	return out
}
