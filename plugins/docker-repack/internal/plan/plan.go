// Package plan decides what the layers of an image are: which names, files and
// directories of a merged root filesystem go into which layer, and in which order.
//
// It is pure: it sees the tree and estimates of compressed sizes, never contents,
// registries or clocks, and the same input gives the same plan.
package plan

import (
	"slices"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

const (
	// EngineLayers is how many layers dockerd allows an image to have.
	EngineLayers = 125
	// DefaultMaxLayers leaves room for images that are built on top of the result.
	DefaultMaxLayers = 100
	// smallTier is the part of a layer that a tier must fill to have a layer of its
	// own.
	smallTier = 1.0 / 50
)

// Options of [Make].
type Options struct {
	Target    int64 // compressed bytes of a layer
	MaxLayers int   // 0 means DefaultMaxLayers
}

// A Plan is the output layers, bottom first, and what they hold.
type Plan struct {
	Tree   *layer.Tree
	Layers []Layer

	Names     int   // of files, empty directories included
	Live      int64 // bytes of all files of the tree, each inode once
	Duplicate int64 // bytes of contents that are in the tree once more than needed
	Capped    bool  // the target would have taken more layers than allowed

	shared   []string // directories that several layers list, sorted
	isShared map[string]bool
}

// Make divides the units among layers of about the target size, all of a tier of
// about one size.
func Make(tree *layer.Tree, all []*Unit, opts Options) *Plan {
	if opts.MaxLayers == 0 {
		opts.MaxLayers = DefaultMaxLayers
	}
	p := &Plan{Tree: tree}
	for _, u := range all {
		copies := int64(len(u.Files()))
		p.Live += copies * u.Raw
		p.Duplicate += max(copies-1, 0) * u.Raw
		p.Names += len(u.Entries)
	}
	target := float64(opts.Target)
	for {
		p.Layers = divide(all, target)
		if len(p.Layers) <= opts.MaxLayers {
			break
		}
		p.Capped = true
		target *= max(1.02, float64(len(p.Layers))/float64(opts.MaxLayers))
	}
	for i := range p.Layers {
		p.Layers[i].order()
	}
	p.share()
	return p
}

// divide cuts each tier on its own, unless it is too small for that.
func divide(all []*Unit, target float64) []Layer {
	seq := slices.Clone(all)
	slices.SortStableFunc(seq, sequence)
	var out []Layer
	for start := 0; start < len(seq); {
		end, size := start, 0.0
		for end < len(seq) {
			next, more := tier(seq, end)
			if size >= target*smallTier && (more >= target*smallTier || next < len(seq)) {
				break
			}
			end, size = next, size+more
		}
		out = append(out, cut(seq[start:end], target)...)
		start = end
	}
	if len(out) == 0 {
		return []Layer{{}}
	}
	return out
}

// tier returns where the tier that begins at start ends, and its cost.
func tier(seq []*Unit, start int) (end int, cost float64) {
	for end = start; end < len(seq) && seq[end].Group.Tier == seq[start].Group.Tier; end++ {
		cost += seq[end].Cost
	}
	return end, cost
}
