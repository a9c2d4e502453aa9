package plan

import (
	"cmp"
	"math/bits"
	"path"
	"strings"
)

// A Tier says how often things change, the most stable first. Tiers share no layer
// if each has enough to fill one.
type Tier uint8

// The tiers, in the order of their layers.
const (
	System   Tier = iota // packages of the distribution
	Language             // packages of a language: Python, npm, Java
	Own                  // everything else: what the image was built for
	tiers    = iota
)

// String names the tier for people.
func (t Tier) String() string {
	return [...]string{"system packages", "language packages", "own files"}[t]
}

// A Group is files that change together, such as those of a package. Its key does
// not contain a version: an upgrade leaves a group where it is.
type Group struct {
	Tier Tier
	Key  string
}

func (g Group) compare(h Group) int {
	return cmp.Or(cmp.Compare(g.Tier, h.Tier), strings.Compare(g.Key, h.Key))
}

// Grouper tells to which group a path belongs.
type Grouper func(path string) Group

// ungrouped is the grouper of a tree of which nothing is known.
func ungrouped(string) Group { return Group{Tier: Own} }

// assign gives units the first of the groups of their files: copies of one content
// that several groups have are with one of them.
func assign(u *Unit, group Grouper) {
	u.Group = group(u.Entries[0].Path)
	for i, e := range u.Entries[1:] {
		if u.leads(i + 1) {
			if g := group(e.Path); g.compare(u.Group) < 0 {
				u.Group = g
			}
		}
	}
	u.name = u.Entries[0].Path
	for _, e := range u.Entries[1:] {
		u.name = min(u.name, e.Path)
	}
}

// A shelf is what layers are made of, one after the other. What takes an engine long to
// unpack for its bytes is at the bottom: what is above a layer waits until that is done,
// and until it is there. Most of that time goes to make files, whatever they have in them.
type shelf uint8

const (
	smallSystem shelf = iota // small files of packages
	smallLanguage
	system // the others
	language
	own // files of no package change the most often, and take no package's layer with them
)

// tiny is the size below which a file takes several times as long to make as to fill.
const tiny = 8 << 10

// shelf returns where the unit belongs; a family is where its head is.
func (u *Unit) shelf() shelf {
	u = u.place()
	switch {
	case u.Group.Tier == Own:
		return own
	case u.Raw < tiny:
		return smallSystem + shelf(u.Group.Tier)
	}
	return system + shelf(u.Group.Tier)
}

// weigh tells units how large the files of their group are, those of the same shelf: it is the
// logarithm of their mean, in steps of four. It depends on nothing but what is in the group, so
// that a group stays where it is unless it becomes another one.
func weigh(units []*Unit) {
	type part struct {
		shelf shelf
		group Group
	}
	type sum struct {
		raw   int64
		names int
	}
	parts := map[part]sum{}
	for _, u := range units {
		p := part{u.shelf(), u.Group}
		s := parts[p]
		s.raw += int64(len(u.Files())) * u.Raw
		s.names += len(u.Entries)
		parts[p] = s
	}
	for _, u := range units {
		s := parts[part{u.shelf(), u.Group}]
		u.heft = bits.Len64(uint64(s.raw)/uint64(s.names)) / 2 //nolint:gosec // both are positive
	}
}

// sequence orders units for cutting: by shelf; groups of smaller files first, for the same
// reason; by group, then by name, families together.
func sequence(a, b *Unit) int {
	if p, q := a.place(), b.place(); p != q {
		a, b = p, q
	}
	return cmp.Or(cmp.Compare(a.shelf(), b.shelf()), cmp.Compare(a.heft, b.heft), a.Group.compare(b.Group), strings.Compare(a.name, b.name))
}

// A seam is how good a place for a cut is before a unit: the least of all seams
// within reach is taken. What it is made of does not change with what lies around
// it, so that after a change layers soon end where they had ended before.
type seam struct {
	class int // 0 between groups, 1 between directories, 2 between files
	hash  uint64
}

func (s seam) compare(t seam) int {
	return cmp.Or(cmp.Compare(s.class, t.class), cmp.Compare(s.hash, t.hash))
}

func seamBetween(before, after *Unit) seam {
	switch dir := path.Dir(after.name); {
	case before.Group != after.Group:
		return seam{0, fnv(after.Group.Key)}
	case path.Dir(before.name) != dir:
		return seam{1, fnv(dir)}
	}
	return seam{2, fnv(after.name)}
}

// fnv is the FNV-1a hash, finished so that similar names do not have similar ones.
func fnv(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h ^= h >> 32
	return h * 0x9e3779b97f4a7c15
}
