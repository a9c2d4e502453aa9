package plan

import (
	"fmt"
	"iter"
	"path"
	"slices"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

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

// Items yields the entries of a layer in the order of its tar stream.
//
// Before an entry come the directories that lead to it, unless the layer has them
// already: engines unpack a layer on its own, and a directory that it does not
// list becomes root's, 0755. They have their final attributes but for one: the
// time of a directory that several layers list is 0 in all of them but the top
// layer, which lists all of those. The top layer's is what counts, and a package
// that comes or goes changes the time of directories such as usr/lib: with the
// true one, it would change every layer of the image.
//
// Over kept layers, the top layer also lists the directories that those have with
// other attributes, and hides what is no more.
//
// Admit is asked before each unit, once for those that keep together, and what it
// refuses is left out; nil admits all.
func (p *Plan) Items(index int, admit func(...*Unit) bool) iter.Seq[Item] {
	return func(yield func(Item) bool) {
		i := itemizer{plan: p, top: index == len(p.Layers)-1, yield: yield, directories: map[string]bool{}}
		if !i.parents(".") { // also of a tree that is nothing but its root
			return
		}
		if i.top && !i.crown() {
			return
		}
		for family := range p.Layers[index].Families() {
			if admit != nil && !admit(family...) {
				continue
			}
			for _, u := range family {
				if !i.unit(u) {
					return
				}
			}
		}
	}
}

type itemizer struct {
	plan        *Plan
	top         bool
	yield       func(Item) bool
	directories map[string]bool // that the layer has already
}

// crown yields what the top layer has to say about the layers below.
func (i *itemizer) crown() bool {
	for _, dir := range i.plan.shared {
		if !i.parents(path.Join(dir, "x")) {
			return false
		}
	}
	if i.plan.Kept == nil {
		return true
	}
	for _, name := range i.plan.Kept.hide {
		item := Item{Path: path.Join(path.Dir(name), whiteout+path.Base(name)), Inode: &layer.Inode{Type: layer.Regular}}
		if !i.parents(name) || !i.yield(item) {
			return false
		}
	}
	return true
}

func (i *itemizer) unit(u *Unit) bool {
	first := ""
	for n, e := range u.Entries {
		if i.directories[e.Path] {
			continue // an empty directory that had to be listed before
		}
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
	e, ok := i.plan.Tree.Lookup(dir)
	if !ok {
		panic(fmt.Sprintf("directory %q is not in the tree of its own entries", dir))
	}
	if dir == "." && e.Implied && !i.plan.isShared[dir] {
		return true // the source has no entry for it: engines make their own
	}
	inode := e.Inode
	if !i.top && i.plan.isShared[dir] {
		timeless := *inode
		timeless.Sec, timeless.Nsec = 0, 0
		inode = &timeless
	}
	return i.yield(Item{Path: dir, Inode: inode})
}

// share finds the directories that the top layer has to list: those that several
// new layers do, or one below the top and a kept one, or that kept layers have with
// wrong attributes.
func (p *Plan) share() {
	p.isShared, p.shared = map[string]bool{}, nil
	share := func(dir string) {
		if !p.isShared[dir] {
			p.isShared[dir] = true
			p.shared = append(p.shared, dir)
		}
	}
	root, _ := p.Tree.Lookup(".")
	in := map[string]int{} // the layer that was last seen to list it, from 1
	for n := range p.Layers {
		for dir := range p.Layers[n].parents(in, n+1) {
			again := in[dir] != 0 || (n < len(p.Layers)-1 && p.Kept.lists(dir))
			if again && (dir != "." || !root.Implied) {
				share(dir)
			}
		}
	}
	if p.Kept != nil {
		for _, dir := range p.Kept.restate {
			share(dir)
		}
	}
	slices.Sort(p.shared)
}

// parents yields each directory that leads to the layer's entries once. In is set
// to index for it, after it has been yielded.
func (l *Layer) parents(in map[string]int, index int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, u := range l.Units {
			for _, e := range u.Entries {
				for dir := path.Dir(e.Path); in[dir] != index; dir = path.Dir(dir) {
					if !yield(dir) {
						return
					}
					in[dir] = index
				}
			}
		}
	}
}
