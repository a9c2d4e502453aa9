package layer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Shape is a way to write layers that programs read in different ways. Which
// reading is taken here is in docs/design/002-layer-application.md.
type Shape uint8

// The shapes that [MergeObserved] tells of.
const (
	// OpaqueRoot: an opaque marker in the root, where lower layers have something.
	// Engines that stack layers by overlay mounts ignore it.
	OpaqueRoot Shape = iota
	// Recreated: a layer whites a name out and has an entry for it. Engines show a
	// directory's lower children again; after the entry they remove it or refuse
	// the layer.
	Recreated
	// Repeated: a layer has two entries of a name, not both directories. Engines
	// refuse the layer.
	Repeated
	// BareParent: a layer has no entry for a directory that a lower layer gave
	// other attributes than 0755 and owner 0:0. Engines reset them.
	BareParent
	// BelowFile: a layer has no entry for a directory, and a lower layer has a file
	// that leads to it. Engines that look for its attributes below the file refuse
	// the layer.
	BelowFile
	// BelowSymlink: an entry lies below a symlink of a lower layer. Engines put a
	// directory in the symlink's place.
	BelowSymlink
	// LinkBelow: a hard link leads to a file of a lower layer. Engines refuse the
	// layer.
	LinkBelow
	// LinkAttributes: a hard link's header says other attributes than its file has,
	// or does not repeat its file capabilities. Engines apply the header, and drop
	// the capabilities.
	LinkAttributes
	// RootAttributes: the root has other attributes than 0755 and owner 0:0.
	// Engines do not apply them.
	RootAttributes

	// Shapes is how many there are.
	Shapes = int(iota)
)

// String names the shape for people, in the plural.
func (s Shape) String() string {
	switch s {
	case OpaqueRoot:
		return "opaque markers in the root"
	case Recreated:
		return "names that one layer removes and has"
	case Repeated:
		return "names with two entries in one layer"
	case BareParent:
		return "directories of lower layers that a layer has no entry for"
	case BelowFile:
		return "directories without an entry in the place of lower layers' files"
	case BelowSymlink:
		return "entries below symlinks of lower layers"
	case LinkBelow:
		return "hard links to files of lower layers"
	case LinkAttributes:
		return "hard links with other attributes than their files"
	case RootAttributes:
		return "attributes of the root"
	}
	return fmt.Sprintf("shape %d", uint8(s))
}

// An Ambiguity is one place where a layer has a [Shape].
type Ambiguity struct {
	Shape Shape
	Path  string // as the entry spells it, cleaned
	Layer int    // counted from 0
}

func (m *merger) ambiguous(s Shape, path string) {
	if m.observer.Ambiguous != nil {
		m.observer.Ambiguous(Ambiguity{s, path, m.layer})
	}
}

// bare tells of a directory that an entry of the layer lies in.
func (m *merger) bare(dir *node, names []string) {
	if m.observer.Ambiguous == nil || dir.layer == m.layer || !unusual(dir.inode) {
		return
	}
	p := strings.Join(names, "/")
	if !m.directories[p] && !m.bareParents[p] {
		m.bareParents[p] = true
		m.ambiguous(BareParent, p)
	}
}

// belowFile tells of a directory that no entry of the layer has been for yet, where
// a lower layer has a file on the way.
func (m *merger) belowFile(names []string) {
	if m.observer.Ambiguous == nil || len(m.files) == 0 {
		return
	}
	p := strings.Join(names, "/")
	if m.directories[p] || m.bareParents[p] {
		return
	}
	for i := range p {
		if p[i] == '/' && m.files[p[:i]] {
			m.bareParents[p] = true
			m.ambiguous(BelowFile, p)
			return
		}
	}
}

// takes notes that the layer removes or replaces what lower layers have at a path.
func (m *merger) takes(old *node, above []string, name string) {
	if old != nil && old.layer < m.layer && old.inode.Type != Directory && old.inode.Type != Symlink && m.observer.Ambiguous != nil {
		m.files[strings.Join(append(slices.Clip(above), name), "/")] = true
	}
}

// recreated tells of directories that the layer's whiteouts emptied and its entries
// made again.
func (m *merger) recreated() {
	for _, p := range slices.Sorted(maps.Keys(m.emptied)) {
		n := m.root
		for _, part := range parts(p) {
			if n = n.children[part]; n == nil {
				break
			}
		}
		if n != nil && n.inode.Type == Directory {
			m.ambiguous(Recreated, p)
		}
	}
}

// unusual reports a directory that is not what engines make of one that no entry
// describes.
func unusual(in *Inode) bool {
	return in.Mode != 0o755 || in.UID != 0 || in.GID != 0 || len(in.Xattrs) > 0
}

// contradicts reports whether an engine that applies the attributes of a hard
// link's header would change the file.
func contradicts(header, file *Inode) bool {
	if header.UID != file.UID || header.GID != file.GID || header.Sec != file.Sec || header.Nsec != file.Nsec {
		return true
	}
	if file.Type != Symlink && header.Mode != file.Mode {
		return true
	}
	for _, x := range header.Xattrs {
		if !slices.Contains(file.Xattrs, x) {
			return true
		}
	}
	for _, x := range file.Xattrs {
		if x.Name == "security.capability" && !slices.Contains(header.Xattrs, x) {
			return true
		}
	}
	return false
}
