package bed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/dockerfactory/dockerfactory/bench/internal/exclusive"
	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/internal/registry"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/testbed"
)

// rivalVersion of docker-repack on crates.io.
const rivalVersion = "0.5.0"

// packages that bring what neither the testbed nor the suite has: program → Debian package.
var packages = map[string]string{"zstd": "zstd", "rsync": "rsync", "skopeo": "skopeo", "umoci": "umoci"}

// A Bed is open until Close.
type Bed struct {
	Cache   string // what is kept from run to run
	Scratch string // emptied at Close
	Path    string // PATH that finds all tools
	Ours    string // the docker-repack of this checkout
	Rival   string // docker-repack of crates.io
	Sources *registry.Registry
	Results *registry.Registry
	Log     func(format string, args ...any)

	images         string // directory of the Dockerfiles
	buildkitConfig string
	tools          string
	docker         string
	engine         *engine
	lock           *os.File
}

// Open prepares everything that is missing: packages, the rival, the plugin of
// this checkout, registries. The testbed must be up.
func Open(ctx context.Context, cache string, log func(string, ...any)) (*Bed, error) {
	dirs, err := testbed.DefaultDirs(os.Getenv)
	if err != nil {
		return nil, err
	}
	if dirs.Source == "" {
		return nil, fault.Hint(errors.New("finding the checkout: not below one"), "run the benchmark inside of the project's directory")
	}
	env, err := dirs.Env(ctx)
	if err != nil {
		return nil, fault.Hint(err, "run go run ./testbed/cmd/testbed up --profile test")
	}
	if cache == "" {
		cache = filepath.Join(dirs.Cache, "bench")
	}
	b := &Bed{
		Cache: cache, Log: log, Scratch: filepath.Join(cache, "scratch"),
		Path: env.ToolsDir + ":" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin",
		Ours: filepath.Join(cache, "bin", "docker-repack"), Rival: filepath.Join(cache, "cargo", "bin", "docker-repack"),
		images:         filepath.Join(dirs.Source, "bench", "repack", "images"),
		buildkitConfig: env.BuildkitdConfig, tools: env.ToolsDir, docker: env.Docker,
	}
	if env.Docker == "" {
		return nil, fault.Hint(errors.New("looking for the docker CLI: the testbed has none"), "run go run ./testbed/cmd/testbed up --profile test")
	}
	if b.lock, err = exclusive.Lock(cache); err != nil {
		return nil, err
	}
	if err := b.clean(); err != nil {
		return nil, err
	}
	if err := b.install(ctx); err != nil {
		return nil, err
	}
	if err := b.build(ctx, dirs.Source); err != nil {
		return nil, err
	}
	engineTools, err := testbed.Open(dirs, os.Stderr, os.Getenv).Build(ctx, []string{"containerd", "dockerd"})
	if err != nil {
		return nil, err
	}
	if err := b.start(ctx, engineTools); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Bed) start(ctx context.Context, engineTools map[string]string) (err error) {
	if b.Sources, err = registry.Start(ctx, b.Tool("registry"), filepath.Join(b.Cache, "sources")); err != nil {
		return err
	}
	if b.Results, err = registry.Start(ctx, b.Tool("registry"), filepath.Join(b.Scratch, "results")); err != nil {
		return err
	}
	b.engine, err = b.startEngine(ctx, engineTools)
	return err
}

// Close stops what Open started, and removes what is not kept.
func (b *Bed) Close() error {
	if b.engine != nil {
		b.engine.stop()
	}
	for _, r := range []*registry.Registry{b.Sources, b.Results} {
		if r != nil {
			r.Stop()
		}
	}
	return errors.Join(b.clean(), b.lock.Close())
}

func (b *Bed) clean() error {
	b.unmountEngineDisk()
	if err := os.RemoveAll(b.Scratch); err != nil {
		return fmt.Errorf("emptying the scratch directory: %w", err)
	}
	return os.MkdirAll(b.Scratch, 0o755)
}

// Tool returns the path of a program of the testbed.
func (b *Bed) Tool(name string) string { return filepath.Join(b.tools, name) }

// Env is the environment of contestants, with their temporary files in tmp.
func (b *Bed) Env(tmp string) []string {
	return append(os.Environ(), "PATH="+b.Path, "TMPDIR="+tmp, "DOCKER_CONFIG="+filepath.Join(b.Scratch, "docker"),
		"REGCTL_CONFIG="+filepath.Join(b.Scratch, "regctl.json"), "NO_COLOR=1")
}

// Work makes an empty directory below Scratch.
func (b *Bed) Work(name string) (string, error) {
	dir := filepath.Join(b.Scratch, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("emptying %s: %w", name, err)
	}
	return dir, os.MkdirAll(dir, 0o755)
}

func (b *Bed) install(ctx context.Context) error {
	var missing []string
	for program, pkg := range packages {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) > 0 {
		b.Log("installing %s", strings.Join(missing, ", "))
		argv := append([]string{"apt-get", "install", "-y", "--no-install-recommends"}, missing...)
		if _, err := measure.Run(ctx, measure.Command{Argv: argv, Env: append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")}); err != nil {
			return fault.Hint(err, "run apt-get update first")
		}
	}
	if _, err := os.Stat(b.Rival); err == nil {
		return nil
	}
	b.Log("installing docker-repack %s of crates.io", rivalVersion)
	argv := []string{"cargo", "install", "docker-repack", "--version", rivalVersion, "--locked", "--root", filepath.Join(b.Cache, "cargo")}
	env := append(os.Environ(), "CARGO_TARGET_DIR="+filepath.Join(b.Scratch, "cargo"))
	if _, err := measure.Run(ctx, measure.Command{Argv: argv, Env: env}); err != nil {
		return fault.Hint(err, "install rust and cargo, pkg-config and libssl-dev")
	}
	return nil
}

func (b *Bed) build(ctx context.Context, source string) error {
	argv := []string{"go", "build", "-trimpath", "-o", b.Ours, "./plugins/docker-repack"}
	if _, err := measure.Run(ctx, measure.Command{Argv: argv, Dir: source}); err != nil {
		return fmt.Errorf("building docker-repack: %w", err)
	}
	return nil
}
