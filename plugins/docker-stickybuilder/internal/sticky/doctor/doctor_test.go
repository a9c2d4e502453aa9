package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
)

func TestBounding(t *testing.T) {
	for text, want := range map[string]uint64{
		"Name:\tx\nCapBnd:\t000001ffffffffff\n": 0x1ffffffffff,
		"CapBnd:\t000001fffeffffff\n":           0x1fffeffffff,
	} {
		got, ok := bounding(text)
		if !ok || got != want {
			t.Errorf("%q: %x, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "CapBnd: teapot\n"} {
		if _, ok := bounding(text); ok {
			t.Errorf("%q passes", text)
		}
	}
}

// What one area lacks only counts for that; what all need counts for all.
func TestUsable(t *testing.T) {
	kit := filepath.Join(t.TempDir(), "kit")
	if err := os.WriteFile(kit, []byte("#!/bin/sh\necho buildkitd x v0.33.0 y\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := t.TempDir()
	if err := os.Symlink(kit, filepath.Join(path, "runc")); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	o := Options{Home: home, Path: path, IsRoot: true, Buildkitd: kit, Engine: "unix:///none.sock", Disk: disk.Spec{Scheme: disk.SchemeDir, Path: home}}
	d := Examine(t.Context(), o)
	if !d.Usable || d.Driver != Process || len(d.Drivers) != 1 || !d.lacks(Container) {
		t.Errorf("%+v", d)
	}
	for _, c := range []struct {
		err    error
		file   string // that the home holds
		status string
		usable bool
	}{
		{nil, "pool.other", OK, true},
		{unix.EPERM, "pool.img", Missing, false},
		{unix.EINVAL, "pool.img", OK, true},
		{unix.EINVAL, "pool.other", Missing, false},
	} {
		o.Home = t.TempDir()
		for _, f := range []string{"pool.json", c.file} {
			if err := os.WriteFile(filepath.Join(o.Home, f), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		o.Overlay = func(dir string) error {
			if c.err == nil || dir != o.Home {
				return nil
			}
			return fmt.Errorf("%w: %w", daemon.ErrNoOverlay, c.err)
		}
		d := Examine(t.Context(), o)
		i := slices.IndexFunc(d.Findings, func(f Finding) bool { return f.Check == "overlayfs" })
		if d.Findings[i].Status != c.status || d.Usable != c.usable {
			t.Errorf("%+v: %+v", c, d)
		}
	}
	o.IsRoot = false
	if d := Examine(t.Context(), o); d.Usable || d.Driver != "" || len(d.Drivers) != 0 {
		t.Errorf("without root: %+v", d)
	}
}
