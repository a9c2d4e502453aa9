package layertest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// Lines describes each entry of a tree but the root by one line, sorted.
func Lines(tree *layer.Tree) []string { return BelowRoot(AllLines(tree)) }

// Compare returns how two descriptions differ, or "".
func Compare(want, got []string) string {
	if slices.Equal(want, got) {
		return ""
	}
	return "(-want +got):\n" + cmp.Diff(want, got)
}

// BelowRoot leaves out the line of the root.
func BelowRoot(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, `"." `) })
}

// AllLines describes each entry of a tree by one line, sorted.
func AllLines(tree *layer.Tree) []string {
	var out []string
	for e := range tree.All() {
		sum, device := "", ""
		if e.Type == layer.Regular {
			sum = e.Sum.String()
		}
		if e.Type == layer.CharDev || e.Type == layer.BlockDev {
			device = fmt.Sprintf("%d:%d", e.Major, e.Minor)
		}
		var xattrs []string
		for _, x := range e.Xattrs {
			xattrs = append(xattrs, fmt.Sprintf("%s=%q", x.Name, x.Value))
		}
		out = append(out, line(e.Path, byte(e.Type), e.Mode, e.UID, e.GID, e.Size, e.Sec, int64(e.Nsec), e.Target, device, e.Link, sum, xattrs))
	}
	slices.Sort(out)
	return out
}

func line(path string, kind byte, mode, uid, gid uint32, size, sec, nsec int64, target, device, link, sum string, xattrs []string) string {
	return fmt.Sprintf("%q %c %04o %d:%d %d %d.%09d target=%q device=%s link=%q sum=%.12s xattrs=%s",
		path, kind, mode, uid, gid, size, sec, nsec, target, device, link, sum, strings.Join(xattrs, ","))
}

// ReadDir describes what is below dir in the form of [Lines], as the kernel tells.
func ReadDir(dir string) ([]string, error) {
	type inode struct{ dev, ino uint64 }
	first := map[inode]string{}
	names := map[inode]int{}
	type found struct {
		path string
		stat unix.Stat_t
	}
	var all []found
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); errors.Is(err, unix.ENOENT) {
			// Where a directory comes from one layer only, an overlay lists the
			// whiteouts that are in it, but nobody can open them.
			return nil
		} else if err != nil {
			return fmt.Errorf("stat %s: %w", p, err)
		}
		rel, _ := filepath.Rel(dir, p)
		all = append(all, found{rel, st})
		id := inode{st.Dev, st.Ino}
		names[id]++
		if old, ok := first[id]; !ok || rel < old {
			first[id] = rel
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range all {
		full, st := filepath.Join(dir, f.path), f.stat
		var kind byte
		var target, device, link, sum string
		size := int64(0)
		mode := st.Mode & 0o7777
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			kind, size = 'f', st.Size
			data, err := os.ReadFile(full)
			if err != nil {
				return nil, err
			}
			sum = fmt.Sprintf("%x", sha256.Sum256(data))
		case unix.S_IFDIR:
			kind = 'd'
		case unix.S_IFLNK:
			kind = 'l'
			if target, err = os.Readlink(full); err != nil {
				return nil, err
			}
		case unix.S_IFCHR, unix.S_IFBLK:
			kind = 'c'
			if st.Mode&unix.S_IFMT == unix.S_IFBLK {
				kind = 'b'
			}
			device = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		case unix.S_IFIFO:
			kind = 'p'
		}
		if id := (inode{st.Dev, st.Ino}); kind != 'd' && names[id] > 1 {
			link = first[id]
		}
		xattrs, err := readXattrs(full)
		if err != nil {
			return nil, err
		}
		out = append(out, line(f.path, kind, mode, st.Uid, st.Gid, size, st.Mtim.Sec, st.Mtim.Nsec, target, device, link, sum, xattrs))
	}
	slices.Sort(out)
	return out, nil
}

func readXattrs(path string) ([]string, error) {
	values, err := xattrsOf(path)
	var out []string
	for name, value := range values {
		out = append(out, fmt.Sprintf("%s=%q", name, value))
	}
	slices.Sort(out)
	return out, err
}

func xattrsOf(path string) (map[string]string, error) {
	buf := make([]byte, 8<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil {
		return nil, fmt.Errorf("listing attributes of %s: %w", path, err)
	}
	out := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, err
		}
		out[name] = string(value[:n])
	}
	return out, nil
}

func timeOf(st unix.Stat_t) time.Time { return time.Unix(st.Mtim.Sec, st.Mtim.Nsec) }
