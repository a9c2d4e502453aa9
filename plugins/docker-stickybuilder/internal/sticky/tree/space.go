package tree

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Space is what a filesystem has left for this user.
type Space struct {
	Bytes  int64
	Inodes int64 // negative: the filesystem makes inodes as it goes

	Reserved int64 // bytes beyond Bytes that only root may use

	Size  int64 // bytes that this user has or could have, as df counts: what is used and what is left
	Files int64 // inodes of the whole filesystem; 0 if it makes them as it goes
}

// Free asks the filesystem that holds path.
func Free(path string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return Space{}, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	s := Space{
		Bytes: int64(st.Bavail) * st.Bsize, Inodes: int64(st.Ffree), Reserved: int64(st.Bfree-st.Bavail) * st.Bsize,
		Size: int64(st.Blocks-st.Bfree+st.Bavail) * st.Bsize, Files: int64(st.Files),
	}
	if st.Files == 0 {
		s.Inodes = -1
	}
	if st.Type == unix.BTRFS_SUPER_MAGIC {
		s.Reserved = 0 // what btrfs counts as free beyond that is for metadata alone
	}
	return s, nil
}

// Nearest is the longest part of a path that is a directory.
func Nearest(path string) string {
	for {
		if st, err := os.Stat(path); err == nil && st.IsDir() {
			return path
		}
		up := filepath.Dir(path)
		if up == path {
			return path
		}
		path = up
	}
}

// Short says, as an error, that a tree of the given size does not fit, with a
// twentieth to spare; nil if it fits.
func (s Space) Short(need Size) error {
	if n := need.Bytes + need.Bytes/20; n > s.Bytes {
		return fmt.Errorf("%d MiB are needed and %d MiB are free", n>>20, s.Bytes>>20)
	}
	if n := need.Entries + need.Entries/20; s.Inodes >= 0 && n > s.Inodes {
		return fmt.Errorf("%d inodes are needed and %d are free", n, s.Inodes)
	}
	return nil
}

// Exhausted reports whether even root is about to find no space.
func (s Space) Exhausted() bool {
	const bytes, inodes = 16 << 20, 16
	return s.Bytes+s.Reserved < bytes || (s.Inodes >= 0 && s.Inodes < inodes)
}
