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
	// least is the part of a layer that a shelf must fill to have a layer of its own.
	least = 1.0 / 50
)

// Options of [Make].
type Options struct {
	Target    int64 // compressed bytes of a layer
	MaxLayers int   // kept ones included; 0 means DefaultMaxLayers
	Kept      *Kept // older layers to build upon, or nil
}

// A Plan is the new layers, bottom first, on top of those that are kept.
type Plan struct {
	Tree   *layer.Tree
	Units  []*Unit // of the whole tree
	Kept   *Kept   // nil for none
	Layers []Layer
	Capped bool // the target would have taken more layers than allowed

	target   float64
	most     int      // new layers
	shared   []string // directories whose final attributes the top layer has, sorted
	isShared map[string]bool
}

// Len returns the number of layers, kept ones included.
func (p *Plan) Len() int { return p.Kept.len() + len(p.Layers) }

// Stats are what the units of a tree add up to.
type Stats struct {
	Names     int   // of files, empty directories included
	Live      int64 // bytes of all files, each inode once
	Duplicate int64 // bytes of contents that are in the tree once more than needed
}

// Stats adds up the units of the whole tree.
func (p *Plan) Stats() Stats {
	var s Stats
	for _, u := range p.Units {
		copies := int64(len(u.Files()))
		s.Live += copies * u.Raw
		s.Duplicate += max(copies-1, 0) * u.Raw
		s.Names += len(u.Entries)
	}
	return s
}

// Make divides what of the tree's units is not kept among layers of about the
// target size, all of a shelf of about one size, but for the lowest of the image.
func Make(tree *layer.Tree, all []*Unit, opts Options) *Plan {
	if opts.MaxLayers == 0 {
		opts.MaxLayers = DefaultMaxLayers
	}
	p := &Plan{Tree: tree, Units: all, Kept: opts.Kept}
	rest := opts.Kept.remaining(all)
	p.most = max(1, opts.MaxLayers-opts.Kept.len())
	for p.target = float64(opts.Target); ; {
		p.Layers = p.lay(rest, p.target)
		if len(p.Layers) <= p.most {
			break
		}
		p.Capped = true
		p.target *= max(1.02, float64(len(p.Layers))/float64(p.most))
	}
	p.schedule()
	p.finish()
	return p
}

// finish brings the layers' units into their order.
func (p *Plan) finish() {
	for i := range p.Layers {
		p.Layers[i].order()
	}
	p.share()
}

// lay divides units by tiers; on top of kept layers, what fits into one layer goes
// there.
func (p *Plan) lay(units []*Unit, target float64) []Layer {
	if p.Kept.len() == 0 {
		return divide(units, target, p.Kept.len())
	}
	total := 0.0
	for _, u := range units {
		total += u.Cost
	}
	if total > target*tolerance {
		return divide(units, target, p.Kept.len())
	}
	if len(units) == 0 && len(p.Kept.hide) == 0 && len(p.Kept.restate) == 0 {
		return nil
	}
	return []Layer{{Units: slices.Clone(units)}}
}

// divide cuts each shelf on its own, unless it is too small for that. There are so
// many layers below.
func divide(all []*Unit, target float64, below int) []Layer {
	seq := slices.Clone(all)
	slices.SortStableFunc(seq, sequence)
	var out []Layer
	section := 0
	for start := 0; start < len(seq); {
		end, size := start, 0.0
		for end < len(seq) {
			next, more := shelved(seq, end)
			if size >= target*least && (more >= target*least || next < len(seq)) {
				break
			}
			end, size = next, size+more
		}
		for _, l := range cut(seq[start:end], target, target*aim, below+len(out)) {
			l.section = section
			out = append(out, l)
		}
		section++
		start = end
	}
	if len(out) == 0 {
		return []Layer{{}}
	}
	return out
}

// shelved returns where the shelf that begins at start ends, and its cost.
func shelved(seq []*Unit, start int) (end int, cost float64) {
	for end = start; end < len(seq) && seq[end].shelf() == seq[start].shelf(); end++ {
		cost += seq[end].Cost
	}
	return end, cost
}
