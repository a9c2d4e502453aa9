package treefs

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
)

// maxXattr is the kernel's own bound for a list of names and for one value.
const maxXattr = 64 << 10

func readXattrs(path string) ([]treeindex.Xattr, error) {
	// Most files have none: learn that without a buffer.
	size, err := unix.Llistxattr(path, nil)
	if errors.Is(err, unix.ENOTSUP) || (err == nil && size == 0) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	names := make([]byte, maxXattr)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		return nil, &os.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	value := make([]byte, maxXattr)
	var out []treeindex.Xattr
	for name := range bytes.SplitSeq(bytes.TrimSuffix(names[:n], []byte{0}), []byte{0}) {
		v, err := unix.Lgetxattr(path, string(name), value)
		if err != nil {
			return nil, &os.PathError{Op: "lgetxattr " + string(name), Path: path, Err: err}
		}
		out = append(out, treeindex.Xattr{Name: string(name), Value: string(value[:v])})
	}
	slices.SortFunc(out, func(a, b treeindex.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// writeXattrs gives a file the attributes that are wanted and takes away all others.
func writeXattrs(path string, wanted []treeindex.Xattr, fresh bool) error {
	if !fresh {
		there, err := readXattrs(path)
		if err != nil {
			return err
		}
		for _, x := range there {
			if !slices.ContainsFunc(wanted, func(w treeindex.Xattr) bool { return w.Name == x.Name }) {
				if err := unix.Lremovexattr(path, x.Name); err != nil {
					return &os.PathError{Op: "lremovexattr " + x.Name, Path: path, Err: err}
				}
			}
		}
	}
	for _, x := range wanted {
		if err := unix.Lsetxattr(path, x.Name, []byte(x.Value), 0); err != nil {
			return &os.PathError{Op: "lsetxattr " + x.Name, Path: path, Err: err}
		}
	}
	return nil
}
