package dirpool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disktest"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// The suite passes over what a disk does not offer. A pool offers all of it, and
// losing a method must not turn obligations into skipped tests.
var _ interface {
	sticky.Shelf
	Generations(context.Context, disk.Lineage) ([]string, error)
} = (*dirpool.Pool)(nil)

func open(t *testing.T, dir string, keep int) *dirpool.Pool {
	return openWith(t, dir, dirpool.Options{Keep: keep})
}

func openWith(t *testing.T, dir string, o dirpool.Options) *dirpool.Pool {
	t.Helper()
	o.Now, o.Wait = time.Now, 5*time.Second
	p, err := dirpool.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// inFile are the options for a pool that may be in a file.
func inFile(t *testing.T) dirpool.Options {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.btrfs")
	if err != nil && os.Getenv("DOCKERFACTORY_E2E") == "1" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
	return dirpool.Options{Image: true, Mkfs: mkfs}
}

func TestConformance(t *testing.T) {
	for _, f := range filesystems {
		t.Run(f.name, func(t *testing.T) {
			top := t.TempDir()
			if f.mkfs != "" {
				top = mount(t, f.mkfs, f.size)
			}
			var o dirpool.Options
			if f.image {
				o = inFile(t)
			}
			disktest.Run(t, func(t *testing.T, keep int) sticky.Disk {
				o.Keep = keep
				return openWith(t, filepath.Join(top, strings.Map(func(r rune) rune {
					if r == '/' {
						return '-'
					}
					return r
				}, t.Name())), o)
			})
			p := openWith(t, filepath.Join(top, "method"), o)
			for _, want := range []string{"empty", f.method} {
				w, lock, err := p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, disk.NewID(time.Now(), []byte(want+"......")), progress.Discard.Step(""))
				if err != nil {
					t.Fatal(err)
				}
				if want != "" && w.Clone.Method != want {
					t.Errorf("cloned by %s, want %s", w.Clone.Method, want)
				}
				if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
					t.Fatal(err)
				}
				lock.Close()
			}
		})
	}
}

// A pool that was copied onto btrfs from elsewhere has plain directories.
func TestBtrfsTakesOverPlainDirectories(t *testing.T) {
	dir := filepath.Join(mount(t, "mkfs.btrfs", 128<<20), "pool")
	p := open(t, dir, 3)
	w, lock, err := p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID("a"), progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(w.Root), os.Mkdir(w.Root, 0o700), os.WriteFile(filepath.Join(w.Root, "f"), []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
		t.Fatal(err)
	}
	lock.Close()
	for _, want := range []string{"reflink", "snapshot"} {
		w, lock, err = p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID(want), progress.Discard.Step(""))
		if err != nil || w.Clone.Method != want {
			t.Fatalf("cloned %+v, %v; want by %s", w, err, want)
		}
		if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
			t.Fatal(err)
		}
		lock.Close()
	}
}

func newID(s string) string { return disk.NewID(time.Now(), []byte(s+"......")) }

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(path, text string) string {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := filepath.Dir(write("newer/pool.json", `{"format":2}`))
	before, err := os.ReadDir(newer)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path, text string
		hint       bool
	}{
		"newer format":        {newer, "written by a newer version", true},
		"damaged":             {filepath.Dir(write("damaged/pool.json", `{`)), "unexpected end", false},
		"somebody's files":    {filepath.Dir(write("home/letters.txt", "")), "not empty", true},
		"a file":              {write("file", ""), "not a directory", true},
		"below a file":        {write("file2", "") + "/pool", "not a directory", true},
		"not absolute":        {"pool", "not absolute", false},
		"read-only, or /proc": {"/proc/sticky", "", false},
	} {
		_, err := dirpool.Open(c.path, dirpool.Options{Now: time.Now})
		if err == nil || !strings.Contains(err.Error(), c.text) || (fault.HintOf(err) != "") != c.hint {
			t.Errorf("%s: %v (hint %q)", name, err, fault.HintOf(err))
		}
	}
	if after, _ := os.ReadDir(newer); len(after) != len(before) {
		t.Errorf("the newer pool was changed: %v", after)
	}
}

// What a newer version wrote into a pool of ours is not touched either.
func TestNewerHead(t *testing.T) {
	for _, file := range []string{"head.json", "generations/*/meta.json"} {
		dir := t.TempDir()
		p := open(t, dir, 3)
		w, lock, err := p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID("a"), progress.Discard.Step(""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
			t.Fatal(err)
		}
		lock.Close()
		found, err := filepath.Glob(filepath.Join(dir, "lineages/*", file))
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(found[0], bytes.Replace(text, []byte(`"format": 1`), []byte(`"format": 9`), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID("b"), progress.Discard.Step("")); !errors.Is(err, disk.ErrNewer) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestDamagedHead(t *testing.T) {
	for name, text := range map[string]string{
		"path":    `{"format":1,"lineage":{"key":"k","platform":"p"},"generation":"../../../etc"}`,
		"lineage": `{"format":1,"lineage":{"key":"other","platform":"p"},"generation":"20260102T030405Z-000000000000"}`,
		"torn":    `{"format":1,"lin`,
	} {
		dir := t.TempDir()
		p := open(t, dir, 3)
		l := disk.Lineage{Key: "k", Platform: "p"}
		w, lock, err := p.Clone(t.Context(), l, l, newID("a"), progress.Discard.Step(""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
			t.Fatal(err)
		}
		lock.Close()
		found, _ := filepath.Glob(filepath.Join(dir, "lineages/*/head.json"))
		if err := os.WriteFile(found[0], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if g, err := p.Head(t.Context(), l); err == nil {
			t.Errorf("%s: head %+v", name, g)
		}
	}
}

// A full filesystem is noticed before the copy begins, and the head stays.
func TestNoSpace(t *testing.T) {
	dir := filepath.Join(mount(t, "mkfs.ext4", 48<<20), "pool")
	p := open(t, dir, 3)
	w, lock, err := p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID("a"), progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.Root, "big"), bytes.Repeat([]byte("x"), 24<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
		t.Fatal(err)
	}
	lock.Close()
	_, _, err = p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID("b"), progress.Discard.Step(""))
	if !errors.Is(err, disk.ErrNoSpace) || fault.HintOf(err) == "" {
		t.Errorf("%v (hint %q)", err, fault.HintOf(err))
	}
	for _, d := range []string{"work", "trash"} {
		if names, err := os.ReadDir(filepath.Join(dir, d)); err != nil || len(names) != 0 {
			t.Errorf("left in %s: %v, %v", d, names, err)
		}
	}
	if g, err := p.Head(t.Context(), disktest.Lineage); err != nil || g.ID != w.ID {
		t.Errorf("head %+v, %v", g, err)
	}
}

// What is mounted below a copy is never deleted with it.
func TestDiscardStopsAtMounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	p := open(t, t.TempDir(), 3)
	w, lock, err := p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID("a"), progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	precious := t.TempDir()
	file := filepath.Join(precious, "file")
	at := filepath.Join(w.Root, "mnt")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Mkdir(at, 0o700), unix.Mount(precious, at, "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		points, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(w.Root)), "../*/*/root/mnt"))
		for _, m := range points {
			_ = unix.Unmount(m, unix.MNT_DETACH)
		}
	})
	if err := p.Discard(t.Context(), w); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("discarding: %v", err)
	}
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		t.Error("the mounted files were deleted")
	}
}

// A generation is measured once; what is noted is not believed if it is damaged.
func TestGenerationsAreMeasuredOnce(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir, 3)
	w, lock := cloneHead(t, p, "a")
	if err := os.WriteFile(filepath.Join(w.Root, "f"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
		t.Fatal(err)
	}
	lock.Close()
	if n, err := p.Measure(t.Context(), disktest.Lineage, w.ID); err != nil || n != 1<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	noted, _ := filepath.Glob(filepath.Join(dir, "lineages/*/generations", w.ID, "size.json"))
	if len(noted) != 1 {
		t.Fatalf("%v", noted)
	}
	for text, want := range map[string]int64{`{"bytes": 7}`: 7, `{"by`: 1 << 20, `{"bytes": -1}`: 1 << 20} {
		if err := os.WriteFile(noted[0], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if n, err := p.Measure(t.Context(), disktest.Lineage, w.ID); err != nil || n != want {
				t.Errorf("%s: %d bytes, %v", text, n, err)
			}
		}
	}
	w, lock = cloneHead(t, p, "b")
	defer lock.Close()
	if _, err := p.Commit(t.Context(), w, disk.Generation{Bytes: 9}, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Measure(t.Context(), disktest.Lineage, w.ID); err != nil || n != 9 {
		t.Errorf("measured by its job: %d bytes, %v", n, err)
	}
}

// What is removed by a commit, a discard or a sweep is out of sight at once, and
// taken apart later.
func TestTidy(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir, 1)
	commit := func(id string) {
		t.Helper()
		w, lock, err := p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID(id), progress.Discard.Step(""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
			t.Fatal(err)
		}
		lock.Close()
	}
	trash := func() int {
		names, err := os.ReadDir(filepath.Join(dir, "trash"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	commit("a")
	commit("b")
	w, lock, err := p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID("c"), progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
	if err := p.Discard(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, lock, err = p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID("d"), progress.Discard.Step("")); err != nil {
		t.Fatal(err)
	}
	lock.Close()
	if n, err := p.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if n := trash(); n != 3 {
		t.Errorf("%d in the trash", n)
	}
	other, err := durable.TakeLock(t.Context(), filepath.Join(dir, "trash.lock"), durable.Exclusive, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Tidy(t.Context()); err != nil || trash() != 3 {
		t.Errorf("beside another one: %v, %d in the trash", err, trash())
	}
	other.Close()
	if err := p.Tidy(t.Context()); err != nil || trash() != 0 {
		t.Errorf("%v, %d in the trash", err, trash())
	}
}

// What a probe leaves in the trash that was killed is no obstacle, and goes with the rest.
func TestStrayFileInTheTrash(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir, 1)
	stray := filepath.Join(dir, "trash", "stray")
	for what, clean := range map[string]func() error{
		"tidy": func() error { return p.Tidy(t.Context()) },
		"gc": func() error {
			all, err := p.Garbage(t.Context(), 1)
			if err != nil || len(all) != 1 {
				return fmt.Errorf("garbage %v: %w", all, err)
			}
			_, err = p.Collect(t.Context(), all[0])
			return err
		},
	} {
		if err := os.WriteFile(stray, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := clean(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Lstat(stray); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Where working copies would be of no use, no pool is made, and what the user has made
// stays.
func TestUnsuited(t *testing.T) {
	useless := errors.New("useless")
	o := dirpool.Options{Now: time.Now, Suits: func(dir string) error {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
		return useless
	}}
	made := t.TempDir()
	for _, dir := range []string{filepath.Join(made, "new"), made} {
		if _, err := dirpool.Open(dir, o); !errors.Is(err, useless) {
			t.Errorf("%s: %v", dir, err)
		}
		if left, err := os.ReadDir(made); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", dir, left, err)
		}
	}
	p, err := dirpool.Open(made, dirpool.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if _, err := dirpool.Open(made, o); !errors.Is(err, useless) {
		t.Errorf("a pool that exists: %v", err)
	}
}
