package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
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
	dir, err := b.unpackOld(ctx)
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
	libs, _ := filepath.Glob(filepath.Join(dir, "lib", "*-linux-*"))
	usrLibs, _ := filepath.Glob(filepath.Join(dir, "usr/lib", "*-linux-*"))
	os.Remove(filepath.Join(b.Run, "old-docker.pid"))
	err = b.start(ctx, daemon{
		name: "old-engine",
		what: "the old engine on " + sock,
		argv: []string{
			filepath.Join(dir, "usr/sbin/dockerd"), "--config-file", config, "--host", "unix://" + sock,
			"--data-root", filepath.Join(data, "docker"), "--exec-root", filepath.Join(b.Run, "old"),
			"--pidfile", filepath.Join(b.Run, "old-docker.pid"),
		},
		env:   []string{"PATH=" + strings.Join(path, ":"), "LD_LIBRARY_PATH=" + strings.Join(slices.Concat(libs, usrLibs), ":")},
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

// unpackOld returns a directory with the files of Debian's engine. Apt fetches
// and checks them as it does for an installation.
func (b *Bed) unpackOld(ctx context.Context) (dir string, err error) {
	dir = filepath.Join(b.Cache, "old-engine")
	if _, err := os.Stat(filepath.Join(dir, "usr/sbin/dockerd")); err == nil {
		return dir, nil
	}
	if err := b.aptUpdate(ctx); err != nil {
		return "", err
	}
	end := b.Log.Step("unpacking %s", strings.Join(oldPackages, " "))
	defer func() { end(err) }()
	work, err := b.workDir("old-engine")
	if err != nil {
		return "", fmt.Errorf("unpacking the old engine: %w", err)
	}
	defer b.discard(work)
	download := append([]string{"apt-get", "download", "-q", "-o", "APT::Sandbox::User=root"}, oldPackages...)
	if err := asRoot(ctx, work, aptEnv, download...); err != nil {
		return "", fmt.Errorf("unpacking the old engine: %w", err)
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil {
		return "", err
	}
	for _, deb := range debs {
		if err := asRoot(ctx, work, nil, "dpkg-deb", "-x", deb, filepath.Join(work, "root")); err != nil {
			return "", fmt.Errorf("unpacking the old engine: %w", err)
		}
	}
	if err := b.removeTree(dir); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(work, "root"), dir); err != nil {
		return "", fmt.Errorf("unpacking the old engine: %w", err)
	}
	return dir, nil
}
