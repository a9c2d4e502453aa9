package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Reflink shares the blocks of src with dst (FICLONE): nothing is moved, and
// either file may be changed later without the other. Filesystems without it
// give an error that matches errors.ErrUnsupported.
func Reflink(_ context.Context, dst, src *os.File, _ int64) (int64, error) {
	err := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd()))
	switch {
	case err == nil:
		return 0, nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EXDEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTTY):
		return 0, fmt.Errorf("sharing the blocks of %s: %w: %w", src.Name(), errors.ErrUnsupported, err)
	}
	return 0, &os.PathError{Op: "ficlone", Path: src.Name(), Err: err}
}

// Copy moves the bytes of src, and leaves holes where src has holes.
func Copy(ctx context.Context, dst, src *os.File, size int64) (int64, error) {
	if err := dst.Truncate(size); err != nil {
		return 0, err
	}
	var moved int64
	for pos := int64(0); pos < size; {
		start, end, err := nextData(src, pos, size)
		if err != nil {
			return moved, err
		}
		n, err := copyRange(ctx, dst, src, start, end)
		moved += n
		if err != nil {
			return moved, err
		}
		pos = end
	}
	return moved, nil
}

// nextData finds the first stretch of data at or after pos. Without one both
// results are size. A filesystem that cannot tell has no holes.
func nextData(f *os.File, pos, size int64) (start, end int64, err error) {
	start, err = unix.Seek(int(f.Fd()), pos, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return pos, size, nil
	case err != nil:
		return 0, 0, &os.PathError{Op: "seek", Path: f.Name(), Err: err}
	}
	end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, &os.PathError{Op: "seek", Path: f.Name(), Err: err}
	}
	return min(start, size), min(end, size), nil
}

// copyChunk bounds how long a cancelled context may go unnoticed.
const copyChunk = 16 << 20

func copyRange(ctx context.Context, dst, src *os.File, start, end int64) (int64, error) {
	var moved int64
	for pos := start; pos < end; {
		if ctx.Err() != nil {
			return moved, context.Cause(ctx)
		}
		from, to := pos, pos
		n, err := unix.CopyFileRange(int(src.Fd()), &from, int(dst.Fd()), &to, int(min(end-pos, copyChunk)), 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
			m, err := io.CopyN(io.NewOffsetWriter(dst, pos), io.NewSectionReader(src, pos, end-pos), min(end-pos, copyChunk))
			if err != nil {
				return moved + m, fmt.Errorf("copying %s: %w", src.Name(), err)
			}
			n = int(m)
		case err != nil:
			return moved, &os.PathError{Op: "copying", Path: src.Name(), Err: err}
		case n == 0:
			return moved, fmt.Errorf("copying %s: %w", src.Name(), io.ErrUnexpectedEOF)
		}
		pos += int64(n)
		moved += int64(n)
	}
	return moved, nil
}
