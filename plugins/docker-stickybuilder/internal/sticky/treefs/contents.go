package treefs

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// flushSize is the size in bytes from which a file is sent to the disk when it is
// complete. Smaller ones take longer to be sent one by one than they hold a snapshot up.
const flushSize = 64 << 10

// A Writer writes contents of an Applier's files, one stretch after the other. It keeps the
// last file and directory open, because what follows is commonly in the same. Several
// Writers may be used at the same time, each by one goroutine.
type Writer struct {
	in    *walker
	entry int
	fd    int
	past  int // the same file past the page cache, -1 if it is not open so
}

// Writer returns a Writer, which the caller closes.
func (a *Applier) Writer() *Writer { return &Writer{in: a.walk(), fd: -1, past: -1} }

// Close closes the last file.
func (w *Writer) Close() error {
	err := w.closeFile()
	w.in.close()
	w.in.fd = -1
	return err
}

func (w *Writer) closeFile() (err error) {
	for _, fd := range []*int{&w.fd, &w.past} {
		if *fd >= 0 {
			err = errors.Join(err, unix.Close(*fd))
			*fd = -1
		}
	}
	if err != nil {
		return w.in.fail("closing", w.path(), err)
	}
	return nil
}

func (w *Writer) path() string { return w.in.tree.Entries[w.entry].Path }

// open makes the tree's nth entry the file that is open, and makes the file if that was
// left to whoever writes to it. A process that has died may have done so.
func (w *Writer) open(n int) error {
	if w.fd >= 0 && w.entry == n {
		return nil
	}
	if err := w.closeFile(); err != nil {
		return err
	}
	w.entry = n
	e := &w.in.tree.Entries[n]
	dir, name, err := w.in.at(e.Path)
	if err != nil {
		return err
	}
	flags := unix.O_WRONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if w.in.late[n] {
		flags |= unix.O_CREAT | unix.O_TRUNC
	}
	if w.fd, err = unix.Openat(dir, name, flags, e.Mode); err != nil {
		w.fd = -1
		return w.in.fail("opening", e.Path, err)
	}
	if w.in.late[n] && !e.Filled() {
		if err := unix.Ftruncate(w.fd, e.Size); err != nil {
			return w.in.fail("truncating", e.Path, err)
		}
	}
	return nil
}

// WriteAt writes a stretch of the contents of the tree's nth entry: pieces of them that
// follow each other, each once. With the last ones, the file is complete and gets its
// attributes.
//
// The kernel is told to begin writing all but small files to the disk: a btrfs snapshot
// waits until all is there, which had better happen while the rest is fetched.
func (w *Writer) WriteAt(n, pieces int, data []byte, offset int64) error {
	if err := w.open(n); err != nil {
		return err
	}
	e := &w.in.tree.Entries[n]
	var err error
	if w.in.isDirect(e) {
		err = w.writePast(data, offset)
	} else {
		err = pwrite(w.fd, data, offset)
	}
	if err != nil {
		return w.in.fail("writing", e.Path, err)
	}
	if w.in.left[n].Add(-int32(pieces)) > 0 {
		return nil
	}
	if e.Size >= flushSize && !w.in.isDirect(e) {
		_ = unix.SyncFileRange(w.fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	}
	return w.in.complete(w.fd, n)
}

func pwrite(fd int, data []byte, at int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(fd, data, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return err
		}
		data, at = data[n:], at+int64(n)
	}
	return nil
}

// complete gives a file that is open its attributes, and notes what it is then.
func (a *Applier) complete(fd, n int) error {
	e := &a.tree.Entries[n]
	var st unix.Stat_t
	// A file that was just made commonly has its owner and mode.
	if a.late[n] && len(e.Xattrs) == 0 {
		if err := a.setTimes(fd, e); err != nil {
			return err
		}
		if err := unix.Fstat(fd, &st); err != nil {
			return a.fail("stat", e.Path, err)
		}
	}
	if st.Mode != unix.S_IFREG|e.Mode || st.Uid != e.UID || st.Gid != e.GID {
		if err := a.fileAttributes(fd, e); err != nil {
			return err
		}
		if err := unix.Fstat(fd, &st); err != nil {
			return a.fail("stat", e.Path, err)
		}
	}
	a.stats[n] = Stat{st.Ino, st.Ctim.Nano()}
	return nil
}

// Finish gives directories their attributes, and files of which another Applier has
// written something, and returns the present Stat of each entry, for a later [Scan].
func (a *Applier) Finish(ctx context.Context) ([]Stat, error) {
	for i, n := range a.plan.Create {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if a.left[n].Load() > 0 {
			fd, err := a.open(a.tree.Entries[n].Path, unix.O_WRONLY)
			if err != nil {
				return nil, err
			}
			err = a.complete(fd, n)
			unix.Close(fd)
			if err != nil {
				return nil, err
			}
		}
	}
	in := a.walk()
	defer in.close()
	if err := a.directories(in); err != nil {
		return nil, err
	}
	for n := range a.tree.Entries {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if a.stats[n] != (Stat{}) {
			continue
		}
		fd, name, err := in.at(a.tree.Entries[n].Path)
		if err != nil {
			return nil, err
		}
		var st unix.Stat_t
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, a.fail("stat", a.tree.Entries[n].Path, err)
		}
		a.stats[n] = Stat{st.Ino, st.Ctim.Nano()}
	}
	return a.stats, nil
}
