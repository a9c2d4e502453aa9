package treefs

import (
	"errors"
	"path/filepath"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
)

const (
	directSize = 1 << 20 // of files that are written past the page cache, if any are
	alignment  = 4 << 10 // of offsets, sizes and memory there: the block size of btrfs
)

// isDirect reports whether a file is written past the page cache.
func (a *Applier) isDirect(e *treeindex.Entry) bool {
	return a.direct && e.Kind == treeindex.File && e.Size >= directSize
}

// withoutChecksums has btrfs keep no checksums of an empty file. Elsewhere, and where it
// is not possible, it does nothing, and writes are what the filesystem makes of them.
func withoutChecksums(fd int) {
	const noCopyOnWrite = 0x00800000 // FS_NOCOW_FL, which snapshots are exempt from
	_ = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, noCopyOnWrite)
}

// aligned is memory for writes past the page cache.
var aligned = sync.Pool{New: func() any {
	b := make([]byte, 1<<20+alignment)
	b = b[shift(b):][:1<<20]
	return &b
}}

// writePast writes whole blocks past the page cache, and what is left at both ends through
// it: its other part is another piece's.
func (w *Writer) writePast(data []byte, at int64) error {
	head := min(int(-at&(alignment-1)), len(data))
	if err := pwrite(w.fd, data[:head], at); err != nil {
		return err
	}
	data, at = data[head:], at+int64(head)
	if len(data) < alignment {
		return pwrite(w.fd, data, at)
	}
	if w.past < 0 {
		fd, err := unix.Openat(w.in.fd, filepath.Base(w.path()), unix.O_WRONLY|unix.O_DIRECT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EINVAL) { // no such thing here
			return pwrite(w.fd, data, at)
		}
		if err != nil {
			return err
		}
		w.past = fd
	}
	buf := aligned.Get().(*[]byte)
	defer aligned.Put(buf)
	for len(data) >= alignment {
		whole := data[:len(data)&^(alignment-1)]
		if shift(whole) != 0 {
			whole = (*buf)[:copy(*buf, whole)]
		}
		err := pwrite(w.past, whole, at)
		if errors.Is(err, unix.EINVAL) { // larger blocks
			return pwrite(w.fd, data, at)
		}
		if err != nil {
			return err
		}
		data, at = data[len(whole):], at+int64(len(whole))
	}
	return pwrite(w.fd, data, at)
}

// shift is by how much memory is short of a block's boundary.
func shift(b []byte) int { return -int(uintptr(unsafe.Pointer(&b[0]))) & (alignment - 1) }
