package layertest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// RequireOverlay ends the test where no overlay can be mounted: as a failure in an
// end-to-end run, which must not lose its oracle unseen.
func RequireOverlay(t *testing.T) {
	t.Helper()
	err := errors.New("not root")
	if os.Getuid() == 0 {
		at := t.TempDir()
		if err = mountOverlay([]string{t.TempDir(), t.TempDir()}, at); err == nil {
			err = unix.Unmount(at, 0)
		}
		if err == nil {
			return
		}
	}
	if os.Getenv("DOCKERFACTORY_E2E") == "1" {
		t.Fatalf("overlay mounts are needed: %v", err)
	}
	t.Skipf("needs root and overlay mounts: %v", err)
}

func mountOverlay(lower []string, at string) error {
	return unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(lower, ":"))
}

// Overlay describes, in the form of [Lines], what the kernel shows of the layers,
// each unpacked on its own by plain system calls and stacked by an overlay mount.
// It follows no symlinks, and knows no hard links to lower layers. TMPDIR on a
// tmpfs makes it fast.
func Overlay(layers [][]byte) (_ []string, err error) {
	base, err := os.MkdirTemp("", "overlay")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(base)
	empty, at := filepath.Join(base, "empty"), filepath.Join(base, "merged")
	for _, d := range []string{empty, at} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, err
		}
	}
	var lower []string // top first
	for i, data := range layers {
		dir := filepath.Join(base, fmt.Sprint(i))
		opaque, err := unpackForOverlay(data, dir, lower)
		if err != nil {
			return nil, fmt.Errorf("unpacking layer %d: %w", i, err)
		}
		if opaque { // which the kernel would not see in a root
			lower = nil
		}
		lower = slices.Insert(lower, 0, dir)
	}
	// An overlay has two layers at least.
	if err := mountOverlay(append(lower, empty, empty)[:max(len(lower), 2)], at); err != nil {
		return nil, fmt.Errorf("mounting: %w", err)
	}
	defer func() {
		if unmounted := unix.Unmount(at, unix.MNT_DETACH); err == nil {
			err = unmounted
		}
	}()
	return ReadDir(at)
}
