package testbed

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// fakeCheckout has one tools module, of a program that prints its stamp.
func fakeCheckout(t *testing.T, mainGo string) Dirs {
	t.Helper()
	src := t.TempDir()
	dir := filepath.Join(src, "testbed", "tools", "registry")
	write(t, filepath.Join(src, "go.mod"), "module github.com/dockerfactory/dockerfactory\n")
	write(t, filepath.Join(dir, "go.mod"), "module x/registry\n\ngo 1.24\n\nrequire github.com/distribution/distribution/v3 v3.1.2\n")
	write(t, filepath.Join(dir, "go.sum"), "")
	write(t, filepath.Join(dir, "main.go"), mainGo)
	return dirsIn(t, src)
}

func dirsIn(t *testing.T, source string) Dirs {
	t.Helper()
	cache := t.TempDir()
	state := filepath.Join(cache, "state")
	d := Dirs{Cache: cache, State: state, Run: filepath.Join(state, "run"), Source: source}
	if err := d.make(); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestBuildOnce(t *testing.T) {
	dirs := fakeCheckout(t, "package main\n\nfunc main() { println(\"hello\") }\n")
	var logs [2]bytes.Buffer
	var paths [2]string
	var wg sync.WaitGroup
	for i := range paths {
		wg.Go(func() {
			built, err := Open(dirs, &logs[i], os.Getenv).Build(t.Context(), []string{"registry"})
			if err != nil {
				t.Error(err)
			}
			paths[i] = built["registry"]
		})
	}
	wg.Wait()
	if paths[0] != paths[1] || paths[0] == "" {
		t.Fatalf("two builds at once gave %q and %q", paths[0], paths[1])
	}
	if n := strings.Count(logs[0].String()+logs[1].String(), "building registry v3.1.2: done"); n != 1 {
		t.Errorf("built %d times\n%s%s", n, &logs[0], &logs[1])
	}
	out, err := exec.CommandContext(t.Context(), paths[0]).CombinedOutput()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("the tool says %q, %v", out, err)
	}
	entries, err := os.ReadDir(filepath.Dir(paths[0]))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the tool lies something: %v, %v", entries, err)
	}
}

func TestBuildFails(t *testing.T) {
	dirs := fakeCheckout(t, "package main\n\nfunc main() { undefined() }\n")
	var log bytes.Buffer
	_, err := Open(dirs, &log, os.Getenv).Build(t.Context(), []string{"registry"})
	if err == nil || !strings.Contains(err.Error(), "building registry") || !strings.Contains(err.Error(), "undefined: undefined") {
		t.Fatalf("the error does not tell what the compiler said: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(dirs.Cache, "tools", "*", "bin", "*"))
	hidden, _ := filepath.Glob(filepath.Join(dirs.Cache, "tools", "*", "bin", ".*"))
	if len(left)+len(hidden) > 0 {
		t.Errorf("left behind: %v %v", left, hidden)
	}
}

func TestBuildUnknown(t *testing.T) {
	dirs := fakeCheckout(t, "package main\n\nfunc main() {}\n")
	if _, err := Open(dirs, &bytes.Buffer{}, os.Getenv).Build(t.Context(), []string{"registrar"}); err == nil ||
		!strings.Contains(err.Error(), `there is no "registrar"`) {
		t.Errorf("got %v", err)
	}
	dirs.Source = ""
	if _, err := Open(dirs, &bytes.Buffer{}, os.Getenv).Build(t.Context(), []string{"registry"}); err == nil ||
		!strings.Contains(err.Error(), "checkout is not known") {
		t.Errorf("got %v", err)
	}
}
