package plan

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

const (
	// decayed is the part of a layer that has to live for the layer to be kept. To
	// re-lay the fifth that lives, after four fifths have changed, makes an update
	// send a quarter more than has changed.
	decayed = 0.2
	// deadweight is how much dead content all kept layers may have, as a part of
	// what lives: who pulls the image for the first time pulls it too.
	deadweight = 0.5
	// moreKept and fewerKept are by how many layers more than the image would have
	// anew there may be, and how many are left when there are more than that.
	moreKept, fewerKept = 20, 10
)

// An Old is a layer that there is already.
type Old struct {
	Changes *layer.Changeset
	Size    int64 // compressed
	// Forced says that the layer stays whatever it is worth.
	Forced bool
}

// Kept is what of older layers remains, under the new ones.
type Kept struct {
	Layers []int // of those that were offered, in their order
	// Below is the tree that they make.
	Below *layer.Tree
	// Live is the part of each kept layer, 0 to 1, that is in the new tree as it is.
	Live []float64

	covered map[*layer.Inode]bool // of the new tree
	hide    []string              // paths to hide, none in another
	restate []string              // directories whose attributes are not the final ones
	parts   map[*Unit]*Unit       // what of the new tree's units is not kept
	unlike  []int                 // layers that engines make something else of here
}

// Keep chooses the layers that are worth keeping under a tree that takes about
// fresh layers when it is laid anew, or nil if there are none. At most limit layers are kept, forced ones
// not counted. An error tells that what is forced cannot be built upon.
func Keep(tree *layer.Tree, old []Old, fresh, limit int) (*Kept, error) {
	chosen := make([]int, len(old))
	forced := 0
	for i, o := range old {
		chosen[i] = i
		if o.Forced {
			forced++
		}
	}
	for len(chosen) > 0 {
		k, err := settle(tree, old, chosen)
		if err != nil {
			if len(chosen) == forced {
				return nil, err
			}
			chosen = chosen[:forced] // only what somebody else has made has such shapes
			continue
		}
		drop := k.unlike
		if len(drop) == 0 {
			drop = k.worst(old, fresh, limit)
		}
		if len(drop) == 0 {
			k.bare(tree, old)
			return k, nil
		}
		chosen = slices.DeleteFunc(slices.Clone(chosen), func(i int) bool { return slices.Contains(drop, i) })
	}
	return nil, nil //nolint:nilnil // nothing is kept, which is no error
}

// worst returns the layers that are not worth keeping: those of which hardly
// anything lives; else, if there is too much that is dead or too many layers, those
// that contribute the most to that.
func (k *Kept) worst(old []Old, fresh, limit int) []int {
	type candidate struct {
		layer int
		part  float64 // that lives
		live  float64 // bytes
	}
	var all []candidate
	var drop []int
	var live, dead float64
	for n, i := range k.Layers {
		size := float64(old[i].Size)
		live, dead = live+float64(size*k.Live[n]), dead+float64(size*(1-k.Live[n]))
		if old[i].Forced {
			continue
		}
		if k.Live[n] < decayed {
			drop = append(drop, i)
		}
		all = append(all, candidate{i, k.Live[n], size * k.Live[n]})
	}
	if len(drop) > 0 || len(all) == 0 {
		return drop
	}
	if dead > deadweight*live {
		least := slices.MinFunc(all, func(a, b candidate) int { return cmp.Compare(a.part, b.part) })
		if least.part < 1 {
			return []int{least.layer}
		}
	}
	most, left := min(limit, fresh+moreKept), min(limit, fresh+fewerKept)
	if len(all) > most {
		slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.live, b.live) })
		for _, c := range all[:len(all)-left] {
			drop = append(drop, c.layer)
		}
	}
	return drop
}

// settle finds out what the chosen layers have of the tree, and what has to be
// done about the rest of them.
func settle(tree *layer.Tree, old []Old, chosen []int) (*Kept, error) {
	k := &Kept{Layers: chosen, covered: map[*layer.Inode]bool{}, Live: make([]float64, len(chosen))}
	sets := make([]*layer.Changeset, len(chosen))
	for n, i := range chosen {
		sets[n] = old[i].Changes
	}
	var err error
	if k.Below, err = layer.MergeObserved(sets, layer.Observer{Ambiguous: func(a layer.Ambiguity) { k.doubt(old, a) }}); err != nil {
		return nil, err
	}
	k.cover(tree)
	weight := make([]float64, len(chosen))
	for e := range tree.All() {
		if below, ok := k.Below.Lookup(e.Path); ok && k.covered[e.Inode] {
			weight[below.Source.Layer] += entryWeight
			if e.Link == "" || e.Link == e.Path {
				weight[below.Source.Layer] += float64(e.Size)
			}
		}
	}
	for n, set := range sets {
		if all := float64(set.Bytes) + float64(entryWeight*float64(set.Len())); all > 0 {
			k.Live[n] = min(1, weight[n]/all)
		}
	}
	for below := range k.Below.All() {
		e, ok := tree.Lookup(below.Path)
		switch {
		case !ok:
			// Of what has no parent any more, or one that is no directory, nothing
			// is left to hide.
			if dir, ok := tree.Lookup(path.Dir(below.Path)); ok && dir.Type == layer.Directory {
				if len(path.Base(below.Path)) > maxHidden {
					return nil, fmt.Errorf("hiding %q: its name leaves no room for a whiteout's", below.Path)
				}
				k.hide = append(k.hide, below.Path)
			}
		case e.Type == layer.Directory && (below.Type != layer.Directory || (below.Implied && e.Path == "." && !e.Implied) || !same(e.Inode, below.Inode)):
			k.restate = append(k.restate, e.Path)
		}
	}
	return k, nil
}

// doubt notes that engines would make something else of a kept layer, which then
// goes. What is said about attributes of directories the top layer says again.
func (k *Kept) doubt(old []Old, a layer.Ambiguity) {
	i := k.Layers[a.Layer]
	if a.Shape != layer.BareParent && a.Shape != layer.RootAttributes && !old[i].Forced && !slices.Contains(k.unlike, i) {
		k.unlike = append(k.unlike, i)
	}
}

// bare adds the directories that the uppermost kept layer with something in them
// does not list to those that the top layer does: some engines make them root's,
// 0755, and of the time of unpacking, whatever a lower layer says. Only what
// somebody else has made has such layers.
func (k *Kept) bare(tree *layer.Tree, old []Old) {
	settled := map[string]bool{}
	for _, dir := range k.restate {
		settled[dir] = true
	}
	for _, i := range slices.Backward(k.Layers) {
		for dir, listed := range old[i].Changes.Directories() {
			if settled[dir] {
				continue
			}
			settled[dir] = true
			if now, ok := tree.Lookup(dir); !listed && ok && now.Type == layer.Directory {
				k.restate = append(k.restate, dir)
			}
		}
	}
}

const (
	// entryWeight is what an entry counts beside its content, in bytes.
	entryWeight = 512
	// maxHidden is the length of the longest name that can be hidden: with ".wh."
	// before it, it must still be a name.
	maxHidden = 255 - len(whiteout)
	whiteout  = ".wh."
)

// cover finds the files of the tree that the kept layers have, with the same
// attributes, content and names, no more and no fewer.
func (k *Kept) cover(tree *layer.Tree) {
	names := map[*layer.Inode]int{}
	for e := range k.Below.All() {
		names[e.Inode]++
	}
	type file struct {
		below *layer.Inode
		names int
		bad   bool
	}
	files := map[*layer.Inode]*file{}
	for e := range tree.All() {
		below, ok := k.Below.Lookup(e.Path)
		f := files[e.Inode]
		if f == nil {
			f = &file{}
			files[e.Inode] = f
			if ok {
				f.below = below.Inode
			}
		}
		f.names++
		f.bad = f.bad || !ok || below.Inode != f.below
	}
	for in, f := range files {
		if !f.bad && names[f.below] == f.names && same(in, f.below) {
			k.covered[in] = true
		}
	}
}

// same reports whether two files have equal attributes and contents.
func same(a, b *layer.Inode) bool {
	return a.Type == b.Type && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Sec == b.Sec && a.Nsec == b.Nsec &&
		a.Size == b.Size && a.Sum == b.Sum && a.Target == b.Target && a.Major == b.Major && a.Minor == b.Minor &&
		slices.Equal(a.Xattrs, b.Xattrs)
}

func (k *Kept) len() int {
	if k == nil {
		return 0
	}
	return len(k.Layers)
}

// remaining returns the units without the files that are kept. Units of which
// nothing is kept are the same ones, and what a unit has lost it loses once.
func (k *Kept) remaining(units []*Unit) []*Unit {
	if k == nil {
		return units
	}
	if k.parts == nil {
		k.parts = map[*Unit]*Unit{}
	}
	var out []*Unit
	for _, u := range units {
		part, known := k.parts[u]
		if !known {
			if entries := slices.DeleteFunc(slices.Clone(u.Entries), func(e layer.Entry) bool { return k.covered[e.Inode] }); len(entries) == len(u.Entries) {
				part = u
			} else if len(entries) > 0 {
				rest := *u
				rest.Entries = entries
				part = &rest
			}
			k.parts[u] = part
		}
		if part != nil {
			out = append(out, part)
		}
	}
	return out
}

// lists reports whether a kept layer has an entry for a directory.
func (k *Kept) lists(dir string) bool {
	if k == nil {
		return false
	}
	e, ok := k.Below.Lookup(dir)
	return ok && !e.Implied
}
