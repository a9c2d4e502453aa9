package layer

import (
	"cmp"
	"iter"
	"slices"
)

// An Entry is one path of a [Tree].
type Entry struct {
	// Path is relative to the root, without leading or trailing slash; the
	// root's own is ".".
	Path string
	*Inode
	// Link is the path of the first member of the entry's hard-link group, or
	// "" for a file with one name.
	Link string
}

// A Tree is a merged root filesystem: the root and everything below it.
type Tree struct{ entries []Entry } // as All gives them

// All returns the entries, first the root, then the others sorted by path as
// strings of bytes. A directory comes before what is in it.
func (t *Tree) All() iter.Seq[Entry] { return slices.Values(t.entries) }

// Len returns the number of entries, the root included.
func (t *Tree) Len() int { return len(t.entries) }

// Lookup returns the entry at path.
func (t *Tree) Lookup(path string) (Entry, bool) {
	if path == "." {
		return t.entries[0], true
	}
	below := t.entries[1:]
	i, ok := slices.BinarySearchFunc(below, path, func(e Entry, p string) int { return cmp.Compare(e.Path, p) })
	if !ok {
		return Entry{}, false
	}
	return below[i], true
}

// flatten lists what is below the root. Linked are the files that may have more
// than one name.
func flatten(root *node, linked map[*Inode]bool) *Tree {
	t := &Tree{entries: make([]Entry, 0, root.count())}
	t.entries = append(t.entries, Entry{Path: ".", Inode: root.inode})
	t.append("", root)
	slices.SortFunc(t.entries[1:], func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	t.link(linked)
	return t
}

func (t *Tree) append(prefix string, n *node) {
	for name, child := range n.children {
		// Strings that are there are not made again.
		p := child.path
		if len(p) != len(prefix)+len(name) || p[:len(prefix)] != prefix || p[len(prefix):] != name {
			p = prefix + name
		}
		t.entries = append(t.entries, Entry{Path: p, Inode: child.inode})
		if len(child.children) > 0 {
			t.append(p+"/", child)
		}
	}
}

// link gives the names of a file the first of them, where there are several.
func (t *Tree) link(linked map[*Inode]bool) {
	type group struct {
		first string
		names int
	}
	groups := make(map[*Inode]*group, len(linked))
	for _, e := range t.entries {
		if !linked[e.Inode] {
			continue
		}
		if g := groups[e.Inode]; g != nil {
			g.names++
		} else {
			groups[e.Inode] = &group{e.Path, 1}
		}
	}
	for i, e := range t.entries {
		if g := groups[e.Inode]; g != nil && g.names > 1 {
			t.entries[i].Link = g.first
		}
	}
}

// count returns the number of nodes, n included.
func (n *node) count() int {
	sum := 1
	for _, child := range n.children {
		sum += child.count()
	}
	return sum
}
