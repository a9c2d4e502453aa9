package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// parallelBuilds is how many tools modules are compiled at a time.
const parallelBuilds = 2

// Build makes the named tools and returns the path of each. One that is up to
// date is not built again; two processes build it once.
func (b *Bed) Build(ctx context.Context, names []string) (map[string]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if b.Source == "" {
		return nil, fault.Hint(errors.New("building tools: the checkout is not known"), "run the testbed inside of the checkout")
	}
	unlock, err := lock(ctx, filepath.Join(b.Cache, "tools", ".lock"), b.Log)
	if err != nil {
		return nil, err
	}
	defer unlock()

	goVersion, err := goVersion(ctx, b.Source)
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	missing := map[string][]tool{} // by module
	var modules []string
	for _, name := range names {
		t, ok := findTool(name)
		if !ok {
			return nil, fault.Hint(fmt.Errorf("building tools: there is no %q", name), "name some of %s", strings.Join(ToolNames(), ", "))
		}
		key, err := moduleKey(b.toolSource(t), goVersion)
		if err != nil {
			return nil, err
		}
		paths[name] = filepath.Join(b.Cache, "tools", key, "bin", name)
		if _, err := os.Stat(paths[name]); err == nil {
			continue
		}
		if !slices.Contains(modules, t.module) {
			modules = append(modules, t.module)
		}
		missing[t.module] = append(missing[t.module], t)
	}
	return paths, b.buildModules(ctx, modules, missing, paths)
}

// buildModules compiles the modules side by side, and the tools of one module
// after another: the first leaves most of the next in the compiler's cache.
func (b *Bed) buildModules(ctx context.Context, modules []string, missing map[string][]tool, paths map[string]string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, parallelBuilds)
	var wg sync.WaitGroup
	for _, m := range modules {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Add(1)
		go func() {
			defer func() { <-slots; wg.Done() }()
			for _, t := range missing[m] {
				if err := b.build(ctx, t, paths[t.name]); err != nil {
					cancel(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (b *Bed) toolSource(t tool) string { return filepath.Join(b.Source, "testbed", "tools", t.module) }

func (b *Bed) build(ctx context.Context, t tool, dest string) (err error) {
	gomod, err := os.ReadFile(filepath.Join(b.toolSource(t), "go.mod"))
	if err != nil {
		return fmt.Errorf("building %s: %w", t.name, err)
	}
	version, err := requiredVersion(gomod, t.from)
	if err != nil {
		return fmt.Errorf("building %s: %w", t.name, err)
	}
	end := b.Log.Step("building %s %s", t.name, version)
	defer func() { end(err) }()

	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		return fmt.Errorf("building %s: %w", t.name, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dest), ".build-*")
	if err != nil {
		return fmt.Errorf("building %s: %w", t.name, err)
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, t.name)
	args := append([]string{"build"}, buildFlags...)
	if t.gcflags != "" {
		args = append(args, "-gcflags="+t.gcflags)
	}
	args = append(args, "-ldflags", t.ldflags(version), "-o", out, t.pkg)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.toolSource(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	interruptible(cmd)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("building %s: %w\n%s", t.name, err, lastLines(text.String(), logTail))
	}
	if err := os.Rename(out, dest); err != nil {
		return fmt.Errorf("building %s: %w", t.name, err)
	}
	return nil
}

// goVersion asks in the checkout, so that its go.mod can choose the toolchain.
func goVersion(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOOS", "GOARCH")
	cmd.Dir = dir
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fault.Hint(errors.New("building tools: go is not on PATH"), "install Go 1.26 or newer, see https://go.dev/dl")
	}
	if err != nil {
		return "", fmt.Errorf("asking go for its version: %w", err)
	}
	return strings.Join(strings.Fields(string(out)), " "), nil
}
