package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// headerCost is about what a tar header and its padding compress to.
const headerCost = 64

// smallFile is the size below which copies in different groups are not worth tying
// the groups together: licences and empty modules are all over an image, and each
// layer compresses its own copy to a few hundred bytes.
const smallFile = 4 << 10

// A Unit is what must stay in one layer: a file with all its hard links, and all
// other files with the same content, so that the compressor's window removes the
// copies and no layer refers to another.
type Unit struct {
	// Entries are the names, files in the order of the source, each file's own
	// names sorted; the first name of a file carries the content.
	Entries []layer.Entry
	// Raw is the size of one copy's content, in bytes.
	Raw int64
	// Cost is the estimate of the unit's compressed size, in bytes.
	Cost float64
	// First is where the first of the files was read; all have its content.
	First layer.Position
	// Group is what the unit changes together with.
	Group Group

	name    string  // the first of the names
	heft    int     // of its group on its shelf
	head    *Unit   // of the family that the unit is in, or nil for none
	bundled []*Unit // that this one stands for while layers are cut
}

// HasContent reports whether there is something to read at First.
func (u *Unit) HasContent() bool { return u.Raw > 0 }

// Files returns the files of a unit that have content, each once, the one that was
// read first at the beginning.
func (u *Unit) Files() []*layer.Inode {
	if u.Raw == 0 {
		return nil
	}
	var out []*layer.Inode
	for i, e := range u.Entries {
		if u.leads(i) {
			out = append(out, e.Inode)
		}
	}
	return out
}

// leads reports whether the entry is the first name of its file.
func (u *Unit) leads(i int) bool { return i == 0 || u.Entries[i].Inode != u.Entries[i-1].Inode }

// LeadNames yields the first name of each file that has content.
func (u *Unit) LeadNames(yield func(string) bool) {
	for i, e := range u.Entries {
		if u.Raw > 0 && u.leads(i) && !yield(e.Path) {
			return
		}
	}
}

// An Estimator tells about how many compressed bytes the content of a file takes.
type Estimator func(*layer.Inode) float64

// Units splits a tree, in the order of the source. Directories that have something
// in them are no units: every layer repeats the ones that lead to its entries.
// Window is how far back the layers' compressor sees: copies of a file that is
// larger cost their full size. Copies of a file smaller than smallFile stay apart
// where they belong to different groups. A nil group means that nothing is known.
func Units(tree *layer.Tree, estimate Estimator, window int64, group Grouper) []*Unit {
	if group == nil {
		group = ungrouped
	}
	parents := map[string]bool{}
	entries := make([]layer.Entry, 0, tree.Len())
	for e := range tree.All() {
		if i := strings.LastIndexByte(e.Path, '/'); i >= 0 {
			parents[e.Path[:i]] = true
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b layer.Entry) int {
		return cmp.Or(a.Source.Compare(b.Source), strings.Compare(lead(a), lead(b)), strings.Compare(a.Path, b.Path))
	})
	var out []*Unit
	// Units of one content by the first of them; those in other groups follow it.
	byContent := map[layer.Sum]*Unit{}
	another := map[*Unit]*Unit{}
	for len(entries) > 0 {
		n := names(entries)
		file := entries[:n:n]
		entries = entries[n:]
		first := file[0]
		if first.Path == "." || (first.Type == layer.Directory && parents[first.Path]) {
			continue
		}
		var u, before *Unit
		var cost float64
		var within Group // unless the unit may have files of any group
		if first.Size < smallFile {
			within = group(first.Path)
		}
		if first.Size > 0 {
			cost = estimate(first.Inode)
			for u = byContent[first.Sum]; u != nil && u.Group != within; u = another[u] {
				before = u
			}
		}
		if u == nil {
			u = &Unit{First: first.Source, Raw: first.Size, Group: within, Cost: cost, Entries: file}
			out = append(out, u)
			switch {
			case u.Raw == 0:
			case before == nil:
				byContent[first.Sum] = u
			default:
				another[before] = u
			}
			continue
		}
		if u.Raw < window {
			cost = 0
		}
		u.Cost += cost
		u.Entries = append(u.Entries, file...)
	}
	for _, u := range out {
		assign(u, group)
		for _, e := range u.Entries {
			u.Cost += headerCost + float64(len(e.Path))/2
		}
	}
	weigh(out)
	return out
}

// lead is the first of the names that a file has.
func lead(e layer.Entry) string {
	if e.Link != "" {
		return e.Link
	}
	return e.Path
}

// names returns how many of the entries, from the first one on, are one file.
func names(entries []layer.Entry) int {
	n := 1
	for entries[0].Type != layer.Directory && n < len(entries) && entries[n].Inode == entries[0].Inode {
		n++
	}
	return n
}
