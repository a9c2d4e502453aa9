package plan

import (
	"fmt"
	"iter"
	"path"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// A Layer is the contents of one output layer.
type Layer struct{ Units []*Unit }

// An Item is one entry of an output layer's tar stream.
type Item struct {
	Path   string
	Inode  *layer.Inode
	LinkTo string // an earlier item that this is a hard link to, or ""
	// Content is where the bytes of a file that has some are to be read.
	Content layer.Position
}

// HasContent reports whether the item's bytes have to be read.
func (i Item) HasContent() bool {
	return i.LinkTo == "" && i.Inode.Type == layer.Regular && i.Inode.Size > 0
}

// Items yields the layer's entries in the order of its tar stream.
//
// Before an entry come the directories that lead to it, with their final
// attributes, unless the layer has them already: engines unpack a layer on its
// own, and a directory that it does not list becomes root's, 0755.
func (l *Layer) Items(tree *layer.Tree) iter.Seq[Item] {
	return func(yield func(Item) bool) {
		i := itemizer{tree: tree, yield: yield, directories: map[string]bool{}}
		if !i.parents(".") { // also of a tree that is nothing but its root
			return
		}
		for _, u := range l.Units {
			if !i.unit(u) {
				return
			}
		}
	}
}

type itemizer struct {
	tree        *layer.Tree
	yield       func(Item) bool
	directories map[string]bool // that the layer has already
}

func (i *itemizer) unit(u *Unit) bool {
	first := ""
	for n, e := range u.Entries {
		if !i.parents(e.Path) {
			return false
		}
		item := Item{Path: e.Path, Inode: e.Inode, Content: u.First}
		if u.leads(n) {
			first = e.Path
		} else {
			item.LinkTo = first
		}
		if e.Type == layer.Directory {
			i.directories[e.Path] = true
		}
		if !i.yield(item) {
			return false
		}
	}
	return true
}

func (i *itemizer) parents(name string) bool {
	dir := path.Dir(name)
	if i.directories[dir] {
		return true
	}
	if dir != "." && !i.parents(dir) {
		return false
	}
	i.directories[dir] = true
	e, ok := i.tree.Lookup(dir)
	if !ok {
		panic(fmt.Sprintf("directory %q is not in the tree of its own entries", dir))
	}
	if dir == "." && e.Implied {
		return true // the source has no entry for it: engines make their own
	}
	return i.yield(Item{Path: dir, Inode: e.Inode})
}
