package layertest

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Implied makes the directory that no layer has an entry for, as [Expect] takes it.
func Implied(name string) Entry {
	return Entry{Header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755, ModTime: epoch}}
}

// Expect describes the tree that entries stand for one by one, in the form of
// [AllLines]: each name once, all directories listed, hard links to any earlier
// entry. It goes by the entries alone and knows nothing of how layers are merged.
// The root may be left out, and is implied then.
func Expect(entries []Entry) []string {
	type inode struct {
		Entry
		names []string
	}
	byName := map[string]*inode{}
	if len(entries) == 0 || entries[0].Name != "." {
		entries = append([]Entry{Implied(".")}, entries...)
	}
	for _, e := range entries {
		e.Header = withDefaults(e)
		name := path.Clean(e.Name)
		if e.Typeflag == tar.TypeLink {
			byName[name] = byName[e.Linkname]
		} else {
			byName[name] = &inode{Entry: e}
		}
		byName[name].names = append(byName[name].names, name)
	}
	var out []string
	for name, in := range byName {
		kind := map[byte]byte{tar.TypeReg: 'f', tar.TypeDir: 'd', tar.TypeSymlink: 'l', tar.TypeChar: 'c', tar.TypeBlock: 'b', tar.TypeFifo: 'p'}[in.Typeflag]
		var sum, device, link string
		mode := uint32(in.Mode)
		switch kind {
		case 'f':
			sum = fmt.Sprintf("%x", sha256.Sum256([]byte(in.Body)))
		case 'l':
			mode = 0o777
		case 'c', 'b':
			device = fmt.Sprintf("%d:%d", in.Devmajor, in.Devminor)
		}
		if len(in.names) > 1 {
			link = slices.Min(in.names)
		}
		var xattrs []string
		for k, v := range in.PAXRecords {
			if k, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
				xattrs = append(xattrs, fmt.Sprintf("%s=%q", k, v))
			}
		}
		slices.Sort(xattrs)
		out = append(out, line(name, kind, mode, uint32(in.Uid), uint32(in.Gid), in.Size, in.ModTime.Unix(), int64(in.ModTime.Nanosecond()), in.Linkname, device, link, sum, xattrs))
	}
	slices.Sort(out)
	return out
}
