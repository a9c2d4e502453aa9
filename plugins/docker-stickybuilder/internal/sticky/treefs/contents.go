package treefs

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// flushSize is the size in bytes from which a piece is sent to the disk when it is written.
const flushSize = 1 << 20

// A Writer writes contents of an Applier's files, one piece after the other. It keeps the
// last file open, because pieces of one file commonly follow each other. Several Writers
// may be used at the same time, each by one goroutine.
type Writer struct {
	applier *Applier
	entry   int
	fd      int
}

// Writer returns a Writer, which the caller closes.
func (a *Applier) Writer() *Writer { return &Writer{applier: a, fd: -1} }

// Close closes the last file.
func (w *Writer) Close() error {
	if w.fd < 0 {
		return nil
	}
	fd := w.fd
	w.fd = -1
	if err := unix.Close(fd); err != nil {
		return w.applier.fail("closing", w.applier.tree.Entries[w.entry].Path, err)
	}
	return nil
}

// open makes the tree's nth entry the file that is open.
func (w *Writer) open(n int) (err error) {
	if w.fd >= 0 && w.entry == n {
		return nil
	}
	if err := w.Close(); err != nil {
		return err
	}
	w.entry = n
	w.fd, err = w.applier.open(w.applier.tree.Entries[n].Path, unix.O_WRONLY)
	return err
}

// WriteAt writes one piece of the contents of the tree's nth entry, each once. With the
// last one, the file is complete and gets its attributes.
//
// The kernel is told to begin writing files to the disk: a btrfs snapshot waits until all
// is there, which had better happen while the rest is fetched.
func (w *Writer) WriteAt(n int, data []byte, offset int64) error {
	if err := w.open(n); err != nil {
		return err
	}
	size := int64(len(data))
	for at := offset; len(data) > 0; {
		written, err := unix.Pwrite(w.fd, data, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && written == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return w.applier.fail("writing", w.applier.tree.Entries[n].Path, err)
		}
		data, at = data[written:], at+int64(written)
	}
	if size >= flushSize {
		_ = unix.SyncFileRange(w.fd, offset, size, unix.SYNC_FILE_RANGE_WRITE)
	}
	if w.applier.left[n].Add(-1) > 0 {
		return nil
	}
	if size < flushSize {
		_ = unix.SyncFileRange(w.fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	}
	return w.applier.complete(w.fd, n)
}

// complete gives a file that is open its attributes, and notes what it is then.
func (a *Applier) complete(fd, n int) error {
	e := &a.tree.Entries[n]
	if err := a.fileAttributes(fd, e); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return a.fail("stat", e.Path, err)
	}
	a.stats[n] = Stat{st.Ino, st.Ctim.Nano()}
	return nil
}

// Finish gives files their attributes of which another Applier has written something,
// and returns the present Stat of each entry, for a later [Scan].
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
