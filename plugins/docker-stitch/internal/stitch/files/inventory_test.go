package files_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
)

// project makes a tree of files; a name that ends in "/" is a directory, content
// that begins with "->" a link.
func project(t *testing.T, content map[string]string) *files.Tree {
	t.Helper()
	dir := t.TempDir()
	for name, data := range content {
		full := filepath.Join(dir, name)
		var err error
		switch {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(full, 0o755)
		case strings.HasPrefix(data, "->"):
			_ = os.MkdirAll(filepath.Dir(full), 0o755)
			err = os.Symlink(strings.TrimPrefix(data, "->"), full)
		default:
			_ = os.MkdirAll(filepath.Dir(full), 0o755)
			err = os.WriteFile(full, []byte(data), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tree, err := files.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	return tree
}

func list(t *testing.T, tree *files.Tree, name string) string {
	t.Helper()
	entries, err := tree.Inventory(name)
	if err != nil {
		return "error: " + err.Error()
	}
	var out []string
	for _, e := range entries {
		s := e.Type + " " + e.Path
		if e.Type == "link" {
			s += "->" + e.Target
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func TestInventory(t *testing.T) {
	rendered := files.Header("app", fmt.Sprintf("sha256:%064d", 0)) + "\n"
	tree := project(t, map[string]string{
		".dockerignore":   "hidden\nnest/*\n!nest/shown\n**/*.tmp\n",
		"a/b":             "1",
		"a/c.tmp":         "1",
		"a/empty/":        "",
		"a/link":          "->b",
		"hidden/x":        "1",
		"nest/gone":       "1",
		"nest/shown/x":    "1",
		"to-dir":          "->a/",
		"out":             "->../..",
		"loop":            "->loop",
		"r/Dockerfile":    "# syntax=x\n" + rendered + "FROM x\n",
		"r/deep/out":      rendered,
		"mixed/rendered":  rendered,
		"mixed/other":     "# no\n\n" + rendered,
		"absolute":        "->/a/b",
		"under":           "->/etc/hostname",
		"hop":             "->a",
		"nest/link":       "->../a",
		"mixed/script":    "#!/bin/sh\n" + rendered,
		"strange/.keep":   "",
		"r2/sub/Rendered": rendered,
	})
	for name, want := range map[string]string{
		"a/b":          "file a/b",
		"a":            "dir a, file a/b, dir a/empty, link a/link->b",
		"nest":         "dir nest, dir nest/shown, file nest/shown/x",
		"nest/shown/x": "file nest/shown/x",
		"to-dir":       "dir a, file a/b, dir a/empty, link a/link->b, link to-dir->a/",
		"a/link":       "file a/b, link a/link->b",
		"absolute":     "file a/b, link absolute->/a/b",
		"hidden":       "error: excluded by .dockerignore",
		"hidden/x":     "error: excluded by .dockerignore",
		"a/c.tmp":      "error: excluded by .dockerignore",
		"nest/gone":    "error: excluded by .dockerignore",
		"out":          "error: symbolic link leads out of the project",
		"loop":         "error: too many symbolic links",
		"none":         "error: no such file or directory",
		"r":            "",
		"r2":           "",
		"mixed":        "dir mixed, file mixed/other, file mixed/script",
		"hop/link":     "file a/b, link a/link->b, link hop->a",
		"nest/link":    "error: excluded by .dockerignore",
		"under":        "error: symbolic link leads out of the project",
	} {
		if got := list(t, tree, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got, want := strings.Join(tree.Derived(), " "), "mixed/rendered r r/Dockerfile r/deep r/deep/out r2 r2/sub r2/sub/Rendered"; got != want {
		t.Errorf("derived: got %q, want %q", got, want)
	}
	if _, err := tree.Inventory("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := tree.Inventory("hidden"); !errors.Is(err, files.ErrIgnored) {
		t.Errorf("hidden: %v", err)
	}
}

func TestInventoryFollowsMatchedLinks(t *testing.T) {
	tree := project(t, map[string]string{
		"a/one": "->../b/two", "a/gone": "->nowhere", "a/out": "->../../..", "a/self": "->.",
		"b/two": "->/c", "c/file": "1", "b/other": "1",
	})
	got, err := tree.InventoryLinked("a")
	var paths []string
	for _, e := range got {
		paths = append(paths, e.Path)
	}
	if want := "a a/gone a/one a/out a/self b/two c c/file"; err != nil || strings.Join(paths, " ") != want {
		t.Errorf("got %q, %v; want %q", paths, err, want)
	}
}

// Two targets that JSON cannot tell apart must not count as one.
func TestLinkTargetsAreText(t *testing.T) {
	tree := project(t, map[string]string{"a": "->\xff"})
	if got, err := tree.Inventory("a"); err == nil || !strings.Contains(err.Error(), "not valid UTF-8") {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestInventoryDigestsBytesAndModes(t *testing.T) {
	tree := project(t, map[string]string{"a": "1"})
	one, err := tree.Inventory("a")
	if err != nil {
		t.Fatal(err)
	}
	want := files.Entry{Path: "a", Type: "file", Mode: "0644", SHA256: "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"}
	if one[0] != want {
		t.Errorf("got %+v, want %+v", one[0], want)
	}
	if err := os.Chmod(filepath.Join(tree.Dir(), "a"), 0o755|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	again, err := files.Open(tree.Dir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if two, err := again.Inventory("a"); err != nil || two[0].Mode != "4755" {
		t.Errorf("got %+v, %v; want mode 4755", two, err)
	}
}

func TestCleanKeepsPathsInside(t *testing.T) {
	for in, want := range map[string]string{"a": "a", "./a/../b/": "b", ".": ".", "../a": "", "/a": "", "a/../../b": "", "": "", "a\nRUN b": "", "a\xff": "", "é": "é"} {
		got, err := files.Clean(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Clean(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

// Opening a pipe would wait for ever, out of reach of any signal.
func TestPipesAreNotOpened(t *testing.T) {
	tree := project(t, map[string]string{"a": "1"})
	if err := syscall.Mkfifo(filepath.Join(tree.Dir(), "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := tree.Read("pipe"); done <- err }()
	select {
	case err := <-done:
		if err == nil || err.Error() != "not a regular file" {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
}

func TestReadIsConfined(t *testing.T) {
	tree := project(t, map[string]string{"out": "->/etc/hostname", "dir/": ""})
	for _, name := range []string{"out", "../x", "dir"} {
		if data, err := tree.Read(name); err == nil {
			t.Errorf("Read(%s) = %q, want an error", name, data)
		}
	}
}
