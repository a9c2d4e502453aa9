package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("device nodes and trusted attributes need root")
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// fill makes one of everything that a BuildKit root may hold.
func fill(t *testing.T, dir string) {
	t.Helper()
	p := func(name string) string { return filepath.Join(dir, name) }
	big := strings.Repeat("0123456789abcdef", 1<<16)
	must(t,
		os.MkdirAll(p("snapshots/1/fs/usr/bin"), 0o755),
		os.MkdirAll(p("snapshots/1/work/work"), 0o700),
		os.WriteFile(p("snapshots/1/fs/usr/bin/su"), []byte(big), 0o755),
		os.Lchown(p("snapshots/1/fs/usr/bin/su"), 12, 34),
		unix.Chmod(p("snapshots/1/fs/usr/bin/su"), 0o4755),
		unix.Lsetxattr(p("snapshots/1/fs/usr/bin/su"), "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0),
		os.Link(p("snapshots/1/fs/usr/bin/su"), p("snapshots/1/fs/hard")),
		os.Symlink("../nowhere", p("snapshots/1/fs/soft")),
		os.Lchown(p("snapshots/1/fs/soft"), 1000, 1000),
		unix.Lsetxattr(p("snapshots/1/fs/soft"), "trusted.note", []byte("x"), 0),
		unix.Mknod(p("snapshots/1/fs/gone"), unix.S_IFCHR|0o600, 0),
		unix.Mknod(p("snapshots/1/fs/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		unix.Mkfifo(p("snapshots/1/fs/fifo"), 0o640),
		unix.Mknod(p("snapshots/1/fs/sock"), unix.S_IFSOCK|0o600, 0),
		unix.Lsetxattr(p("snapshots/1/fs/usr"), "trusted.overlay.opaque", []byte("y"), 0),
		os.WriteFile(p("snapshots/1/fs/empty"), nil, 0o600),
		os.WriteFile(p("snapshots/1/fs/\xff odd\nname"), []byte("odd"), 0o400),
		unix.Chmod(p("snapshots/1/work/work"), 0),
		unix.Chmod(p("snapshots/1/fs"), 0o1777),
	)
	sparse, err := os.Create(p("cache.db"))
	must(t, err)
	_, err = sparse.WriteAt([]byte("middle"), 5<<20)
	must(t, err, sparse.Truncate(9<<20), sparse.Close())
	old := []unix.Timespec{{Sec: 1e9, Nsec: 123456789}, {Sec: 1e9 + 7, Nsec: 987654321}}
	for _, n := range []string{"snapshots/1/fs/soft", "snapshots/1/fs/null", "snapshots/1/fs/empty", "snapshots/1/fs/usr", "snapshots", "cache.db"} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, p(n), old, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// describe lists everything about a tree that a clone has to keep.
func describe(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	links := map[inode]string{}
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		d := fmt.Sprintf("mode %o owner %d:%d rdev %d mtime %d.%d", st.Mode, st.Uid, st.Gid, st.Rdev, st.Mtim.Sec, st.Mtim.Nsec)
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			d += fmt.Sprintf(" size %d", st.Size)
			if first, ok := links[inodeOf(&st)]; ok {
				d += " same as " + first
			} else {
				links[inodeOf(&st)] = rel
			}
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			d += fmt.Sprintf(" contents %x", b[:min(len(b), 64)]) + fmt.Sprint(len(b), hash(b))
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			d += " to " + target
		}
		names := make([]byte, 4096)
		n, err := unix.Llistxattr(path, names)
		if err != nil {
			return err
		}
		for _, name := range strings.Split(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
			if name != "" {
				v := make([]byte, 4096)
				n, err := unix.Lgetxattr(path, name, v)
				if err != nil {
					return err
				}
				d += fmt.Sprintf(" %s=%x", name, v[:n])
			}
		}
		out[rel] = d
		return nil
	}))
	return out
}

func hash(b []byte) (h uint64) {
	for _, c := range b {
		h = h*1099511628211 ^ uint64(c)
	}
	return h
}

func TestCloneKeepsEverything(t *testing.T) {
	needRoot(t)
	src, dst := t.TempDir(), t.TempDir()
	fill(t, src)
	want := describe(t, src)
	size, err := Clone(t.Context(), dst, src, Options{Method: Copy})
	must(t, err)
	got := describe(t, dst)
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%q\n got %s\nwant %s", name, got[name], w)
		}
	}
	for name := range got {
		if want[name] == "" {
			t.Errorf("%q is new", name)
		}
	}
	if int(size.Entries) != len(want)-1 {
		t.Errorf("%d entries, want %d", size.Entries, len(want)-1)
	}

	// Holes stay holes.
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(dst, "cache.db"), &st))
	if st.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file takes %d bytes", st.Blocks*512)
	}
	measured, err := Measure(t.Context(), src)
	if err != nil || measured.Entries != size.Entries || measured.Bytes < 1<<20 || measured.Bytes > 3<<20 {
		t.Errorf("measured %+v, %v", measured, err)
	}
}

func TestCloneFails(t *testing.T) {
	src := t.TempDir()
	for i := range 50 {
		must(t, os.WriteFile(filepath.Join(src, fmt.Sprint(i)), []byte("x"), 0o600))
	}
	broken := errors.New("broken")
	_, err := Clone(t.Context(), t.TempDir(), src, Options{Method: func(context.Context, *os.File, *os.File, int64) (int64, error) { return 0, broken }})
	if !errors.Is(err, broken) {
		t.Errorf("method's error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Clone(ctx, t.TempDir(), src, Options{Method: Copy}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Measure(ctx, src); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Clone(t.Context(), t.TempDir(), filepath.Join(src, "none"), Options{Method: Copy}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing source: %v", err)
	}
	if _, err := Clone(t.Context(), src, src, Options{Method: Copy}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("into a directory that is not empty: %v", err)
	}
}

func TestShort(t *testing.T) {
	for name, c := range map[string]struct {
		free Space
		need Size
		ok   bool
	}{
		"fits":             {Space{Bytes: 1000, Inodes: 1000}, Size{10, 900}, true},
		"no bytes":         {Space{Bytes: 1000, Inodes: 1000}, Size{10, 1000}, false},
		"just enough":      {Space{Bytes: 1000, Inodes: 10}, Size{10, 100}, true},
		"too few inodes":   {Space{Bytes: 1000, Inodes: 100}, Size{100, 100}, false},
		"inodes unbounded": {Space{Bytes: 1000, Inodes: -1}, Size{1 << 40, 100}, true},
	} {
		if err := c.free.Short(c.need); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExhausted(t *testing.T) {
	for name, c := range map[string]struct {
		space Space
		want  bool
	}{
		"plenty":             {Space{Bytes: 1 << 30, Inodes: 1000}, false},
		"no bytes":           {Space{Bytes: 1 << 20, Inodes: 1000}, true},
		"only root has some": {Space{Reserved: 1 << 30, Inodes: 1000}, false},
		"no inodes":          {Space{Bytes: 1 << 30, Inodes: 3}, true},
		"inodes unbounded":   {Space{Bytes: 1 << 30, Inodes: -1}, false},
	} {
		if got := c.space.Exhausted(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if s, err := Free(t.TempDir()); err != nil || s.Bytes <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
}
