package treefs

import (
	"slices"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
)

// A Plan says how a directory that is one tree becomes another one. Numbers are those
// of the new tree's entries.
type Plan struct {
	Remove []string // what is to go, contents before their directory
	Create []int    // what is to be made, directories before their contents
	Adjust []int    // directories that stay and get other attributes or times
}

// Diff plans the way from old, nil for an empty directory, to next.
func Diff(old, next *treeindex.Tree) Plan {
	if old == nil {
		old = &treeindex.Tree{}
	}
	var p Plan
	kept := map[string]bool{}    // files that stay, if they may have further names
	touched := map[string]bool{} // directories in which something is made or removed
	a, b := old.Entries, next.Entries
	for i, j := 0, 0; i < len(a) || j < len(b); {
		var order int
		switch {
		case i == len(a):
			order = 1
		case j == len(b):
			order = -1
		default:
			order = treeindex.Compare(a[i].Path, b[j].Path)
		}
		switch {
		case order < 0:
			p.Remove = append(p.Remove, a[i].Path)
			touched[dirOf(a[i].Path)] = true
			i++
		case order > 0:
			p.Create = append(p.Create, j)
			touched[dirOf(b[j].Path)] = true
			j++
		default:
			switch {
			case a[i].Kind == treeindex.Dir && b[j].Kind == treeindex.Dir:
				if !same(&a[i], &b[j]) {
					touched[b[j].Path] = true
				}
			case b[j].Kind == treeindex.Hardlink && a[i].Kind == treeindex.Hardlink && a[i].Target == b[j].Target && kept[b[j].Target]:
			case b[j].Kind != treeindex.Hardlink && same(&a[i], &b[j]):
				kept[b[j].Path] = true
			default:
				p.Remove = append(p.Remove, a[i].Path)
				p.Create = append(p.Create, j)
				touched[dirOf(b[j].Path)] = true
			}
			i++
			j++
		}
	}
	slices.Reverse(p.Remove)
	made := map[int]bool{}
	for _, n := range p.Create {
		made[n] = true
	}
	for n := range b {
		if b[n].Kind == treeindex.Dir && touched[b[n].Path] && !made[n] {
			p.Adjust = append(p.Adjust, n)
		}
	}
	return p
}

func same(a, b *treeindex.Entry) bool {
	return a.Kind == b.Kind && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Seconds == b.Seconds && a.Nanos == b.Nanos &&
		a.Size == b.Size && a.Target == b.Target && a.Major == b.Major && a.Minor == b.Minor &&
		slices.Equal(a.Xattrs, b.Xattrs) && slices.Equal(a.Content, b.Content)
}

func dirOf(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return ""
}
