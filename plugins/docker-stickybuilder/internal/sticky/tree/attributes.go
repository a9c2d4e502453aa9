package tree

import (
	"bytes"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// setAttributes gives dst the owner, mode and extended attributes of src. The
// order matters: a change of owner takes the set-uid bits and the capability
// attribute away.
func setAttributes(dst, src string, st *unix.Stat_t) error {
	if err := unix.Lchown(dst, int(st.Uid), int(st.Gid)); err != nil {
		return &os.PathError{Op: "lchown", Path: dst, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(dst, st.Mode&0o7777); err != nil {
			return &os.PathError{Op: "chmod", Path: dst, Err: err}
		}
	}
	return copyXattrs(dst, src)
}

func setTimes(path string, st *unix.Stat_t) error {
	ts := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimensat", Path: path, Err: err}
	}
	return nil
}

// maxXattr is the kernel's own bound for a list of names and for one value.
const maxXattr = 64 << 10

func copyXattrs(dst, src string) error {
	// Most files have none: learn that without a buffer.
	size, err := unix.Llistxattr(src, nil)
	if errors.Is(err, unix.ENOTSUP) || (err == nil && size == 0) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "llistxattr", Path: src, Err: err}
	}
	names := make([]byte, maxXattr)
	n, err := unix.Llistxattr(src, names)
	if err != nil {
		return &os.PathError{Op: "llistxattr", Path: src, Err: err}
	}
	value := make([]byte, maxXattr)
	for _, name := range bytes.Split(bytes.TrimSuffix(names[:n], []byte{0}), []byte{0}) {
		v, err := unix.Lgetxattr(src, string(name), value)
		if err != nil {
			return &os.PathError{Op: "lgetxattr " + string(name), Path: src, Err: err}
		}
		if err := unix.Lsetxattr(dst, string(name), value[:v], 0); err != nil {
			return &os.PathError{Op: "lsetxattr " + string(name), Path: dst, Err: err}
		}
	}
	return nil
}
