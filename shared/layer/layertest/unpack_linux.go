package layertest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// unpackForOverlay makes the directory that an overlay takes for the layer: with
// 0:0 character devices for whiteouts and an attribute for opaque directories.
// A directory without an entry gets the attributes that it has in lower, the
// directories of the layers below, top first. RootOpaque tells that none of these
// shows through.
func unpackForOverlay(data []byte, dir string, lower []string) (rootOpaque bool, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return false, err
	}
	u := unpacking{dir: dir, directories: map[string]*tar.Header{}}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, err
		}
		h.Name = strings.TrimPrefix(path.Join("/", h.Name), "/")
		if err := u.entry(h, r); err != nil {
			return false, fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	rootOpaque = slices.Contains(u.opaque, "")
	if rootOpaque {
		lower = nil
	}
	if err := u.implied(lower); err != nil {
		return false, err
	}
	return rootOpaque, u.markers()
}

type unpacking struct {
	dir            string
	hidden, opaque []string
	directories    map[string]*tar.Header // nil for one without an entry
}

func (u *unpacking) entry(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if err := u.parents(path.Dir(h.Name)); err != nil {
		return err
	}
	at := filepath.Join(u.dir, h.Name)
	switch base := path.Base(h.Name); {
	case base == ".wh..wh..opq":
		u.opaque = append(u.opaque, strings.Trim(path.Dir(h.Name), "."))
		return nil
	case strings.HasPrefix(base, ".wh."):
		u.hidden = append(u.hidden, path.Join(path.Dir(h.Name), base[4:]))
		return nil
	case h.Name == "":
		return nil // nobody looks at the root
	}
	if h.Typeflag == tar.TypeDir {
		err := os.Mkdir(at, 0o700)
		u.directories[h.Name] = h
		if st, stat := os.Lstat(at); errors.Is(err, os.ErrExist) && stat == nil && st.IsDir() {
			return nil
		}
		return err
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		return os.Link(filepath.Join(u.dir, strings.TrimPrefix(path.Join("/", h.Linkname), "/")), at)
	}
	if err := create(at, h, r); err != nil {
		return err
	}
	return setAttributes(at, h)
}

func (u *unpacking) parents(dir string) error {
	if _, ok := u.directories[dir]; ok || dir == "." {
		return nil
	}
	if err := u.parents(path.Dir(dir)); err != nil {
		return err
	}
	u.directories[dir] = nil
	return os.Mkdir(filepath.Join(u.dir, dir), 0o700)
}

func create(at string, h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case tar.TypeReg:
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return os.WriteFile(at, body, 0o600)
	case tar.TypeSymlink:
		return os.Symlink(h.Linkname, at)
	case tar.TypeFifo:
		return unix.Mkfifo(at, 0o600)
	case tar.TypeChar, tar.TypeBlock:
		kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK}[h.Typeflag]
		return unix.Mknod(at, kind|0o600, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))))
	}
	return fmt.Errorf("no way to make type %q", h.Typeflag)
}

// markers sets what stands for whiteouts, and last the directories' attributes.
func (u *unpacking) markers() error {
	for _, p := range u.hidden {
		switch st, err := os.Lstat(filepath.Join(u.dir, p)); {
		case err == nil && st.IsDir():
			u.opaque = append(u.opaque, p)
		case errors.Is(err, os.ErrNotExist):
			if err := unix.Mknod(filepath.Join(u.dir, p), unix.S_IFCHR, 0); err != nil {
				return err
			}
		}
	}
	for _, p := range u.opaque {
		if p == "" {
			continue
		}
		if err := unix.Setxattr(filepath.Join(u.dir, p), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
			return err
		}
	}
	for name, h := range u.directories {
		if err := setAttributes(filepath.Join(u.dir, name), h); err != nil {
			return err
		}
	}
	return nil
}

// implied finds attributes for the directories that the layer has no entry for.
func (u *unpacking) implied(lower []string) error {
	for name, h := range u.directories {
		if h != nil {
			continue
		}
		u.directories[name] = &tar.Header{Typeflag: tar.TypeDir, Mode: 0o755, ModTime: epoch}
		if u.hides(name) {
			continue
		}
		h, err := attributesOf(name, lower)
		if err != nil {
			return err
		}
		if h != nil {
			u.directories[name] = h
		}
	}
	return nil
}

// hides reports that the layer takes away what lower layers have at a path.
func (u *unpacking) hides(name string) bool {
	for p := name; p != "."; p = path.Dir(p) {
		if slices.Contains(u.hidden, p) || (p != name && slices.Contains(u.opaque, p)) {
			return true
		}
	}
	return false
}

// attributesOf returns what the topmost layer that knows the path has there, if
// that is a directory.
func attributesOf(name string, lower []string) (*tar.Header, error) {
	for _, dir := range lower {
		covered := false
		at := dir
		for part := range strings.SplitSeq(name, "/") {
			if n, err := unix.Lgetxattr(at, "trusted.overlay.opaque", make([]byte, 1)); err == nil && n == 1 {
				covered = true
			}
			at = filepath.Join(at, part)
			var st unix.Stat_t
			if err := unix.Lstat(at, &st); errors.Is(err, unix.ENOENT) {
				at = ""
				break
			} else if err != nil {
				return nil, err
			}
			if st.Mode&unix.S_IFMT != unix.S_IFDIR {
				return nil, nil
			}
		}
		if at != "" {
			return headerOf(at)
		}
		if covered {
			return nil, nil
		}
	}
	return nil, nil
}

func headerOf(dir string) (*tar.Header, error) {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return nil, err
	}
	h := &tar.Header{Typeflag: tar.TypeDir, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid), ModTime: timeOf(st), PAXRecords: map[string]string{}}
	values, err := xattrsOf(dir)
	for name, value := range values {
		if !strings.HasPrefix(name, "trusted.overlay.") {
			h.PAXRecords["SCHILY.xattr."+name] = value
		}
	}
	return h, err
}

func setAttributes(at string, h *tar.Header) error {
	if err := os.Lchown(at, h.Uid, h.Gid); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := unix.Chmod(at, uint32(h.Mode)); err != nil {
			return err
		}
	}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
			if err := unix.Lsetxattr(at, name, []byte(v), 0); err != nil {
				return fmt.Errorf("setting %s: %w", name, err)
			}
		}
	}
	ts := unix.NsecToTimespec(h.ModTime.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, at, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}
