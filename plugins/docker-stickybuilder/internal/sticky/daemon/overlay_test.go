package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func TestSnapshotter(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "",
		"x":                                      "",
		"[worker.oci]\nsnapshotter = \"auto\"\n": "",
		"[worker.oci]\nsnapshotter = 7\n":        "",
		"[worker.oci]\nsnapshotter = \"native\"\n":    "native",
		"[Worker.OCI]\nSnapshotter = \"stargz\"\n":    "stargz",
		"[worker.oci]\nproxySnapshotterPath = \"/s\"": "/s",
	} {
		if got := Snapshotter([]byte(text)); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestExplainOverlay(t *testing.T) {
	for _, c := range []struct {
		err        error
		says, hint string
	}{
		{fmt.Errorf("mounting: %w", unix.ENODEV), "the kernel does not have it", "modprobe overlay"},
		{unix.EPERM, "it may not be mounted", "--privileged"},
		{unix.EACCES, "it may not be mounted", "--privileged"},
		{fmt.Errorf("failed to mount: long options: %w", unix.EINVAL), "/d cannot hold its layers: invalid argument", "ext4, xfs or btrfs"},
		{errors.New("/d does not support d_type"), "does not support d_type", "ext4, xfs or btrfs"},
	} {
		err := explainOverlay("/d", c.err)
		if !errors.Is(err, ErrNoOverlay) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "options") {
			t.Errorf("%v: %v", c.err, err)
		}
		if hint := fault.HintOf(err); !strings.Contains(hint, c.hint) || !strings.Contains(hint, "snapshotter = \"native\"") {
			t.Errorf("%v: hint %q", c.err, hint)
		}
	}
	for _, err := range []error{nil, &os.PathError{Op: "mkdir", Path: "/d", Err: unix.ENOENT}, unix.ENOSPC} {
		if got := explainOverlay("/d", err); got != nil {
			t.Errorf("%v: %v", err, got)
		}
	}
	if err := explainOverlay("/d", unix.EROFS); err == nil || errors.Is(err, ErrNoOverlay) {
		t.Errorf("a read-only disk: %v", err)
	}
}

// Layers cannot be kept on overlayfs itself. Neither answer leaves a file or a mount.
func TestCheckOverlay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	top := t.TempDir()
	var dirs []string
	for _, name := range []string{"lower", "upper", "work", "merged", "plain"} {
		dirs = append(dirs, filepath.Join(top, name))
		if err := os.Mkdir(filepath.Join(top, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	merged, plain := dirs[3], dirs[4]
	if err := unix.Mount("overlay", merged, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dirs[0], dirs[1], dirs[2])); err != nil {
		t.Skipf("no overlayfs on this machine: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(merged, unix.MNT_DETACH) })
	if err := CheckOverlay(plain); err != nil {
		t.Errorf("a filesystem that holds overlayfs: %v", err)
	}
	t.Setenv("TMPDIR", merged) // where it could not be, were it not in memory
	if err := CheckOverlay(""); err != nil {
		t.Errorf("whether this machine has it: %v", err)
	}
	if err := CheckOverlay(merged); !errors.Is(err, ErrNoOverlay) || !strings.Contains(err.Error(), merged) {
		t.Errorf("overlayfs on overlayfs: %v", err)
	}
	for _, dir := range []string{merged, plain} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left in %s: %v, %v", dir, left, err)
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Count(string(mounts), " "+top) != 1 {
		t.Errorf("mounts: %v\n%s", err, mounts)
	}
}
