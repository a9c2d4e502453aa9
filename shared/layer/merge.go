package layer

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxSymlinks is how many symlinks may stand on the way to one entry: more than
// Linux's own 40, and enough to tell a loop.
const maxSymlinks = 255

// ErrSymlinks is what an entry below a symlink loop gives.
var ErrSymlinks = errors.New("too many levels of symbolic links")

// A LinkError tells of a hard link whose target is in neither its own layer,
// before the link, nor in the layers below.
type LinkError struct{ Path, Target string }

func (e *LinkError) Error() string {
	return fmt.Sprintf("hard link %q: target %q does not exist or is a directory", e.Path, e.Target)
}

// Merge applies the changesets on top of each other, the first at the bottom.
// It takes the changesets over: each can be merged once.
func Merge(layers []*Changeset) (*Tree, error) { return MergeObserved(layers, Observer{}) }

// An Observer is told what merging meets, in an order that depends on the layers
// alone. Nothing is kept for it. Each function may be nil.
type Observer struct {
	Hidden    func(Hidden)    // a name that a layer takes away
	Ambiguous func(Ambiguity) // a shape that programs read in different ways
}

// MergeObserved is [Merge] that tells the observer.
func MergeObserved(layers []*Changeset, o Observer) (*Tree, error) {
	m := merger{root: &node{inode: impliedDirectory(0)}, observer: o, linked: map[*Inode]bool{}}
	for i, c := range layers {
		if err := m.apply(i, c); err != nil {
			return nil, fmt.Errorf("applying layer %d: %w", i, err)
		}
	}
	if in := m.root.inode; !in.Implied && unusual(in) {
		m.layer = int(in.Source.Layer)
		m.ambiguous(RootAttributes, ".")
	}
	return flatten(m.root, m.linked), nil
}

type node struct {
	inode    *Inode
	path     string // as the entry spells it, cleaned; mostly the path in the tree
	children map[string]*node
	layer    int // that put the node here
}

func (n *node) set(name string, child *node) {
	if n.children == nil {
		n.children = map[string]*node{}
	}
	n.children[name] = child
}

type merger struct {
	root     *node
	layer    int
	observer Observer
	// directories are the paths that the layer under way has a directory entry
	// for: a lower layer's symlink there is about to be replaced, and must not
	// be followed by an entry that comes first.
	directories map[string]bool
	// linked are the files that a hard link leads to, of all layers.
	linked map[*Inode]bool
	// auxiliary are the layer's files that only hard links lead to.
	auxiliary map[string]*Inode
	// emptied are the directories with something in them that the layer's
	// whiteouts hid, bareParents those that an [Ambiguity] has told of.
	emptied     map[string]bool
	bareParents map[string]bool
	// files are the paths where the layer has taken away a lower layer's file.
	files map[string]bool
	// crossed tells that the last walk followed a lower layer's symlink.
	crossed bool
}

func (m *merger) apply(layer int, c *Changeset) error {
	m.layer, m.directories, m.auxiliary = layer, map[string]bool{}, map[string]*Inode{}
	m.emptied, m.bareParents, m.files = map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range c.records {
		if r.node != nil {
			r.node.Source.Layer = int32(layer)
		}
		switch {
		case r.kind == auxiliaryRecord:
			m.auxiliary[r.path] = r.node
		case r.kind == entryRecord && r.node.Type == Directory:
			m.directories[r.path] = true
		}
	}
	// Link targets are looked up before the whiteouts take effect: a layer may
	// rename a file by linking it to a new name and hiding the old one.
	below, err := m.targets(c.records)
	if err != nil {
		return err
	}
	if err := m.hide(c.records); err != nil {
		return err
	}
	for _, r := range c.records {
		if err := m.record(r, below); err != nil {
			return err
		}
	}
	m.recreated()
	m.unlinked(c.records)
	return nil
}

func (m *merger) targets(records []record) (map[string]*Inode, error) {
	below := map[string]*Inode{}
	for _, r := range records {
		if r.kind != linkRecord {
			continue
		}
		n, err := m.lookup(r.link())
		if err != nil {
			return nil, err
		}
		if n != nil && n.inode.Type != Directory {
			below[r.link()] = n.inode
		}
	}
	return below, nil
}

// hide removes what the layer's whiteouts and opaque markers hide. It runs
// before any entry is applied, so that they act on lower layers only, wherever
// in the layer they stand; parents go first, so that their order does not matter.
func (m *merger) hide(records []record) error {
	var hidden []record
	for _, r := range records {
		if r.kind == whiteoutRecord || r.kind == opaqueRecord {
			hidden = append(hidden, r)
		}
	}
	slices.SortStableFunc(hidden, func(a, b record) int { return strings.Compare(a.path, b.path) })
	for _, r := range hidden {
		if r.kind == opaqueRecord {
			dir, at, err := m.walk(r.path, false)
			if err != nil {
				return err
			}
			if dir != nil {
				if dir == m.root && len(dir.children) > 0 {
					m.ambiguous(OpaqueRoot, ".")
				}
				m.tellBelow(dir, at, Emptied)
				dir.children = nil
			}
			continue
		}
		dir, at, err := m.walk(path.Dir(r.path), false)
		if err != nil {
			return err
		}
		if dir != nil {
			name := path.Base(r.path)
			if old := dir.children[name]; old != nil && len(old.children) > 0 {
				m.emptied[path.Join(strings.Join(at, "/"), name)] = true
			}
			m.takes(dir.children[name], at, name)
			m.tell(dir.children[name], at, name, Deleted)
			delete(dir.children, name)
		}
	}
	return nil
}

func (m *merger) record(r record, below map[string]*Inode) error {
	switch {
	case r.kind == auxiliaryRecord:
		return nil
	case r.kind == opaqueRecord:
		_, _, err := m.walk(r.path, true)
		return err
	case r.kind == whiteoutRecord:
		dir, _, err := m.walk(path.Dir(r.path), true)
		if err != nil {
			return err
		}
		if own := dir.children[path.Base(r.path)]; own != nil && !m.emptied[r.path] {
			m.ambiguous(Recreated, r.path)
		}
		return nil
	case r.path == ".":
		m.root.inode = r.node
		return nil
	}
	inode := r.node
	if r.kind == linkRecord {
		var err error
		if inode, err = m.target(r, below); err != nil {
			return err
		}
		m.linked[inode] = true
		switch {
		case int(inode.Source.Layer) != m.layer:
			m.ambiguous(LinkBelow, r.path)
		case r.node != nil && contradicts(r.node, inode):
			m.ambiguous(LinkAttributes, r.path)
		}
	}
	dir, at, err := m.walk(path.Dir(r.path), true)
	if err != nil {
		return err
	}
	if m.crossed {
		m.ambiguous(BelowSymlink, r.path)
	}
	name := path.Base(r.path)
	old := dir.children[name]
	if old != nil && old.inode.Type == Directory && inode.Type == Directory {
		old.inode, old.path, old.layer = inode, r.path, m.layer
		return nil
	}
	if old != nil && old.layer == m.layer {
		m.ambiguous(Repeated, r.path)
	}
	m.takes(old, at, name)
	m.tell(old, at, name, Replaced)
	dir.set(name, &node{inode: inode, path: r.path, layer: m.layer})
	return nil
}

// target returns what a hard link leads to.
func (m *merger) target(r record, below map[string]*Inode) (*Inode, error) {
	if file := m.auxiliary[r.link()]; file != nil {
		return file, nil
	}
	target, err := m.lookup(r.link())
	switch {
	case err != nil:
		return nil, err
	case target != nil && target.inode.Type != Directory:
		return target.inode, nil
	case target == nil && below[r.link()] != nil:
		return below[r.link()], nil
	}
	return nil, &LinkError{r.path, r.link()}
}

// lookup returns the node at a clean path, with symlinks on the way followed but
// not the last, or nil.
func (m *merger) lookup(name string) (*node, error) {
	dir, _, err := m.walk(path.Dir(name), false)
	if dir == nil {
		return nil, err
	}
	return dir.children[path.Base(name)], nil
}

// walk returns the directory at a clean path, following symlinks inside of the
// root, and the names that lead to it without symlinks. Without create it returns
// nil where there is none; with create, what is missing is made as an implied
// directory, and what is neither directory nor symlink gives way to one.
func (m *merger) walk(name string, create bool) (*node, []string, error) {
	m.crossed = false
	todo := parts(name)
	nodes, names := []*node{m.root}, []string{}
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(names) > 0 {
				nodes, names = nodes[:len(nodes)-1], names[:len(names)-1]
			}
			continue
		}
		dir := nodes[len(nodes)-1]
		child := dir.children[part]
		if child != nil && child.inode.Type == Symlink && m.follows(child, names, part) {
			m.crossed = m.crossed || child.layer != m.layer
			if links++; links > maxSymlinks {
				return nil, nil, fmt.Errorf("resolving %q: %w", name, ErrSymlinks)
			}
			if strings.HasPrefix(child.inode.Target, "/") {
				nodes, names = nodes[:1], names[:0]
			}
			todo = slices.Concat(strings.Split(child.inode.Target, "/"), todo)
			continue
		}
		if child == nil || child.inode.Type != Directory {
			if !create {
				return nil, nil, nil
			}
			m.takes(child, names, part)
			m.tell(child, names, part, Replaced)
			child = &node{inode: impliedDirectory(m.layer), layer: m.layer}
			dir.set(part, child)
			m.belowFile(append(slices.Clip(names), part))
		}
		nodes, names = append(nodes, child), append(names, part)
		if create {
			m.bare(child, names)
		}
		if len(names) > maxPath {
			return nil, nil, fmt.Errorf("resolving %q: %w", name, ErrSymlinks)
		}
	}
	return nodes[len(nodes)-1], names, nil
}

func (m *merger) follows(link *node, above []string, name string) bool {
	return link.layer == m.layer || !m.directories[strings.Join(append(slices.Clip(above), name), "/")]
}
