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

func flatten(root *node) *Tree {
	t := &Tree{}
	var visit func(prefix string, n *node)
	visit = func(prefix string, n *node) {
		for name, child := range n.children {
			p := prefix + name
			t.entries = append(t.entries, Entry{Path: p, Inode: child.inode})
			visit(p+"/", child)
		}
	}
	t.entries = append(t.entries, Entry{Path: ".", Inode: root.inode})
	visit("", root)
	slices.SortFunc(t.entries[1:], func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })

	type group struct {
		first string
		names int
	}
	groups := map[*Inode]*group{}
	for _, e := range t.entries {
		if e.Type == Directory {
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
	return t
}
