package testbed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// podmanPackages are Debian's podman and what it needs that a machine may lack.
// containers-common, with the policy for pulls, comes with skopeo.
var podmanPackages = []string{"podman", "conmon", "libgpgme11", "libassuan0", "libsubid4", "libdevmapper1.02.1"}

// UnpackPodman returns a command that runs Debian's podman with a storage of its
// own, below the testbed's state. It is unpacked into the cache and not installed.
func (b *Bed) UnpackPodman(ctx context.Context) (path string, err error) {
	err = b.locked(ctx, func() error {
		if err := needRoot("running podman"); err != nil {
			return err
		}
		dir, err := b.unpack(ctx, "podman", "usr/bin/podman", podmanPackages)
		if err != nil {
			return err
		}
		if b.State.Podman, err = b.wrapPodman(dir); err != nil {
			return fmt.Errorf("preparing podman: %w", err)
		}
		return b.save()
	})
	return b.State.Podman, err
}

func (b *Bed) wrapPodman(dir string) (path string, err error) {
	data := filepath.Join(b.Dirs.State, "podman")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return "", err
	}
	config := filepath.Join(data, "containers.conf")
	conf := fmt.Sprintf("[engine]\nconmon_path = [%q]\nruntime = \"runc\"\nevents_logger = \"none\"\n", filepath.Join(dir, "usr/bin/conmon"))
	if err := writeFile(config, []byte(conf), 0o644); err != nil {
		return "", err
	}
	argv := []string{
		filepath.Join(dir, "usr/bin/podman"), "--root", filepath.Join(data, "storage"), "--runroot", filepath.Join(b.Run, "podman"),
		"--tmpdir", filepath.Join(b.Run, "podman-tmp"), "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs",
	}
	for i, arg := range argv {
		argv[i] = shellQuote(arg)
	}
	script := fmt.Sprintf("#!/bin/sh\nunset DOCKER_CONFIG # it reads that too, and fails without a config.json\nLD_LIBRARY_PATH=%s CONTAINERS_CONF=%s exec %s \"$@\"\n", shellQuote(libraries(dir)), shellQuote(config), strings.Join(argv, " "))
	path = filepath.Join(data, "podman")
	return path, writeFile(path, []byte(script), 0o755)
}
