package repack

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

const (
	// maxLayers keeps images usable everywhere: dockerd refuses stacks of more
	// than 125 layers, and images built on top of the result need some of them.
	maxLayers = 100

	// headerCost is about what a tar header and its padding compress to.
	headerCost = 64

	// tolerance is by how much layers may exceed the target before there is one
	// more of them.
	tolerance = 1.1
)

// A unit is what must stay in one layer: a file with all its hard links, and all
// other files with the same content, so that the compressor's window removes the
// copies and no layer refers to another.
type unit struct {
	// entries are the names, files in the order of the source, each file's own
	// names sorted; the first name of a file carries the content.
	entries []layer.Entry
	// raw is the size of one copy's content.
	raw int64
	// cost is the estimate of the unit's compressed size, before calibration.
	cost float64
	// first is where the first of the files was read.
	first layer.Position
}

// content returns where the unit's content was read, and whether it has any.
func (u *unit) content() (layer.Position, bool) { return u.first, u.raw > 0 }

// A plan is the contents of the output layers, bottom first.
type plan struct {
	layers    [][]*unit
	duplicate int64 // bytes of contents that are in the tree once more than needed
	files     int
	live      int64   // bytes of all files of the tree, each inode once
	capped    bool    // the target would have taken more than maxLayers
	factor    float64 // corrects the units' costs
	tree      string  // canonical tree digest
}

// units splits the tree. Directories that have something in them are no units:
// every layer repeats the ones that lead to its entries. Window is how far back
// the layers' compressor sees: copies of a file that is larger cost their full size.
func units(s *scanned, window int64) []*unit {
	type file struct {
		inode   *layer.Inode
		entries []layer.Entry
	}
	parents := map[string]bool{}
	var files []*file
	byInode := map[*layer.Inode]*file{}
	for e := range s.tree.All() {
		if i := strings.LastIndexByte(e.Path, '/'); i >= 0 {
			parents[e.Path[:i]] = true
		}
		f := byInode[e.Inode]
		if f == nil || e.Type == layer.Directory {
			f = &file{inode: e.Inode}
			byInode[e.Inode] = f
			files = append(files, f)
		}
		f.entries = append(f.entries, e)
	}
	slices.SortStableFunc(files, func(a, b *file) int {
		return cmp.Or(a.inode.Source.Compare(b.inode.Source), strings.Compare(a.entries[0].Path, b.entries[0].Path))
	})
	var out []*unit
	byContent := map[layer.Sum]*unit{}
	for _, f := range files {
		first := f.entries[0]
		if first.Path == "." || (first.Type == layer.Directory && parents[first.Path]) {
			continue
		}
		var u *unit
		var content float64
		if f.inode.Type == layer.Regular && f.inode.Size > 0 {
			u = byContent[f.inode.Sum]
		}
		if f.inode.Size > 0 {
			c := s.contents[f.inode.Source.Layer]
			content = c.segment.estimate(c.offset(f.inode.Source.Ordinal), f.inode.Size)
		}
		if u == nil {
			u = &unit{first: f.inode.Source, raw: f.inode.Size}
			out = append(out, u)
			if u.raw > 0 {
				byContent[f.inode.Sum] = u
			}
		} else if u.raw < window {
			content = 0
		}
		u.cost += content
		u.entries = append(u.entries, f.entries...)
	}
	for _, u := range out {
		for _, e := range u.entries {
			u.cost += headerCost + float64(len(e.Path))/2
		}
	}
	return out
}

// makePlan cuts the units, in their order, into layers of about target compressed
// bytes, all of about one size. Factor corrects the units' costs.
func makePlan(all []*unit, target int64, factor float64) *plan {
	p := &plan{factor: factor}
	var total float64
	for _, u := range all {
		total += u.cost * factor
		copies := int64(0)
		for i, e := range u.entries {
			if i == 0 || e.Inode != u.entries[i-1].Inode {
				copies++
			}
		}
		if u.raw > 0 {
			p.live += copies * u.raw
			p.duplicate += (copies - 1) * u.raw
		}
		p.files += len(u.entries)
	}
	n := max(1, int(math.Ceil(total/(float64(target)*tolerance))))
	if n > maxLayers {
		n, p.capped = maxLayers, true
	}
	p.layers = cut(all, n, func(u *unit) float64 { return u.cost * factor })
	return p
}

// overlayAttributes reports whether the tree has attributes that overlay mounts
// take for their own. They say what happens to the layers below: one layer alone
// shows what it holds whatever they say.
func overlayAttributes(tree *layer.Tree) bool {
	for e := range tree.All() {
		for _, x := range e.Xattrs {
			if strings.HasPrefix(x.Name, "trusted.overlay.") || strings.HasPrefix(x.Name, "user.overlay.") {
				return true
			}
		}
	}
	return false
}

// cut splits units into at most n runs of about equal cost; none is empty, unless
// there are no units at all.
func cut(all []*unit, n int, cost func(*unit) float64) [][]*unit {
	if len(all) == 0 {
		return [][]*unit{nil}
	}
	left := 0.0
	for _, u := range all {
		left += cost(u)
	}
	var out [][]*unit
	for start := 0; start < len(all); n-- {
		// What is left is shared out anew for each layer: one huge file then makes
		// one huge layer and leaves the others even.
		share, sum, end := left/float64(max(n, 1)), 0.0, start
		for end < len(all) {
			c := cost(all[end])
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
