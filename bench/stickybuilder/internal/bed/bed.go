// Package bed provides what the benchmark of docker stickybuilder runs on.
package bed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/bench/internal/exclusive"
	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/internal/registry"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/testbed"
)

// A Bed is open until Close.
type Bed struct {
	Scratch string             // emptied at Close
	Ours    string             // the docker-stickybuilder of this checkout
	Buildx  string             // buildx, called by itself
	Base    string             // reference of a Debian
	Store   *registry.Registry // what contestants keep in a registry
	Results *registry.Registry // where builds push their images
	Sources *registry.Registry // what they begin with, beside the base
	Image   string             // BuildKit in the engine
	Log     func(format string, args ...any)

	env    testbed.Env
	path   string
	pulled []string // images to be removed from the engine
	lock   *os.File
}

// Open prepares everything that is missing: the plugin of this checkout, registries,
// the engine's image with BuildKit. The testbed must be up.
func Open(ctx context.Context, cache string, log func(string, ...any)) (*Bed, error) {
	if os.Geteuid() != 0 {
		return nil, fault.Hint(errors.New("preparing the benchmark: it mounts filesystems"), "run it as root")
	}
	dirs, err := testbed.DefaultDirs(os.Getenv)
	if err != nil {
		return nil, err
	}
	if dirs.Source == "" {
		return nil, fault.Hint(errors.New("finding the checkout: not below one"), "run the benchmark inside of the project's directory")
	}
	env, err := dirs.Env(ctx)
	if err == nil && (env.DockerHost == "" || env.Docker == "") {
		err = errors.New("looking for an engine: the testbed has none")
	}
	if err != nil {
		return nil, fault.Hint(err, "run go run ./testbed/cmd/testbed up --profile test")
	}
	if cache == "" {
		cache = filepath.Join(dirs.Cache, "bench-stickybuilder")
	}
	b := &Bed{
		Scratch: filepath.Join(cache, "scratch"), Ours: filepath.Join(cache, "bin", "docker-stickybuilder"),
		Buildx: filepath.Join(env.CLIPlugins, "docker-buildx"), Base: env.BaseImage, Log: log,
		env: env, path: env.ToolsDir + ":" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin",
	}
	if b.lock, err = exclusive.Lock(cache); err != nil {
		return nil, err
	}
	if err := b.open(ctx, dirs.Source); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Bed) open(ctx context.Context, source string) (err error) {
	if err := b.clean(); err != nil {
		return err
	}
	argv := []string{"go", "build", "-trimpath", "-o", b.Ours, "./plugins/docker-stickybuilder"}
	if _, err := measure.Run(ctx, measure.Command{Argv: argv, Dir: source}); err != nil {
		return fmt.Errorf("building docker-stickybuilder: %w", err)
	}
	if b.Store, err = registry.Start(ctx, b.Tool("registry"), filepath.Join(b.Scratch, "store")); err != nil {
		return err
	}
	if b.Results, err = registry.Start(ctx, b.Tool("registry"), filepath.Join(b.Scratch, "results")); err != nil {
		return err
	}
	if b.Sources, err = registry.Start(ctx, b.Tool("registry"), filepath.Join(b.Scratch, "sources")); err != nil {
		return err
	}
	return b.makeImage(ctx)
}

// Close stops what Open started and removes what is not kept.
func (b *Bed) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, image := range b.pulled {
		_, _ = b.Docker(ctx, "image", "rm", image)
	}
	for _, r := range []*registry.Registry{b.Store, b.Results, b.Sources} {
		if r != nil {
			r.Stop()
		}
	}
	return errors.Join(b.clean(), b.lock.Close())
}

// clean empties the scratch directory, of which a run that was killed may have left
// filesystems mounted.
func (b *Bed) clean() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return fmt.Errorf("emptying the scratch directory: %w", err)
	}
	lines := strings.Split(string(mounts), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if f := strings.Fields(lines[i]); len(f) > 1 && strings.HasPrefix(f[1], b.Scratch+"/") {
			if err := unix.Unmount(f[1], 0); err != nil {
				return fmt.Errorf("emptying the scratch directory: unmounting %s: %w", f[1], err)
			}
		}
	}
	if err := os.RemoveAll(b.Scratch); err != nil {
		return fmt.Errorf("emptying the scratch directory: %w", err)
	}
	return os.MkdirAll(b.Scratch, 0o755)
}

// Tool returns the path of a program of the testbed.
func (b *Bed) Tool(name string) string { return filepath.Join(b.env.ToolsDir, name) }

// Env is the environment of contestants: nothing of the caller's CI or docker, and
// the plugin's state in state.
func (b *Bed) Env(state string) []string {
	var out []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "BUILDX_") && !strings.HasPrefix(name, "GITHUB_") && !strings.HasPrefix(name, "DOCKER_") && name != "CI" && name != "PATH" {
			out = append(out, v)
		}
	}
	return append(out, "PATH="+b.path, "XDG_STATE_HOME="+state, "DOCKER_CONFIG="+filepath.Join(b.Scratch, "docker"),
		"DOCKER_HOST="+b.env.DockerHost, "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "BUILDX_BAKE_ENTITLEMENTS_FS=0", "NO_COLOR=1")
}

// Run runs a contestant's program and returns its output.
func (b *Bed) Run(ctx context.Context, argv ...string) (string, error) {
	var out bytes.Buffer
	_, err := measure.Run(ctx, measure.Command{Argv: argv, Env: b.Env(filepath.Join(b.Scratch, "state")), Stdout: &out})
	return strings.TrimSpace(out.String()), err
}

// Docker runs the docker CLI against the testbed's engine.
func (b *Bed) Docker(ctx context.Context, args ...string) (string, error) {
	return b.Run(ctx, append([]string{b.env.Docker, "--host", b.env.DockerHost}, args...)...)
}

// Work makes an empty directory below Scratch.
func (b *Bed) Work(name string) (string, error) {
	dir := filepath.Join(b.Scratch, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("emptying %s: %w", name, err)
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// Config writes a buildkitd.toml that begins with head and knows all registries, also
// by the further addresses.
func (b *Bed) Config(file, head string, addrs ...string) error {
	text, err := os.ReadFile(b.env.BuildkitdConfig)
	if err != nil {
		return fmt.Errorf("writing buildkitd's configuration: %w", err)
	}
	text = append([]byte(head+"\n"), text...)
	for _, a := range append(addrs, b.Store.Addr, b.Results.Addr, b.Sources.Addr) {
		text = fmt.Appendf(text, "\n[registry.%q]\n  http = true\n", a)
	}
	return os.WriteFile(file, text, 0o644)
}
