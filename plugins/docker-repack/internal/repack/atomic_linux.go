package repack

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newUnnamed makes a file that has no name: see O_TMPFILE in open(2). Whoever
// kills the process leaves nothing behind.
func newUnnamed(dir string) (*unnamed, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	switch {
	case err == nil:
		return &unnamed{os.NewFile(uintptr(fd), dir), ""}, nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL):
		return newTemporary(dir) // the filesystem has no such files
	}
	return nil, &os.PathError{Op: "open", Path: dir, Err: err}
}

func (u *unnamed) link(name string) error {
	err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", u.Fd()), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.LinkError{Op: "link", Old: u.Name(), New: name, Err: err}
	}
	return nil
}
