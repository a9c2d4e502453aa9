package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// coresPerBuild is how many cores one run of the compiler makes good use of.
const coresPerBuild = 4

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

// buildModules compiles the modules, on a larger machine several at a time. On
// a small one the compiler alone keeps every core busy, and two of its runs
// would both compile what their modules share.
func (b *Bed) buildModules(ctx context.Context, modules []string, missing map[string][]tool, paths map[string]string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, max(1, runtime.NumCPU()/coresPerBuild))
	var wg sync.WaitGroup
	for _, m := range modules {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := b.build(ctx, missing[m], paths); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (b *Bed) toolSource(t tool) string { return filepath.Join(b.Source, "testbed", "tools", t.module) }

// build compiles tools of one module in one run of the compiler, which links
// the first while it compiles for the next.
func (b *Bed) build(ctx context.Context, ts []tool, paths map[string]string) (err error) {
	source := b.toolSource(ts[0])
	gomod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return fmt.Errorf("building %s: %w", ts[0].name, err)
	}
	var what, flags, pkgs []string
	for _, t := range ts {
		version, err := requiredVersion(gomod, t.from)
		if err != nil {
			return fmt.Errorf("building %s: %w", t.name, err)
		}
		what = append(what, t.name+" "+version)
		flags = append(flags, t.ldflags(version))
		pkgs = append(pkgs, t.pkg)
	}
	list := strings.Join(what, ", ")
	end := b.Log.Step("building %s", list)
	defer func() { end(err) }()

	bin := filepath.Dir(paths[ts[0].name])
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return fmt.Errorf("building %s: %w", list, err)
	}
	left, err := filepath.Glob(filepath.Join(bin, ".build-*"))
	if err != nil {
		return fmt.Errorf("building %s: %w", list, err)
	}
	for _, dir := range left { // of a run that was killed; this one holds the lock
		os.RemoveAll(dir)
	}
	tmp, err := os.MkdirTemp(bin, ".build-*")
	if err != nil {
		return fmt.Errorf("building %s: %w", list, err)
	}
	defer os.RemoveAll(tmp)
	args := append([]string{"build"}, buildFlags...)
	if ts[0].gcflags != "" {
		args = append(args, "-gcflags="+ts[0].gcflags)
	}
	args = append(args, "-ldflags", strings.Join(flags, " "), "-o", tmp+"/")
	cmd := exec.CommandContext(ctx, "go", append(args, pkgs...)...)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	interruptible(cmd)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("building %s: %w\n%s", list, err, lastLines(text.String(), logTail))
	}
	for _, t := range ts {
		if err := os.Rename(filepath.Join(tmp, t.built()), paths[t.name]); err != nil {
			return fmt.Errorf("building %s: %w", t.name, err)
		}
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
