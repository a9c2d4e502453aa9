package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// NativeSnapshotter is what BuildKit falls back to where it cannot mount overlayfs. It
// copies all of a layer's parents into each layer.
const NativeSnapshotter = "native"

// ErrNoOverlay means that BuildKit would copy every layer.
var ErrNoOverlay = errors.New("overlayfs cannot be used")

// Snapshotter returns what a user's buildkitd.toml names for keeping layers, "" if it
// leaves that to BuildKit.
func Snapshotter(user []byte) string {
	tree := table{}
	if err := toml.Unmarshal(user, &tree); err != nil {
		return ""
	}
	for _, key := range []string{"proxySnapshotterPath", "snapshotter"} {
		v, _ := tree.get("worker", "oci", key)
		if name, _ := v.(string); name != "" && name != "auto" {
			return name
		}
	}
	return ""
}

// CheckOverlay mounts an overlayfs whose layers are in dir, as BuildKit does to choose
// its snapshotter, in a mount namespace that is gone with it. The error is
// ErrNoOverlay with the kernel's reason, which fault.Hint explains; dir is as before.
//
// An overlayfs that goes writes back all that its filesystem has in memory, whoever has
// written that. Who only wants to know whether this process may mount one at all asks for
// "", a filesystem in memory.
func CheckOverlay(dir string) error {
	err := apart(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if dir == "" {
			return supportedInMemory()
		}
		return overlayutils.Supported(dir)
	})
	return explainOverlay(dir, err)
}

// supportedInMemory needs a mount namespace of its own.
func supportedInMemory() error {
	dir := os.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		return err
	}
	return overlayutils.Supported(dir)
}

// explainOverlay turns the kernel's answer into what it means.
func explainOverlay(dir string, err error) error {
	const otherwise = "; or have every layer copied: snapshotter = \"native\" in [worker.oci] of --config"
	var errno unix.Errno
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil // somebody tidies there at the same time
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return nil // nothing is known, and whether there is space is another question
	case errors.Is(err, unix.ENODEV):
		return fault.Hint(fmt.Errorf("%w: the kernel does not have it: %w", ErrNoOverlay, unix.ENODEV), "load it: modprobe overlay%s", otherwise)
	case errors.Is(err, fs.ErrPermission):
		return fault.Hint(fmt.Errorf("%w: it may not be mounted: %w", ErrNoOverlay, unix.EPERM), "in a container, have it run with --privileged%s", otherwise)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("trying overlayfs in %s: %w", dir, err)
	case errors.As(err, &errno):
		err = errno // without the command that mounts
	}
	return fault.Hint(fmt.Errorf("%w: the filesystem of %s cannot hold its layers: %w", ErrNoOverlay, dir, err),
		"name a pool on ext4, xfs or btrfs with --disk dir:PATH, or for other disks such a directory with XDG_STATE_HOME%s", otherwise)
}

// apart runs fn on a thread of its own that ends with it. The process's first thread
// would not end, and stands for the process in /proc.
func apart(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- apart(fn)
			return
		}
		done <- fn()
	}()
	return <-done
}
