package tree

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Size says how big a tree is.
type Size struct {
	Entries int64 // directory entries of every kind, the top not counted
	Bytes   int64 // allocated bytes of regular files, each hard-linked file once
}

// measureJobs bounds the directories that are read at the same time: most of the time
// goes into waiting for inodes where they are not in memory.
const measureJobs = 8

// Measure walks the tree at dir and adds up its size. What is removed from it meanwhile
// counts or does not; that dir itself is gone matches fs.ErrNotExist.
func Measure(ctx context.Context, dir string) (Size, error) {
	m := measuring{seen: map[inode]bool{}}
	m.group, m.ctx = errgroup.WithContext(ctx)
	m.group.SetLimit(measureJobs)
	err := m.dir(unix.AT_FDCWD, dir, dir)
	if waited := m.group.Wait(); waited != nil {
		err = waited
	}
	return Size{m.entries.Load(), m.bytes.Load()}, err
}

type measuring struct {
	ctx            context.Context //nolint:containedctx // of this one walk
	group          *errgroup.Group
	entries, bytes atomic.Int64
	links          sync.Mutex
	seen           map[inode]bool // with several names
}

// dir measures the directory of that name below the open directory at; path is for
// errors.
func (m *measuring) dir(at int, name, path string) error {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) && at != unix.AT_FDCWD {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var below sync.WaitGroup // those that are measured by way of f
	defer below.Wait()
	for {
		if m.ctx.Err() != nil {
			return context.Cause(m.ctx)
		}
		entries, err := f.ReadDir(1024)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		m.entries.Add(int64(len(entries)))
		for _, e := range entries {
			switch name := e.Name(); {
			case e.Type().IsRegular():
				err = m.file(fd, name, path)
			case e.IsDir():
				below.Add(1)
				measure := func() error {
					defer below.Done()
					return m.dir(fd, name, path+"/"+name)
				}
				// Where all are busy, this one does it, so that none waits for another.
				if !m.group.TryGo(measure) {
					err = measure()
				}
			}
			if err != nil {
				return err
			}
		}
	}
}

func (m *measuring) file(at int, name, dir string) error {
	var st unix.Stat_t
	switch err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return &os.PathError{Op: "lstat", Path: dir + "/" + name, Err: err}
	}
	if st.Nlink > 1 {
		m.links.Lock()
		defer m.links.Unlock()
		if m.seen[inodeOf(&st)] {
			return nil
		}
		m.seen[inodeOf(&st)] = true
	}
	m.bytes.Add(st.Blocks * 512)
	return nil
}
