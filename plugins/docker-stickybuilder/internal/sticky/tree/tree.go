// Package tree clones a directory tree with everything that a BuildKit root
// consists of: owners, modes, times, extended attributes of every namespace
// (trusted.overlay.* among them), device nodes including the 0:0 whiteouts of
// overlayfs, fifos, sockets, symbolic and hard links, and holes in files.
//
// File contents travel by a [Method]: shared blocks where the filesystem can,
// bytes where it cannot. The source has to stay unchanged meanwhile.
package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// A Method puts the contents of src, size bytes, into the empty file dst and
// returns how many bytes it moved; shared blocks count as none.
type Method func(ctx context.Context, dst, src *os.File, size int64) (moved int64, err error)

type inode struct{ dev, ino uint64 }

func inodeOf(st *unix.Stat_t) inode {
	return inode{uint64(st.Dev), st.Ino} //nolint:unconvert // some architectures have 32 bits
}

// Options of Clone.
type Options struct {
	Method   Method
	Jobs     int                        // files in flight; 0 means a few per CPU
	Progress func(entries, moved int64) // called now and then, by one goroutine at a time
}

// Clone makes dst, a directory that exists and is empty, equal to src. After an
// error dst holds a part, which the caller removes.
func Clone(ctx context.Context, dst, src string, o Options) (Size, error) {
	jobs := o.Jobs
	if jobs <= 0 {
		jobs = min(4*runtime.NumCPU(), 16)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(jobs)
	c := &cloner{ctx: gctx, group: g, options: o, links: map[inode]string{}}
	walkErr := c.dir(dst, src)
	if err := g.Wait(); err != nil {
		return Size{}, err
	}
	if walkErr != nil {
		return Size{}, walkErr
	}
	// Filling a directory changes its times, so directories get theirs last.
	for _, d := range c.dirs {
		if err := setTimes(d.path, &d.stat); err != nil {
			return Size{}, err
		}
	}
	return Size{Entries: c.entries, Bytes: c.moved.Load()}, nil
}

var errUnknownType = errors.New("unknown kind of file")

func (c *cloner) dir(dst, src string) error {
	var st unix.Stat_t
	if err := unix.Lstat(src, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: src, Err: err}
	}
	names, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	for _, e := range names {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		if err := c.entry(filepath.Join(dst, e.Name()), filepath.Join(src, e.Name())); err != nil {
			return err
		}
	}
	if err := setAttributes(dst, src, &st); err != nil {
		return err
	}
	c.dirs = append(c.dirs, made{dst, st})
	return nil
}

func (c *cloner) entry(dst, src string) error {
	var st unix.Stat_t
	if err := unix.Lstat(src, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: src, Err: err}
	}
	c.entries++
	c.report()
	kind := st.Mode & unix.S_IFMT
	if st.Nlink > 1 && kind != unix.S_IFDIR {
		if first, ok := c.links[inodeOf(&st)]; ok {
			return os.Link(first, dst)
		}
		c.links[inodeOf(&st)] = dst
	}
	switch kind {
	case unix.S_IFDIR:
		// Only root's own bits until its contents are there.
		if err := os.Mkdir(dst, 0o700); err != nil {
			return err
		}
		return c.dir(dst, src)
	case unix.S_IFREG:
		return c.file(dst, src, st)
	case unix.S_IFLNK:
		target, err := os.Readlink(src)
		if err != nil {
			return err
		}
		if err := os.Symlink(target, dst); err != nil {
			return err
		}
	case unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK:
		if err := unix.Mknod(dst, kind|0o600, int(st.Rdev)); err != nil {
			return &os.PathError{Op: "mknod", Path: dst, Err: err}
		}
	default:
		return fmt.Errorf("cloning %s: %w", src, errUnknownType)
	}
	if err := setAttributes(dst, src, &st); err != nil {
		return err
	}
	return setTimes(dst, &st)
}
