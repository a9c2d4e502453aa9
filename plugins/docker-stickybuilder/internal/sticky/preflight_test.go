package sticky

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// Where every layer would be copied, no pool is made and none is used, unless the user
// has chosen how layers are kept.
func TestUpWithoutOverlay(t *testing.T) {
	for _, errno := range []error{unix.ENODEV, unix.EPERM} {
		h, store := newHost(t)
		o := upOptions(t, store)
		pool := strings.TrimPrefix(o.DefaultDisk, "dir:")
		h.Overlay = func(string) error { return fmt.Errorf("%w: %w", daemon.ErrNoOverlay, errno) }
		if _, err := h.Up(t.Context(), o, progress.Discard); !errors.Is(err, daemon.ErrNoOverlay) {
			t.Errorf("%v: %v", errno, err)
		}
		if _, err := os.Stat(pool); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v: the pool: %v", errno, err)
		}
		if names, err := h.State.Names(); err != nil || len(names) > 0 {
			t.Errorf("%v: builders %v, %v", errno, names, err)
		}
		o.ConfigText = []byte("[worker.oci]\nsnapshotter = \"native\"\n")
		if _, err := h.Up(t.Context(), o, progress.Discard); err == nil || !strings.Contains(err.Error(), "starting the supervisor") {
			t.Errorf("%v, as the user wants it: %v", errno, err)
		}
		o.ConfigText = nil
		if _, err := h.Up(t.Context(), o, progress.Discard); !errors.Is(err, daemon.ErrNoOverlay) {
			t.Errorf("%v, in a pool that exists: %v", errno, err)
		}
	}
}

func TestUpWithoutSpace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	for options, says := range map[string]string{"size=32m": "MiB are free, and a builder needs 64", "size=100m,nr_inodes=100": "inodes are free, and a builder needs 256"} {
		h, store := newHost(t)
		o := upOptions(t, store)
		small := t.TempDir()
		if err := unix.Mount("small", small, "tmpfs", 0, options); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
		refused := func(what string) {
			t.Helper()
			_, err := h.Up(t.Context(), o, progress.Discard)
			if !errors.Is(err, disk.ErrNoSpace) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), small) || !strings.Contains(fault.HintOf(err), "disk gc") {
				t.Errorf("%s: %v (hint %q)", what, err, fault.HintOf(err))
			}
		}
		o.Disk = "dir:" + filepath.Join(small, "pool")
		refused("a new pool")
		if left, err := os.ReadDir(small); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		d, err := h.openDisk(o.Disk, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
		refused("one that exists")
		// This machine's part of a disk in a registry.
		h.State = instance.State(filepath.Join(small, "state"))
		o.Disk = "oci:127.0.0.1:1/cache"
		refused("a registry")
	}
}

func TestCopiesLayers(t *testing.T) {
	for _, c := range []struct {
		has, asked string
		warns      bool
	}{{"overlayfs", "", false}, {"native", "", true}, {"native", "native", false}, {"", "", false}} {
		said := copiesLayers(&instance.Instance{Snapshotter: c.asked}, instance.Run{Snapshotter: c.has})
		if (said != "") != c.warns {
			t.Errorf("%+v: %q", c, said)
		}
	}
}
