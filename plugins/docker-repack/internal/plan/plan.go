// Package plan decides what the layers of an image are: which names, files and
// directories of a merged root filesystem go into which layer, and in which order.
//
// It is pure: it sees the tree and estimates of compressed sizes, never contents,
// registries or clocks, and the same input gives the same plan.
package plan

import (
	"math"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

const (
	// MaxLayers keeps images usable everywhere: dockerd refuses stacks of more
	// than 125 layers, and images built on top of the result need some of them.
	MaxLayers = 100

	// tolerance is by how much layers may exceed the target before there is one
	// more of them.
	tolerance = 1.1
)

// A Plan is the output layers, bottom first, and what they hold.
type Plan struct {
	Tree   *layer.Tree
	Layers []Layer

	Names     int   // of files, empty directories included
	Live      int64 // bytes of all files of the tree, each inode once
	Duplicate int64 // bytes of contents that are in the tree once more than needed
	Capped    bool  // the target would have taken more than MaxLayers
}

// Make cuts the units, in their order, into layers of about target compressed
// bytes, all of about one size.
func Make(tree *layer.Tree, all []*Unit, target int64) *Plan {
	p := &Plan{Tree: tree}
	var total float64
	for _, u := range all {
		total += u.Cost
		copies := int64(len(u.Files()))
		p.Live += copies * u.Raw
		p.Duplicate += max(copies-1, 0) * u.Raw
		p.Names += len(u.Entries)
	}
	n := max(1, int(math.Ceil(total/(float64(target)*tolerance))))
	if n > MaxLayers {
		n, p.Capped = MaxLayers, true
	}
	for _, run := range cut(all, n) {
		p.Layers = append(p.Layers, Layer{run})
	}
	return p
}

// cut splits units into at most n runs of about equal cost; none is empty, unless
// there are no units at all.
func cut(all []*Unit, n int) [][]*Unit {
	if len(all) == 0 {
		return [][]*Unit{nil}
	}
	left := 0.0
	for _, u := range all {
		left += u.Cost
	}
	var out [][]*Unit
	for start := 0; start < len(all); n-- {
		// What is left is shared out anew for each layer: one huge file then makes
		// one huge layer and leaves the others even.
		share, sum, end := left/float64(max(n, 1)), 0.0, start
		for end < len(all) {
			c := all[end].Cost
			// A unit that is nearer to the border from outside begins the next layer.
			if end > start && n > 1 && sum+c/2 > share {
				break
			}
			sum += c
			end++
		}
		out = append(out, all[start:end])
		left -= sum
		start = end
	}
	return out
}
