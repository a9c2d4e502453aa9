package doctor

import (
	"os"
	"path/filepath"
	"testing"

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

func TestNearest(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: dir, filepath.Join(dir, "a/b"): dir, filepath.Join(file, "x"): dir, "/none/such": "/"} {
		if got := nearest(path); got != want {
			t.Errorf("%s: %s", path, got)
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
	o := Options{Path: path, IsRoot: true, Buildkitd: kit, Engine: "unix:///none.sock", Disk: disk.Spec{Scheme: disk.SchemeDir, Path: t.TempDir()}}
	d := Examine(t.Context(), o)
	if !d.Usable || d.Driver != Process || len(d.Drivers) != 1 || !d.lacks(Container) {
		t.Errorf("%+v", d)
	}
	o.IsRoot = false
	if d := Examine(t.Context(), o); d.Usable || d.Driver != "" || len(d.Drivers) != 0 {
		t.Errorf("without root: %+v", d)
	}
}
