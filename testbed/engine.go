package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// provideEngine finds the user's engine, or starts one where p calls for it.
// The demo never starts one: it can do its tests on the builder.
func (b *Bed) provideEngine(ctx context.Context, p Profile, docker string) error {
	ours := "unix://" + b.socket("docker")
	if b.alive(ctx, "engine", engineAnswers(b.socket("docker"))) {
		if sameConfig(b.engineConfigFile(), b.engineOptions()) {
			// One that was started before there was a docker-init finds it there.
			if err := linkInit(filepath.Join(b.Dirs.State, "engine", "bin")); err != nil {
				return err
			}
			b.State.Engine = ours
			return nil
		}
		if err := b.stop("engine", "the engine, which knows the registry under another address", 20*time.Second); err != nil {
			return err
		}
	}
	b.State.Engine = ""
	if docker != "" && !b.OwnEngine {
		if host, version := userEngine(ctx, docker, b.Getenv); host != "" && host != ours {
			b.Log.Say("using the engine %s of this machine, %s", version, host)
			b.State.Engine = host
			return nil
		}
	}
	if p == Demo {
		return nil
	}
	if err := b.startEngine(ctx); err != nil {
		return err
	}
	b.State.Engine = ours
	return nil
}

// userEngine asks the user's current context for its engine.
func userEngine(ctx context.Context, docker string, getenv func(string) string) (host, version string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	version, err := output(ctx, docker, "version", "--format", "{{.Server.Version}}")
	if err != nil || version == "" {
		return "", ""
	}
	if host := getenv("DOCKER_HOST"); host != "" {
		return host, version
	}
	host, err = output(ctx, docker, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
	if err != nil {
		return "", ""
	}
	return host, version
}

const containerdConfig = `version = 3
root = %q
state = %q
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing",
]

[grpc]
  address = %q
`

// startEngine starts containerd and dockerd of the pinned versions, on a
// socket, data root and bridge of their own in the host's network. The user's
// configuration below /etc/docker is not read.
func (b *Bed) startEngine(ctx context.Context) error {
	if err := needRoot("starting an engine"); err != nil {
		return err
	}
	bins, err := b.Build(ctx, engineTools)
	if err != nil {
		return err
	}
	if err := mountCgroups(b.Log); err != nil {
		return err
	}
	data := filepath.Join(b.Dirs.State, "engine")
	path, err := b.enginePath(data, bins)
	if err != nil {
		return err
	}
	env := []string{"PATH=" + path, "TMPDIR=" + filepath.Join(data, "tmp")}
	if err := os.MkdirAll(filepath.Join(data, "tmp"), 0o700); err != nil {
		return fmt.Errorf("starting the engine: %w", err)
	}
	if err := b.noteHostDirs(); err != nil {
		return err
	}
	if err := b.startContainerd(ctx, bins["containerd"], data, env); err != nil {
		return err
	}
	if err := b.stop("engine", "an engine that does not answer", 20*time.Second); err != nil {
		return err
	}
	if err := b.makeBridge(ctx); err != nil {
		return err
	}
	config := b.engineConfigFile()
	if err := writeEngineConfig(config, b.engineOptions()); err != nil {
		return err
	}
	os.Remove(filepath.Join(b.Run, "docker.pid"))
	return b.start(ctx, daemon{
		name: "engine",
		what: "an engine on " + b.socket("docker"),
		argv: []string{
			bins["dockerd"], "--config-file", config,
			"--host", "unix://" + b.socket("docker"), "--containerd", b.socket("containerd"),
			"--data-root", filepath.Join(data, "docker"), "--exec-root", filepath.Join(b.Run, "docker"),
			"--pidfile", filepath.Join(b.Run, "docker.pid"), "--bridge", b.State.Bridge.Name,
			"--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
			"--userland-proxy-path", bins["docker-proxy"],
		},
		env:   env,
		limit: time.Minute,
		ready: engineAnswers(b.socket("docker")),
	})
}

func (b *Bed) startContainerd(ctx context.Context, binary, data string, env []string) error {
	sock := b.socket("containerd")
	listens := func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", sock)
		if err != nil {
			return err
		}
		return c.Close()
	}
	if b.alive(ctx, "containerd", listens) {
		return nil
	}
	if err := b.stop("containerd", "a containerd that does not answer", 10*time.Second); err != nil {
		return err
	}
	config := filepath.Join(data, "containerd.toml")
	text := fmt.Sprintf(containerdConfig, filepath.Join(data, "containerd"), filepath.Join(b.Run, "containerd"), sock)
	if err := writeFile(config, []byte(text), 0o644); err != nil {
		return fmt.Errorf("starting containerd: %w", err)
	}
	return b.start(ctx, daemon{
		name: "containerd", what: "containerd for the engine",
		argv: []string{binary, "--config", config}, env: env,
		limit: 30 * time.Second, ready: listens,
	})
}

// enginePath returns the PATH of the engine: its own programs, then Debian's.
func (b *Bed) enginePath(data string, bins map[string]string) (string, error) {
	dirs := []string{filepath.Dir(bins["containerd"]), filepath.Dir(bins["dockerd"])}
	bin := filepath.Join(data, "bin")
	if _, err := wrapRunc(bin, b.Log); err != nil {
		return "", err
	}
	if err := linkInit(bin); err != nil {
		return "", err
	}
	dirs = append([]string{bin}, dirs...)
	return strings.Join(append(dirs, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"), ":"), nil
}

// initFile is what Debian calls the program that an engine calls docker-init.
const initFile = "/usr/bin/tini-static"

// linkInit makes it known to the engine, for which buildx's docker-container driver
// asks. A machine without it is no error before a container wants it.
func linkInit(dir string) error {
	if _, err := os.Stat(initFile); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("linking docker-init: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("linking docker-init: %w", err)
	}
	link := filepath.Join(dir, "docker-init")
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("linking docker-init: %w", err)
	}
	return os.Symlink(initFile, link)
}

func (b *Bed) engineConfigFile() string { return filepath.Join(b.Dirs.State, "engine", "daemon.json") }

// engineOptions are the daemon.json of the modern engine.
func (b *Bed) engineOptions() map[string]any {
	options := registryOptions(b.State)
	// Debian's runc knows no time namespaces, which this engine asks for wherever
	// the kernel has them.
	options["features"] = map[string]bool{"time-namespaces": false}
	return options
}

// registryOptions are what a daemon.json says about the loopback registry.
func registryOptions(s State) map[string]any {
	options := map[string]any{"insecure-registries": []string{s.Registry}}
	if s.Mirror {
		options["registry-mirrors"] = []string{"http://" + s.Registry}
	}
	return options
}

func writeEngineConfig(path string, options map[string]any) error {
	data, err := json.MarshalIndent(options, "", "  ")
	if err != nil {
		return fmt.Errorf("configuring the engine: %w", err)
	}
	if err := writeFile(path, data, 0o644); err != nil {
		return fmt.Errorf("configuring the engine: %w", err)
	}
	return nil
}

// sameConfig reports whether the engine was started with these options.
func sameConfig(path string, options map[string]any) bool {
	have, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	want, err := json.MarshalIndent(options, "", "  ")
	return err == nil && bytes.Equal(have, want)
}
