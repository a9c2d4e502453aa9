package repack

import (
	"cmp"
	"slices"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
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

func listDuplicates(p *plan.Plan, top int) Duplicates {
	var all []*plan.Unit
	for _, u := range p.Units {
		if len(u.Files()) > 1 {
			all = append(all, u)
		}
	}
	wasted := func(u *plan.Unit) int64 { return int64(len(u.Files())-1) * u.Raw }
	slices.SortStableFunc(all, func(a, b *plan.Unit) int {
		return cmp.Or(cmp.Compare(wasted(b), wasted(a)), cmp.Compare(a.Entries[0].Path, b.Entries[0].Path))
	})
	out := Duplicates{Groups: []DuplicateGroup{}, More: max(0, len(all)-top)}
	for _, u := range all[:min(len(all), top)] {
		g := DuplicateGroup{Bytes: u.Raw, Copies: len(u.Files()), Wasted: wasted(u)}
		for name := range u.LeadNames {
			if len(g.Paths) < shownPaths {
				g.Paths = append(g.Paths, name)
			}
		}
		out.Groups = append(out.Groups, g)
	}
	return out
}
