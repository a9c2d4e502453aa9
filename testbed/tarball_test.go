package testbed

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var release = time.Date(2026, 7, 11, 10, 16, 37, 0, time.UTC)

// tree makes a small root file system; salt changes only what must not count.
func tree(t *testing.T, salt int) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	write(t, filepath.Join(root, "usr/bin/tool"), "binary")
	write(t, filepath.Join(root, "etc/old"), "old")
	write(t, filepath.Join(root, "dev/pts/0"), "not packed")
	write(t, filepath.Join(root, "proc/1/stat"), "not packed")
	for _, dir := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o1777); err != nil {
			t.Fatal(err)
		}
	}
	steps := []error{
		os.Link(filepath.Join(root, "usr/bin/tool"), filepath.Join(root, "usr/bin/zz")),
		os.Symlink("usr/bin", filepath.Join(root, "bin")),
		unix.Mkfifo(filepath.Join(root, "pipe"), 0o600),
		os.Chtimes(filepath.Join(root, "etc/old"), time.Now(), release.Add(-time.Hour)),
		os.Chtimes(filepath.Join(root, "usr/bin/tool"), time.Now(), release.Add(time.Duration(salt)*time.Hour)),
	}
	for _, err := range steps {
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestWriteTreeIsDeterministic(t *testing.T) {
	var first, second bytes.Buffer
	for salt, w := range map[int]*bytes.Buffer{1: &first, 900: &second} {
		if err := writeTree(t.Context(), w, tree(t, salt), release); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two trees that differ in times after the release gave different bytes")
	}
}

func TestWriteTree(t *testing.T) {
	root := tree(t, 1)
	var buf bytes.Buffer
	if err := writeTree(t.Context(), &buf, root, release); err != nil {
		t.Fatal(err)
	}
	got := map[string]*tar.Header{}
	for tr := tar.NewReader(&buf); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = h
		if h.ModTime.After(release) {
			t.Errorf("%s is of %s, after the release", h.Name, h.ModTime)
		}
		if h.Uname != "" || h.Gname != "" {
			t.Errorf("%s names its owner %s:%s", h.Name, h.Uname, h.Gname)
		}
	}
	for _, name := range []string{"dev/", "proc/", "a/", "bin", "pipe", "etc/old"} {
		if got[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"dev/pts/", "dev/pts/0", "proc/1/stat"} {
		if got[name] != nil {
			t.Errorf("%s was packed", name)
		}
	}
	if h := got["usr/bin/zz"]; h == nil || h.Typeflag != tar.TypeLink || h.Linkname != "usr/bin/tool" {
		t.Errorf("the second name of a file is %+v", h)
	}
	if h := got["bin"]; h == nil || h.Typeflag != tar.TypeSymlink || h.Linkname != "usr/bin" {
		t.Errorf("the symbolic link is %+v", h)
	}
	if h := got["etc/old"]; h != nil && !h.ModTime.Equal(release.Add(-time.Hour)) {
		t.Errorf("a file older than the release became %s", h.ModTime)
	}
}

func TestWriteTreeStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := writeTree(ctx, io.Discard, tree(t, 1), release); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
