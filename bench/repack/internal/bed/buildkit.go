package bed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/internal/registry"
)

// caBundle is where Debian keeps the certificates of those whom it trusts. Builds
// get it as a secret, so that they reach package registries where the host does.
const caBundle = "/etc/ssl/certs/ca-certificates.crt"

// BuildKit is a buildkitd that is there for one purpose, with a state directory
// of its own.
type BuildKit struct {
	Root string

	buildctl, addr string
	daemon         *measure.Daemon
}

// StartBuildKit starts a buildkitd with its state in dir.
func (b *Bed) StartBuildKit(ctx context.Context, dir string) (*BuildKit, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("starting buildkitd: %w", err)
	}
	config, err := os.ReadFile(b.buildkitConfig)
	if err != nil {
		return nil, fmt.Errorf("starting buildkitd: %w", err)
	}
	for _, r := range []*registry.Registry{b.Sources, b.Results} {
		config = fmt.Appendf(config, "\n[registry.%q]\n  http = true\n", r.Addr)
	}
	own := filepath.Join(dir, "buildkitd.toml")
	if err := os.WriteFile(own, config, 0o644); err != nil {
		return nil, fmt.Errorf("starting buildkitd: %w", err)
	}
	socket := filepath.Join(dir, "sock")
	k := &BuildKit{Root: filepath.Join(dir, "root"), buildctl: b.Tool("buildctl"), addr: "unix://" + socket}
	k.daemon, err = measure.StartDaemon(ctx, measure.Command{
		Argv: []string{b.Tool("buildkitd"), "--root", k.Root, "--addr", k.addr, "--config", own, "--oci-worker-gc=false"},
		Env:  append(os.Environ(), "PATH="+b.Path), Dir: "/",
	}, filepath.Join(dir, "log"), func() bool {
		_, err := measure.Run(ctx, measure.Command{Argv: []string{k.buildctl, "--addr", k.addr, "debug", "workers"}})
		return err == nil
	})
	return k, err
}

// Stop ends buildkitd and returns what it used; its disk is what it left in Root.
func (k *BuildKit) Stop() measure.Usage {
	u := k.daemon.Stop()
	u.Disk = measure.DiskUsage(k.Root)
	return u
}

// Build builds the Dockerfile in dir.
func (k *BuildKit) Build(ctx context.Context, dir string, args map[string]string, output string, options ...string) (measure.Usage, error) {
	argv := []string{
		k.buildctl, "--addr", k.addr, "build", "--progress", "plain", "--frontend", "dockerfile.v0",
		"--local", "context=" + dir, "--local", "dockerfile=" + dir, "--secret", "id=ca,src=" + caBundle, "--output", output,
	}
	for name, value := range args {
		argv = append(argv, "--opt", "build-arg:"+name+"="+value)
	}
	u, err := measure.Run(ctx, measure.Command{Argv: append(argv, options...)})
	if err != nil {
		return u, fmt.Errorf("building %s: %w", filepath.Base(dir), err)
	}
	return u, nil
}

// gzipTo is the output of a build that others shall find in a registry as builds
// leave their images there most of the time.
func gzipTo(ref string) string {
	return "type=image,name=" + ref + ",push=true,oci-mediatypes=true,compression=gzip,force-compression=true"
}
