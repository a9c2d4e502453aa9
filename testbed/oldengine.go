package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// oldPackages are Debian's engine and what it needs that a machine may lack.
var oldPackages = []string{"docker.io", "containerd", "tini", "libdevmapper1.02.1"}

// StartOldEngine starts Debian's own docker.io as a second engine and returns
// its DOCKER_HOST. The testbed has to be up. The engine has its own network
// namespace, from which it reaches the loopback registry and nothing else; its
// programs are unpacked into the cache and not installed, so no service, group
// or docker CLI comes with it.
func (b *Bed) StartOldEngine(ctx context.Context) (host string, err error) {
	err = b.locked(ctx, func() error { return b.startOldEngine(ctx) })
	return b.State.OldEngine, err
}

func (b *Bed) startOldEngine(ctx context.Context) error {
	sock := b.socket("old-docker")
	data := filepath.Join(b.Dirs.State, "old-engine")
	config := filepath.Join(data, "daemon.json")
	if b.alive(ctx, "old-engine", engineAnswers(sock)) && b.State.Processes["old-forward"].Alive() &&
		sameConfig(config, registryOptions(b.State)) {
		return nil
	}
	if b.State.Registry == "" || !b.alive(ctx, "registry", answersAs(b.State.Registry)) {
		return fault.Hint(errors.New("starting the old engine: the testbed is not up"), "run testbed up --profile test")
	}
	if err := needRoot("starting the old engine"); err != nil {
		return err
	}
	dir, err := b.unpack(ctx, "old-engine", "usr/sbin/dockerd", oldPackages)
	if err != nil {
		return err
	}
	if err := mountCgroups(b.Log); err != nil {
		return err
	}
	for _, name := range []string{"old-engine", "old-forward"} {
		if err := b.stop(name, "the old engine", 20*time.Second); err != nil {
			return err
		}
	}
	if err := b.noteHostDirs(); err != nil {
		return err
	}
	netns := filepath.Join(b.Run, "old-netns")
	if err := makeNetNS(netns); err != nil {
		return err
	}
	if err := b.startForward(ctx, data, netns); err != nil {
		return err
	}
	if err := writeEngineConfig(config, registryOptions(b.State)); err != nil {
		return err
	}
	wrapped, err := wrapRunc(filepath.Join(data, "bin"), b.Log)
	if err != nil {
		return err
	}
	path := []string{filepath.Join(dir, "usr/sbin"), filepath.Join(dir, "usr/bin"), "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	if wrapped != "" {
		path = append([]string{wrapped}, path...)
	}
	os.Remove(filepath.Join(b.Run, "old-docker.pid"))
	err = b.start(ctx, daemon{
		name: "old-engine",
		what: "the old engine on " + sock,
		argv: []string{
			filepath.Join(dir, "usr/sbin/dockerd"), "--config-file", config, "--host", "unix://" + sock,
			"--data-root", filepath.Join(data, "docker"), "--exec-root", filepath.Join(b.Run, "old"),
			"--pidfile", filepath.Join(b.Run, "old-docker.pid"),
		},
		env:   []string{"PATH=" + strings.Join(path, ":"), "LD_LIBRARY_PATH=" + libraries(dir)},
		netns: netns,
		limit: time.Minute,
		ready: engineAnswers(sock),
	})
	if err != nil {
		return err
	}
	b.State.OldEngine = "unix://" + sock
	return b.save()
}

// startForward opens the old engine's way to the registry.
func (b *Bed) startForward(ctx context.Context, data, netns string) error {
	if err := os.MkdirAll(filepath.Join(data, "bin"), 0o755); err != nil {
		return fmt.Errorf("starting the old engine: %w", err)
	}
	self := filepath.Join(data, "bin", "testbed")
	if err := copySelf(self); err != nil {
		return fmt.Errorf("starting the old engine: %w", err)
	}
	return b.start(ctx, daemon{
		name:  "old-forward",
		what:  "the old engine's way to the registry",
		argv:  []string{self, "forward", "--netns", netns, "--addr", b.State.Registry},
		limit: 10 * time.Second,
		ready: func(ctx context.Context) error {
			return inNetNS(netns, func() error {
				d := net.Dialer{Timeout: time.Second}
				c, err := d.DialContext(ctx, "tcp", b.State.Registry)
				if err != nil {
					return err
				}
				return c.Close()
			})
		},
	})
}
