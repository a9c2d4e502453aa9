package layer

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// A How says by what a name was hidden.
type How uint8

// The ways in which a layer takes names away.
const (
	Deleted  How = iota // by a whiteout of the name or of a directory above it
	Emptied             // by an opaque marker of a directory above it
	Replaced            // by another entry of the name, or by a non-directory above it
	// Unlinked is an auxiliary file that no hard link of its layer leads to: it
	// never had a name in the tree.
	Unlinked
)

// String names the way for people.
func (h How) String() string {
	switch h {
	case Deleted:
		return "deleted"
	case Emptied:
		return "emptied"
	case Replaced:
		return "replaced"
	case Unlinked:
		return "unlinked"
	}
	return fmt.Sprintf("how %d", uint8(h))
}

// A Hidden is a name that a layer took away. A directory that another directory
// takes the place of is not hidden, and implied directories are not told of.
//
// The file may live on under another name: its content is dead only if no entry of
// the merged tree has the same *Inode.
type Hidden struct {
	Path string // as in the tree, symlinks on the way resolved
	*Inode
	Layer int // whose entry gave the file that name, counted from 0
	By    int // layer that took it away; the same for a layer's own second entry
	How   How
}

// tell reports a node, which may be nil, and all below it.
func (m *merger) tell(n *node, dir []string, name string, how How) {
	if m.observer.Hidden == nil || n == nil {
		return
	}
	p := append(slices.Clip(dir), name)
	if !n.inode.Implied {
		m.observer.Hidden(Hidden{strings.Join(p, "/"), n.inode, n.layer, m.layer, how})
	}
	m.tellBelow(n, p, how)
}

func (m *merger) tellBelow(n *node, dir []string, how How) {
	if m.observer.Hidden == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		m.tell(n.children[name], dir, name, how)
	}
}

// unlinked reports the layer's auxiliary files that nothing links to.
func (m *merger) unlinked(records []record) {
	if m.observer.Hidden == nil || len(m.auxiliary) == 0 {
		return
	}
	linked := map[string]bool{}
	for _, r := range records {
		if r.kind == linkRecord {
			linked[r.link()] = true
		}
	}
	for _, r := range records {
		// A second file of the name wins; links lead to that one.
		if r.kind == auxiliaryRecord && (!linked[r.path] || m.auxiliary[r.path] != r.node) {
			m.observer.Hidden(Hidden{path.Clean(r.path), r.node, m.layer, m.layer, Unlinked})
		}
	}
}
