package dirpool

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
)

var errNoSpace error = unix.ENOSPC

// A backend makes and removes the roots of working copies.
type backend interface {
	// method names the way in which src would be cloned.
	method(src string) string
	// create makes an empty root at dst, which does not exist.
	create(dst string) error
	// clone makes dst, which does not exist, a private copy of src.
	clone(ctx context.Context, dst, src string, progress func(entries, moved int64)) (tree.Size, error)
	// seal protects a root that has become part of a generation.
	seal(root string) error
	// remove removes a root; one that does not exist is no error.
	remove(root string) error
	// reclaim waits a while for removed roots to have given their space back.
	reclaim(ctx context.Context, dir string) error
}

// probe finds the cheapest backend for the filesystem that holds dir.
func probe(dir string) (backend, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if st.Type == unix.BTRFS_SUPER_MAGIC {
		return snapshots{}, nil
	}
	ok, err := canReflink(dir)
	if err != nil {
		return nil, fmt.Errorf("probing for shared blocks: %w", writable(err))
	}
	if ok {
		return files{"reflink", tree.Reflink}, nil
	}
	return files{"copy", tree.Copy}, nil
}

// canReflink tries it, on two files that never have a name. A full filesystem
// has no room for them; as nothing can be cloned there, the answer does not matter.
func canReflink(dir string) (bool, error) {
	open := func() (*os.File, error) {
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: dir, Err: err}
		}
		return os.NewFile(uintptr(fd), dir), nil
	}
	src, err := open()
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, errNoSpace) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer src.Close()
	dst, err := open()
	if errors.Is(err, errNoSpace) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer dst.Close()
	// Empty files will do: a filesystem that cannot share blocks says so first.
	_, err = tree.Reflink(context.Background(), dst, src, 0)
	if errors.Is(err, errors.ErrUnsupported) {
		return false, nil
	}
	return err == nil, err
}

// files clones file by file.
type files struct {
	name string
	by   tree.Method
}

func (f files) method(string) string     { return f.name }
func (f files) create(dst string) error  { return os.Mkdir(dst, 0o700) }
func (f files) seal(string) error        { return nil }
func (f files) remove(root string) error { return os.RemoveAll(root) }

// The space of removed files is there when the log says so.
func (f files) reclaim(_ context.Context, dir string) error { return durable.SyncFilesystem(dir) }

func (f files) clone(ctx context.Context, dst, src string, progress func(int64, int64)) (tree.Size, error) {
	if err := f.create(dst); err != nil {
		return tree.Size{}, err
	}
	return tree.Clone(ctx, dst, src, tree.Options{Method: f.by, Progress: progress})
}
