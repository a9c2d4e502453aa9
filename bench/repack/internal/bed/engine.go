package bed

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
)

const containerdConfig = `version = 3
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"]

[grpc]
  address = %q
`

// An engine is dockerd and containerd, which start with nothing: an engine that
// has the base of an image already would get part of it for nothing.
type engine struct {
	host       string
	containerd *measure.Daemon
	dockerd    *measure.Daemon
}

func (b *Bed) startEngine(ctx context.Context, tools map[string]string) (*engine, error) {
	dir, err := b.mountEngineDisk(ctx)
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "containerd.sock")
	config, options := filepath.Join(dir, "containerd.toml"), filepath.Join(dir, "daemon.json")
	text := fmt.Appendf(nil, containerdConfig, filepath.Join(dir, "containerd"), filepath.Join(dir, "run"), socket)
	for file, text := range map[string][]byte{config: text, options: []byte("{}")} {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return nil, fmt.Errorf("starting an engine: %w", err)
		}
	}
	e := &engine{host: "unix://" + filepath.Join(dir, "docker.sock")}
	env := append(os.Environ(), "PATH="+filepath.Dir(tools["containerd"])+":"+b.Path)
	e.containerd, err = measure.StartDaemon(ctx, measure.Command{Argv: []string{tools["containerd"], "--config", config}, Env: env, Dir: "/"},
		filepath.Join(dir, "containerd.log"), func() bool { return listens(socket) })
	if err != nil {
		return nil, err
	}
	e.dockerd, err = measure.StartDaemon(ctx, measure.Command{
		Argv: []string{
			tools["dockerd"], "--config-file", options, "--host", e.host, "--containerd", socket,
			"--data-root", filepath.Join(dir, "docker"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"),
			"--bridge", "none", "--userland-proxy=false", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
		},
		Env: env, Dir: "/",
	}, filepath.Join(dir, "dockerd.log"), func() bool { return listens(filepath.Join(dir, "docker.sock")) })
	if err != nil {
		e.containerd.Stop()
		return nil, err
	}
	return e, nil
}

func listens(socket string) bool {
	c, err := net.Dial("unix", socket) //nolint:noctx // answers at once or not at all
	if err == nil {
		c.Close()
	}
	return err == nil
}

func (e *engine) stop() {
	e.dockerd.Stop()
	e.containerd.Stop()
}

// Docker runs the docker CLI against the engine.
func (b *Bed) Docker(ctx context.Context, args ...string) (string, measure.Usage, error) {
	var out bytes.Buffer
	u, err := measure.Run(ctx, measure.Command{Argv: append([]string{b.docker, "--host", b.engine.host}, args...), Env: b.Env(b.Scratch), Stdout: &out})
	return strings.TrimSpace(out.String()), u, err
}

// Pull has the engine, which has no blob of it, pull and unpack ref, and returns
// how long that took. The image is removed again.
func (b *Bed) Pull(ctx context.Context, ref string) (time.Duration, error) {
	if _, _, err := b.Docker(ctx, "image", "rm", "--force", ref); err != nil && !strings.Contains(err.Error(), "No such image") {
		return 0, err
	}
	out, u, err := b.Docker(ctx, "pull", ref)
	if err != nil {
		return 0, fmt.Errorf("pulling: %w", err)
	}
	defer b.forget(ctx, ref)
	if strings.Contains(out, "Already exists") {
		return 0, fmt.Errorf("pulling %s: the engine had some of its layers already", ref)
	}
	return u.Wall, nil
}

// forget removes an image even when the benchmark was interrupted.
func (b *Bed) forget(ctx context.Context, ref string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	_, _, _ = b.Docker(ctx, "image", "rm", "--force", ref) // Pull notices what stays
}
