package treefs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
)

// An Applier carries a plan out in a directory: [Applier.Structure], then all contents by
// [Applier.WriteAt], then [Applier.Finish]. Each of them can be repeated after a process died
// in it, but for Structure, after which the directory is of no use.
type Applier struct {
	root *os.File
	tree *treeindex.Tree
	plan Plan
}

// NewApplier begins to make dir the tree next.
func NewApplier(dir string, next *treeindex.Tree, p Plan) (*Applier, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return &Applier{root: f, tree: next, plan: p}, nil
}

// Close releases the directory.
func (a *Applier) Close() error { return a.root.Close() }

// Structure removes what is to go and makes the names of what is to come: directories,
// links, devices, and files as long as they are to be and with nothing in them.
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
		e := &a.tree.Entries[n]
		if e.Kind == treeindex.Hardlink {
			continue // its file gets its attributes first
		}
		fd, name, err := in.at(e.Path)
		if err == nil {
			err = create(fd, name, e)
		}
		if err != nil {
			return a.fail("making", e.Path, err)
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

func create(fd int, name string, e *treeindex.Entry) error {
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

// WriteAt puts bytes into a file of the tree. It is safe for concurrent use.
func (a *Applier) WriteAt(e *treeindex.Entry, data []byte, offset int64) error {
	fd, err := a.open(e.Path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), e.Path)
	_, err = f.WriteAt(data, offset)
	return errors.Join(err, f.Close())
}

// Finish sets attributes, makes hard links, and gives directories their times.
func (a *Applier) Finish(ctx context.Context) error {
	in := a.walk()
	defer in.close()
	var links []*treeindex.Entry
	dirs := slices.Clone(a.plan.Adjust)
	for i, n := range a.plan.Create {
		if i%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e := &a.tree.Entries[n]
		switch e.Kind {
		case treeindex.Hardlink:
			links = append(links, e)
		case treeindex.Dir:
			dirs = append(dirs, n)
		default:
			if err := in.attributes(e, true); err != nil {
				return err
			}
		}
	}
	for _, e := range links {
		if err := a.link(in, e); err != nil {
			return a.fail("linking", e.Path, err)
		}
	}
	// From below to above: what is made in a directory changes its time.
	slices.Sort(dirs)
	for _, n := range slices.Backward(dirs) {
		if err := in.attributes(&a.tree.Entries[n], false); err != nil {
			return err
		}
	}
	return nil
}

func (a *Applier) link(in *walker, e *treeindex.Entry) error {
	first, err := a.open(filepath.Dir(e.Target), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(first)
	fd, name, err := in.at(e.Path)
	if err != nil {
		return err
	}
	err = unix.Linkat(first, filepath.Base(e.Target), fd, name, 0)
	if errors.Is(err, unix.EEXIST) { // made before the process died
		if err = unix.Unlinkat(fd, name, 0); err == nil {
			err = unix.Linkat(first, filepath.Base(e.Target), fd, name, 0)
		}
	}
	return err
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

// attributes gives a name its owner, mode, extended attributes and time, in this order: a
// change of owner takes the set-uid bits and the capabilities away.
func (w *walker) attributes(e *treeindex.Entry, fresh bool) error {
	fd, name, err := w.at(e.Path)
	if err != nil {
		return err
	}
	if err := unix.Fchownat(fd, name, int(e.UID), int(e.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return w.fail("chown", e.Path, err)
	}
	if e.Kind != treeindex.Symlink {
		if err := unix.Fchmodat(fd, name, e.Mode, 0); err != nil {
			return w.fail("chmod", e.Path, err)
		}
	}
	if len(e.Xattrs) > 0 || !fresh {
		if err := writeXattrs(fmt.Sprintf("/proc/self/fd/%d/%s", fd, name), e.Xattrs, fresh); err != nil {
			return err
		}
	}
	at := unix.Timespec{Sec: e.Seconds, Nsec: int64(e.Nanos)}
	if err := unix.UtimesNanoAt(fd, name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return w.fail("utimensat", e.Path, err)
	}
	return nil
}
