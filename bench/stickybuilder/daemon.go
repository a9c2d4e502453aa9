package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
)

// startBuildkitd starts a buildkitd on root as contestants without a plugin do, and
// makes it the builder. Its readiness is asked for every poll.
func startBuildkitd(ctx context.Context, p place, root, toml string, poll time.Duration, more ...string) (*measure.Daemon, string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		return nil, "", fmt.Errorf("choosing a port: %w", err)
	}
	addr := "tcp://" + l.Addr().String()
	l.Close()
	argv := append([]string{p.b.Tool("buildkitd"), "--root", root, "--addr", addr, "--config", toml}, more...)
	first := true
	ready := func() bool {
		if !first {
			time.Sleep(poll)
		}
		first = false
		_, err := p.b.Run(ctx, p.b.Tool("buildctl"), "--addr", addr, "debug", "workers")
		return err == nil
	}
	d, err := measure.StartDaemon(ctx, measure.Command{Argv: argv, Env: p.b.Env(p.b.Scratch), Dir: "/"}, filepath.Join(p.b.Scratch, "buildkitd.log"), ready)
	if err != nil {
		return nil, "", err
	}
	if _, err := p.b.Run(ctx, p.b.Buildx, "create", "--name", builderName, "--use", "--driver", "remote", addr); err != nil {
		d.Stop()
		return nil, "", err
	}
	return d, addr, nil
}

// A tarball is the whole state of a buildkitd, packed for a cache that takes files.
type tarball struct {
	place
	daemon *measure.Daemon
	read   int64
}

func (t *tarball) name() string              { return "tar + zstd of the state" }
func (t *tarball) caching([]string) []string { return nil }
func (t *tarball) file() string              { return filepath.Join(t.dir, "state.tar.zst") }
func (t *tarball) root() string              { return filepath.Join(t.b.Scratch, "machine", "buildkit") }

func (t *tarball) up(ctx context.Context) error {
	t.read = 0
	if err := os.MkdirAll(t.root(), 0o700); err != nil {
		return err
	}
	if st, err := os.Stat(t.file()); err == nil {
		t.read = st.Size()
		argv := []string{"tar", "-C", t.root(), "--zstd", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xf", t.file()}
		if _, err := t.b.Run(ctx, argv...); err != nil {
			return err
		}
	}
	var err error
	t.daemon, _, err = startBuildkitd(ctx, t.place, t.root(), t.toml, 100*time.Millisecond)
	return err
}

func (t *tarball) down(ctx context.Context) error {
	if t.daemon == nil {
		return nil
	}
	t.daemon.Stop()
	t.daemon = nil
	if _, err := t.b.Run(ctx, t.b.Buildx, "rm", builderName); err != nil {
		return err
	}
	argv := []string{"tar", "-C", t.root(), "-I", "zstd -T0 -3", "--sparse", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-cf", t.file(), "."}
	_, err := t.b.Run(ctx, argv...)
	return err
}

func (t *tarball) kept(context.Context) (int64, error) { return measure.DiskUsage(t.dir), nil }

func (t *tarball) moved() int64 {
	st, err := os.Stat(t.file())
	if err != nil {
		return -1
	}
	return t.read + st.Size()
}
