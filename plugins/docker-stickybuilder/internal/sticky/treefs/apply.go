package treefs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
)

// An Applier carries a plan out in a directory: [Applier.Structure], then all contents by
// [Writer.WriteAt], then [Applier.Finish]. What a process that died has left is gone on
// with by another Applier, which need not write again what was written; but a directory
// in which Structure was not done is of no use.
type Applier struct {
	root   *os.File
	tree   *treeindex.Tree
	plan   Plan
	direct bool

	late  []bool         // of each entry: a file that is made when its contents are written
	left  []atomic.Int32 // of each entry: pieces that are not written
	stats []Stat
}

// ApplyOptions say how. The zero value is right for any filesystem.
type ApplyOptions struct {
	// Direct writes big files past the page cache, and has btrfs keep no checksums of
	// them, which would not let it. It is for a filesystem in a file that the kernel
	// caches anyway: there it takes a quarter of the processor's time.
	Direct bool
}

// NewApplier begins to make dir the tree next.
func NewApplier(dir string, next *treeindex.Tree, p Plan, o ApplyOptions) (*Applier, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	a := &Applier{
		root: f, tree: next, plan: p, direct: o.Direct,
		late: make([]bool, len(next.Entries)), left: make([]atomic.Int32, len(next.Entries)), stats: make([]Stat, len(next.Entries)),
	}
	linked := map[string]bool{} // which have to be there before their links
	for _, n := range p.Create {
		if e := &next.Entries[n]; e.Kind == treeindex.Hardlink {
			linked[e.Target] = true
		}
	}
	for _, n := range p.Create {
		e := &next.Entries[n]
		a.left[n].Store(int32(len(e.Content)))
		a.late[n] = len(e.Content) == 1 && !linked[e.Path] && !a.isDirect(e)
	}
	return a, nil
}

// Close releases the directory.
func (a *Applier) Close() error { return a.root.Close() }

// Structure removes what is to go and makes all of what is to come but files of one piece,
// the contents of others, and the attributes of those that have any and of directories.
func (a *Applier) Structure(ctx context.Context) error {
	in := a.walk()
	defer in.close()
	for i, path := range a.plan.Remove {
		if i%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		fd, name, err := in.at(path)
		if err != nil {
			return err
		}
		err = unix.Unlinkat(fd, name, 0)
		if errors.Is(err, unix.EISDIR) {
			err = unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
		}
		if errors.Is(err, unix.ENOTEMPTY) {
			err = a.removeAll(path) // what is there is no part of the tree
		}
		if err != nil {
			return a.fail("removing", path, err)
		}
	}
	for i, n := range a.plan.Create {
		if i%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if a.late[n] {
			continue
		}
		e := &a.tree.Entries[n]
		fd, name, err := in.at(e.Path)
		if err == nil && e.Kind == treeindex.Hardlink {
			err = a.link(fd, name, e.Target)
		} else if err == nil {
			err = a.create(fd, name, e)
		}
		if err != nil {
			return a.fail("making", e.Path, err)
		}
	}
	// After the links, which change the time of their file.
	for _, n := range a.plan.Create {
		e := &a.tree.Entries[n]
		if e.Kind == treeindex.Hardlink || e.Kind == treeindex.Dir || len(e.Content) > 0 {
			continue
		}
		if err := in.attributes(e, true); err != nil {
			return err
		}
	}
	return nil
}

// directories gives them their attributes: from below to above, and after all that is made
// in them, which changes their time.
func (a *Applier) directories(in *walker) error {
	// Those that were there before have extended attributes that may have to go.
	fresh := make([]bool, len(a.tree.Entries))
	for _, n := range a.plan.Create {
		fresh[n] = true
	}
	for _, n := range slices.Backward(slices.Sorted(slices.Values(slices.Concat(a.plan.Create, a.plan.Adjust)))) {
		if e := &a.tree.Entries[n]; e.Kind == treeindex.Dir {
			if err := in.attributes(e, fresh[n]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Applier) removeAll(path string) error {
	root, err := os.OpenRoot(a.root.Name())
	if err != nil {
		return err
	}
	defer root.Close()
	return root.RemoveAll(path)
}

func (a *Applier) create(fd int, name string, e *treeindex.Entry) error {
	switch e.Kind {
	case treeindex.Dir:
		return unix.Mkdirat(fd, name, 0o700)
	case treeindex.Symlink:
		return unix.Symlinkat(e.Target, fd, name)
	case treeindex.File:
		f, err := unix.Openat(fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		defer unix.Close(f)
		if a.isDirect(e) {
			withoutChecksums(f)
		}
		if e.Filled() {
			return nil // its last piece gives it its size
		}
		return unix.Ftruncate(f, e.Size)
	case treeindex.CharDev:
		return unix.Mknodat(fd, name, unix.S_IFCHR|0o600, int(unix.Mkdev(e.Major, e.Minor)))
	case treeindex.BlockDev:
		return unix.Mknodat(fd, name, unix.S_IFBLK|0o600, int(unix.Mkdev(e.Major, e.Minor)))
	case treeindex.Fifo:
		return unix.Mknodat(fd, name, unix.S_IFIFO|0o600, 0)
	case treeindex.Socket:
		return unix.Mknodat(fd, name, unix.S_IFSOCK|0o600, 0)
	}
	return fmt.Errorf("unknown kind %q", e.Kind)
}

func (a *Applier) link(fd int, name, target string) error {
	dir, err := a.open(filepath.Dir(target), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return unix.Linkat(dir, filepath.Base(target), fd, name, 0)
}

// open opens what path names below the root, by way of real directories only.
func (a *Applier) open(path string, flags uint64) (int, error) {
	fd, err := unix.Openat2(int(a.root.Fd()), path, &unix.OpenHow{
		Flags: flags | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return -1, a.fail("opening", path, err)
	}
	return fd, nil
}

func (a *Applier) fail(op, path string, err error) error {
	return &os.PathError{Op: op, Path: filepath.Join(a.root.Name(), path), Err: err}
}

// A walker keeps the directory open that the last path was in.
type walker struct {
	*Applier
	dir string
	fd  int
}

func (a *Applier) walk() *walker { return &walker{Applier: a, fd: -1} }

func (w *walker) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
}

// at returns the open directory of path and its name there.
func (w *walker) at(path string) (int, string, error) {
	dir, name := filepath.Split(path)
	dir = filepath.Clean("./" + dir)
	if w.fd < 0 || dir != w.dir {
		fd, err := w.open(dir, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return -1, "", err
		}
		w.close()
		w.fd, w.dir = fd, dir
	}
	return w.fd, name, nil
}
