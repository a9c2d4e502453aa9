package imagefs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

type places struct{ dir, image, at, lock string }

// newImage makes a filesystem in a file on a tmpfs of the given size.
func newImage(t *testing.T, size string) places {
	t.Helper()
	lack := t.Skipf
	if os.Getenv("DOCKERFACTORY_E2E") == "1" {
		lack = t.Fatalf
	}
	mkfs, err := exec.LookPath("mkfs.btrfs")
	if err != nil || os.Geteuid() != 0 {
		lack("this needs root and mkfs.btrfs: %v", err)
	}
	dir := t.TempDir()
	if err := unix.Mount("sticky-test", dir, "tmpfs", 0, "size="+size); err != nil {
		lack("mounting tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := eventually(func() error { return unix.Unmount(dir, 0) }); err != nil {
			t.Errorf("a mount or a loop device is left: %v", err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	p := places{dir, filepath.Join(dir, "pool.img"), filepath.Join(dir, "at"), filepath.Join(dir, "lock")}
	if err := os.Mkdir(p.at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), p.image, p.at, mkfs); err != nil {
		t.Fatal(err)
	}
	return p
}

// eventually waits for what the kernel does a little after it was asked to: loop
// devices are freed later than the unmount, and a container that starts meanwhile
// holds a copy of every mount for a while.
func eventually(do func() error) (err error) {
	for range 1500 {
		if err = do(); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

func (p places) open(t *testing.T) *FS {
	t.Helper()
	f, err := Open(t.Context(), p.image, p.at, p.lock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (p places) isMounted(t *testing.T) bool {
	t.Helper()
	s, err := (&FS{image: p.image, mountpoint: p.at}).mounted()
	if err != nil {
		t.Fatal(err)
	}
	return s != absent
}

func TestTheLastUserUnmounts(t *testing.T) {
	p := newImage(t, "2g")
	if p.isMounted(t) {
		t.Fatal("mounted by Create")
	}
	a, b := p.open(t), p.open(t)
	file, err := os.Create(filepath.Join(p.at, "file"))
	if err != nil {
		t.Fatal(err)
	}
	for i, end := range []func() error{a.Close, a.Close, b.Close} {
		if err := end(); err != nil || !p.isMounted(t) {
			t.Errorf("%d: %v, still mounted: %v", i, err, p.isMounted(t))
		}
	}
	file.Close() // nobody tried to unmount after that, as when its holder was killed
	if err := p.open(t).Close(); err != nil || p.isMounted(t) {
		t.Errorf("%v, still mounted: %v", err, p.isMounted(t))
	}
	p.open(t)
	if _, err := os.Stat(filepath.Join(p.at, "file")); err != nil {
		t.Error(err)
	}
}

// What was left mounted is unmounted by whoever comes across it, and by nobody who
// would take it from its users.
func TestRelease(t *testing.T) {
	p := newImage(t, "2g")
	f := p.open(t)
	if done, err := Release(p.at, p.lock); done || err != nil || !p.isMounted(t) {
		t.Errorf("in use: %v, %v", done, err)
	}
	f.root.Close() // as when it was killed
	if points, err := Mounted(filepath.Base(p.at)); err != nil || !slices.Contains(points, p.at) {
		t.Errorf("found %v, %v", points, err)
	}
	gate, err := durable.TakeLock(t.Context(), p.lock, durable.Exclusive, 0)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := Release(p.at, p.lock); done || err != nil {
		t.Errorf("while somebody mounts it: %v, %v", done, err)
	}
	gate.Close()
	for _, want := range []bool{true, false} {
		if done, err := Release(p.at, p.lock); done != want || err != nil || p.isMounted(t) {
			t.Errorf("left mounted: %v, %v", done, err)
		}
	}
}

// The mount of a Create that was killed would hide that of the next one's file.
func TestCreateOverALeftover(t *testing.T) {
	p := newImage(t, "4g")
	p.open(t).root.Close()
	mkfs, _ := exec.LookPath("mkfs.btrfs")
	p.image = filepath.Join(p.dir, "other.img")
	if err := Create(t.Context(), p.image, p.at, mkfs); err != nil || p.isMounted(t) {
		t.Errorf("%v, mounted: %v", err, p.isMounted(t))
	}
}

// A mount in another namespace, or one that was detached while it was busy, is of
// the same loop device: two of them would be two filesystems that overwrite each other.
func TestOneLoopDevice(t *testing.T) {
	p := newImage(t, "2g")
	a := p.open(t)
	if err := unix.Unmount(p.at, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	if err := os.WriteFile(filepath.Join(p.at, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Faccessat(int(a.root.Fd()), "file", unix.R_OK, 0); err != nil {
		t.Errorf("by the other mount: %v", err)
	}
}

func TestGrowth(t *testing.T) {
	p := newImage(t, "2g")
	size := func() int64 {
		defer p.open(t).Close()
		var st unix.Statfs_t
		if err := unix.Statfs(p.at, &st); err != nil {
			t.Fatal(err)
		}
		return int64(st.Blocks) * st.Bsize
	}
	before := size()
	if err := unix.Mount("", p.dir, "", unix.MS_REMOUNT, "size=5g"); err != nil {
		t.Fatal(err)
	}
	if after := size(); after < before+2<<30 {
		t.Errorf("%d MiB, then %d MiB", before>>20, after>>20)
	}
}

func TestTrim(t *testing.T) {
	p := newImage(t, "2g")
	f := p.open(t)
	big := filepath.Join(p.at, "big")
	if err := os.WriteFile(big, bytes.Repeat([]byte("x"), 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.SyncFilesystem(p.at); err != nil {
		t.Fatal(err)
	}
	full := allocated(p.image)
	if err := os.Remove(big); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Trim(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if left := allocated(p.image); left > full-60<<20 {
		t.Errorf("%d MiB, after trimming %d MiB", full>>20, left>>20)
	}
}

// The filesystem inside takes data that does not fit any more around it. Whoever
// has had a file open since then learns of that, and what was synced before stays.
func TestFullAround(t *testing.T) {
	p := newImage(t, "1100m")
	f := p.open(t)
	lock, err := os.Create(filepath.Join(p.at, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	good := bytes.Repeat([]byte("good"), 1<<20)
	if err := errors.Join(os.WriteFile(filepath.Join(p.at, "good"), good, 0o600), durable.SyncSince(lock)); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(p.dir, "ballast")
	fill, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	for at := int64(0); unix.Fallocate(int(fill.Fd()), 0, at, 1<<20) == nil; at += 1 << 20 {
	}
	_ = os.WriteFile(filepath.Join(p.at, "lost"), bytes.Repeat([]byte("x"), 32<<20), 0o600)
	if err := durable.SyncSince(lock); err == nil {
		t.Error("nothing says that data were lost")
	}
	lock.Close()
	copyMounts(t, time.Second)
	if err := errors.Join(f.Close(), os.Remove(ballast), fill.Close()); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	if b, err := os.ReadFile(filepath.Join(p.at, "good")); err != nil || !bytes.Equal(b, good) {
		t.Errorf("what was there before: %d bytes, %v", len(b), err)
	}
	if err := os.WriteFile(filepath.Join(p.at, "new"), good, 0o600); err != nil {
		t.Errorf("writing again: %v", err)
	}
}

// copyMounts has a process hold copies of all mounts for a while, as a container
// does that starts just now.
func copyMounts(t *testing.T, d time.Duration) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep "+strconv.FormatFloat(d.Seconds(), 'f', -1, 64))
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Wait() })
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedImageIsLeftAsItIs(t *testing.T) {
	p := newImage(t, "2g")
	image, err := os.OpenFile(p.image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if _, err := image.WriteAt(make([]byte, 4096), 64<<10); err != nil { // where the superblock is
		t.Fatal(err)
	}
	before := allocated(p.image)
	_, err = Open(t.Context(), p.image, p.at, p.lock)
	if err == nil || !strings.Contains(fault.HintOf(err), "btrfs check") {
		t.Errorf("%v (hint %q)", err, fault.HintOf(err))
	}
	if after := allocated(p.image); after != before || p.isMounted(t) {
		t.Errorf("%d bytes, then %d; mounted: %v", before, after, p.isMounted(t))
	}
	if err := os.Remove(p.image); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(t.Context(), p.image, p.at, p.lock); !errors.Is(err, os.ErrNotExist) || fault.HintOf(err) == "" {
		t.Errorf("%v (hint %q)", err, fault.HintOf(err))
	}
}

func TestImpossible(t *testing.T) {
	p := newImage(t, "1100m")
	for name, mkfs := range map[string]string{"no mkfs": "", "a mkfs that fails": "/bin/false", "one that makes nothing": "/bin/true"} {
		path := filepath.Join(p.dir, "other.img")
		if err := Create(t.Context(), path, p.at, mkfs); !errors.Is(err, ErrImpossible) {
			t.Errorf("%s: %v", name, err)
		} else if mkfs == "" && !strings.Contains(fault.HintOf(err), "btrfs-progs") {
			t.Errorf("%s: hint %q", name, fault.HintOf(err))
		}
		if left, _ := filepath.Glob(path + "*"); len(left) != 0 || p.isMounted(t) {
			t.Errorf("%s: left %v, mounted %v", name, left, p.isMounted(t))
		}
	}
	small := t.TempDir()
	if err := unix.Mount("sticky-test", small, "tmpfs", 0, "size=100m"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(small, 0)
	if err := Create(t.Context(), filepath.Join(small, "pool.img"), p.at, "/bin/true"); !errors.Is(err, ErrImpossible) || !strings.Contains(err.Error(), "are needed") {
		t.Errorf("a small one: %v", err)
	}
}
