package treefs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Extents calls fn with each stretch of data in f up to size, in order; between them are
// holes. On a filesystem that cannot tell, all is data.
func Extents(f *os.File, size int64, fn func(start, end int64) error) error {
	for pos := int64(0); pos < size; {
		start, err := unix.Seek(int(f.Fd()), pos, unix.SEEK_DATA)
		end := size
		switch {
		case errors.Is(err, unix.ENXIO):
			return nil
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
			start = pos
		case err != nil:
			return &os.PathError{Op: "seek", Path: f.Name(), Err: err}
		default:
			if end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE); err != nil {
				return &os.PathError{Op: "seek", Path: f.Name(), Err: err}
			}
		}
		if start, end = min(start, size), min(end, size); start < end {
			if err := fn(start, end); err != nil {
				return err
			}
		}
		pos = end
	}
	return nil
}
