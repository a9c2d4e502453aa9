package dirpool_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disktest"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

func cloneHead(t *testing.T, p *dirpool.Pool, id string) (*disk.Working, *durable.Lock) {
	t.Helper()
	w, lock, err := p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID(id), progress.Discard.Step(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	return w, lock
}

// Copies are a last resort, and say why they are made.
func TestCopiesAreExplained(t *testing.T) {
	o := inFile(t)
	none := o
	none.Mkfs = ""
	for name, c := range map[string]struct {
		size    int64
		options dirpool.Options
		why     string
	}{
		"no mkfs":  {3 << 30, none, "install it: apt-get install btrfs-progs"},
		"no room":  {64 << 20, o, "are needed"},
		"no image": {64 << 20, dirpool.Options{}, "made of plain files"},
	} {
		dir := filepath.Join(mount(t, "tmpfs", c.size), "pool")
		p := openWith(t, dir, c.options)
		if w, _ := cloneHead(t, p, "a"); !strings.Contains(w.Clone.Why, c.why) || w.Backing != "" {
			t.Errorf("%s: %+v", name, w)
		}
		// What is there stays what it is.
		if w, _ := cloneHead(t, openWith(t, dir, o), "b"); !strings.Contains(w.Clone.Why, "plain files") {
			t.Errorf("%s, the next time: %+v", name, w)
		}
	}
}

// A pool that was made before pools were in files there stays what it is.
func TestPlainPoolOnXFS(t *testing.T) {
	dir := filepath.Join(mount(t, "mkfs.xfs", 3<<30), "pool")
	for i, o := range []dirpool.Options{{}, inFile(t), inFile(t)} {
		p := openWith(t, dir, o)
		w, lock := cloneHead(t, p, "abc"[i:i+1])
		if want := []string{"empty", "reflink"}[min(i, 1)]; w.Clone.Method != want || w.Clone.Why != "" || w.Backing != "" {
			t.Errorf("%d: %+v, want %s", i, w, want)
		}
		if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
			t.Fatal(err)
		}
		lock.Close()
	}
}

func TestPoolInAFile(t *testing.T) {
	dir := filepath.Join(mount(t, "tmpfs", 3<<30), "pool")
	p := openWith(t, dir, inFile(t))
	w, lock := cloneHead(t, p, "a")
	if w.Backing != dir || w.Clone.Why != "" {
		t.Errorf("%+v", w)
	}
	if err := os.WriteFile(filepath.Join(w.Root, "big"), bytes.Repeat([]byte("x"), 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(lock.Close(), p.Close()); err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(filepath.Join(dir, "mnt")); err != nil || len(names) != 0 {
		t.Errorf("it is still mounted: %v, %v", names, err)
	}
	// Any version of the options finds it again.
	p = openWith(t, dir, dirpool.Options{Existing: true})
	if g, err := p.Head(t.Context(), disktest.Lineage); err != nil || g == nil || g.ID != w.ID {
		t.Fatalf("head %+v, %v", g, err)
	}
	if err := p.RemoveLineage(t.Context(), disktest.Lineage); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Trim(t.Context()); err != nil || n < 60<<20 {
		t.Errorf("gave back %d MiB, %v", n>>20, err)
	}
}

// A job that died before it could say that it has made the file is no obstacle.
func TestHalfMadePoolInAFile(t *testing.T) {
	dir := filepath.Join(mount(t, "tmpfs", 3<<30), "pool")
	if err := openWith(t, dir, inFile(t)).Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "pool.json")), os.WriteFile(filepath.Join(dir, "pool.img.tmp"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if w, _ := cloneHead(t, openWith(t, dir, inFile(t)), "a"); w.Backing != dir {
		t.Errorf("%+v", w)
	}
}

// There is room inside the file and none around it: nothing is begun.
func TestNoRoomAroundThePool(t *testing.T) {
	top := mount(t, "tmpfs", 1200<<20)
	p := openWith(t, filepath.Join(top, "pool"), inFile(t))
	f, err := os.Create(filepath.Join(top, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := int64(0); unix.Fallocate(int(f.Fd()), 0, at, 1<<20) == nil; at += 1 << 20 {
	}
	_, _, err = p.Clone(t.Context(), disktest.Lineage, disktest.Lineage, newID("a"), progress.Discard.Step(""))
	if !errors.Is(err, disk.ErrNoSpace) || !strings.Contains(fault.HintOf(err), "disk gc") {
		t.Errorf("%v (hint %q)", err, fault.HintOf(err))
	}
	if copies, err := p.Copies(t.Context()); err != nil || len(copies) != 0 {
		t.Errorf("left %v, %v", copies, err)
	}
}
