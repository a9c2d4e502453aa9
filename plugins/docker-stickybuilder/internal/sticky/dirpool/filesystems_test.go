package dirpool_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A filesystem on which the suite runs; "" is that of the temporary directory.
var filesystems = []struct {
	name, mkfs string
	image      bool   // whether a pool may be in a file
	method     string // how a head is cloned there
	size       int64
}{
	{"the temporary directory's", "", false, "", 0},
	{"ext4", "mkfs.ext4", false, "copy", 64 << 20},
	{"small ext4", "mkfs.ext4", true, "copy", 64 << 20},
	{"a file on ext4", "mkfs.ext4", true, "snapshot", 3 << 30},
	{"a file on tmpfs", "tmpfs", true, "snapshot", 3 << 30},
	{"tmpfs", "tmpfs", false, "copy", 64 << 20},
	{"small xfs", "mkfs.xfs", true, "reflink", 320 << 20},
	{"a file on xfs", "mkfs.xfs", true, "snapshot", 3 << 30},
	{"btrfs", "mkfs.btrfs", true, "snapshot", 128 << 20},
}

// mount makes a filesystem in a file and mounts it. Where that cannot be done
// the test is skipped, but not where the whole suite is asked for.
func mount(t *testing.T, mkfs string, size int64) string {
	t.Helper()
	lack := t.Skipf
	if os.Getenv("DOCKERFACTORY_E2E") == "1" {
		lack = t.Fatalf
	}
	if os.Geteuid() != 0 {
		lack("mounting needs root")
	}
	if mkfs == "tmpfs" {
		dir := t.TempDir()
		if err := unix.Mount("sticky-test", dir, mkfs, 0, fmt.Sprintf("size=%d", size)); err != nil {
			lack("mounting %s: %v", mkfs, err)
		}
		unmountAtEnd(t, dir)
		return dir
	}
	tool, err := exec.LookPath(mkfs)
	if err != nil {
		lack("%v", err)
	}
	image, dir := filepath.Join(t.TempDir(), "image"), filepath.Join(t.TempDir(), "mnt")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size), os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), tool, image).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", mkfs, err, out)
	}
	if out, err := exec.CommandContext(t.Context(), "mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		lack("mounting %s: %v: %s", mkfs, err, out)
	}
	unmountAtEnd(t, dir)
	return dir
}

// unmountAtEnd fails if a pool has left a mount, or a loop device with its file.
func unmountAtEnd(t *testing.T, dir string) {
	t.Cleanup(func() {
		var err error
		for range 1500 { // loop devices are freed a little after the unmount, and starting containers hold copies of all mounts
			if err = unix.Unmount(dir, 0); !errors.Is(err, unix.EBUSY) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil {
			t.Errorf("something still uses the pool: %v", err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
}
