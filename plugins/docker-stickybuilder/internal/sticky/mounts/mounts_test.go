package mounts

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnmountBelow(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	inner := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	beside := dir + "-beside"
	if err := os.MkdirAll(beside, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{filepath.Join(dir, "a"), inner, beside} {
		if err := os.MkdirAll(p, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("sticky-test", p, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(p, unix.MNT_DETACH) })
	}
	got, err := Below(dir)
	if err != nil || len(got) != 2 || filepath.Base(got[0]) != "b" {
		t.Errorf("below: %v, %v", got, err)
	}
	// A busy mount goes as well.
	busy, err := os.Open(inner)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if n, err := UnmountBelow(dir); n != 2 || err != nil {
		t.Errorf("unmounted %d, %v", n, err)
	}
	if got, err := Below(dir); err != nil || len(got) != 0 {
		t.Errorf("left: %v, %v", got, err)
	}
	if got, err := Below(beside); err != nil || len(got) != 1 {
		t.Errorf("the mount beside: %v, %v", got, err)
	}
}
