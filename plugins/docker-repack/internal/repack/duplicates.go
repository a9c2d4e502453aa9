package repack

import (
	"cmp"
	"slices"
)

// shownPaths is how many members of a group are named.
const shownPaths = 5

// Duplicates are the groups of identical files of the root filesystem, those
// first whose copies take the most.
type Duplicates struct {
	Groups []DuplicateGroup `json:"groups"`
	More   int              `json:"more"` // groups that are not listed
}

// A DuplicateGroup is files with the same content that are not hard links of each
// other.
type DuplicateGroup struct {
	Bytes  int64    `json:"bytes"`  // of one copy
	Copies int      `json:"copies"` // the first included
	Wasted int64    `json:"wasted"` // by all copies but the first
	Paths  []string `json:"paths"`  // the first few
}

func listDuplicates(p *plan, top int) Duplicates {
	var all []*unit
	for _, contents := range p.layers {
		for _, u := range contents {
			if len(u.files()) > 1 {
				all = append(all, u)
			}
		}
	}
	wasted := func(u *unit) int64 { return int64(len(u.files())-1) * u.raw }
	slices.SortStableFunc(all, func(a, b *unit) int {
		return cmp.Or(cmp.Compare(wasted(b), wasted(a)), cmp.Compare(a.entries[0].Path, b.entries[0].Path))
	})
	out := Duplicates{Groups: []DuplicateGroup{}, More: max(0, len(all)-top)}
	for _, u := range all[:min(len(all), top)] {
		g := DuplicateGroup{Bytes: u.raw, Copies: len(u.files()), Wasted: wasted(u)}
		for i, e := range u.entries {
			if len(g.Paths) < shownPaths && (i == 0 || e.Inode != u.entries[i-1].Inode) {
				g.Paths = append(g.Paths, e.Path)
			}
		}
		out.Groups = append(out.Groups, g)
	}
	return out
}
