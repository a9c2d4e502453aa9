package plan

import (
	"cmp"
	"iter"
	"slices"
)

// # Kin
//
// The compilers of one suite, or programs that are linked with the same libraries, have
// much in common, which a compressor finds if they are in one layer and not too far from
// each other. Such units are a family: it has the place of the first of its units in the
// order of cutting, goes into a layer as if it were one unit, and has nothing between its
// units there.

// Kin are two units of a tier that have contents in common.
type Kin struct {
	A, B *Unit // as they were read
	// Saved is by how many compressed bytes B is smaller where the compressor has seen A.
	Saved float64
}

const (
	// kindred is the part of its smaller unit that a pair must have in common, and
	// worthwhile the part of a layer that it must save: units of a family are away from
	// what else they belong to.
	kindred    = 1.0 / 10
	worthwhile = 1.0 / 200
	// mostMembers of a family bounds the work.
	mostMembers = 256
)

// A family is units that keep together.
type family struct {
	head    *Unit   // the first in the order of cutting
	members []*Unit // in the order that they have in a layer
	pairs   []Kin   // that made it one
	cost    float64
}

// Relate makes families of units of which pairs are kin, those first that save most. No
// family is larger than a layer of target compressed bytes, and in none is a pair further
// apart than window, which is how many bytes back the compressor looks. Pairs of different
// tiers are not related. The costs of units become what they are in their families.
func Relate(kin []Kin, target, window int64) {
	kin = slices.DeleteFunc(slices.Clone(kin), func(k Kin) bool {
		least := max(worthwhile*float64(target), kindred*min(k.A.Cost, k.B.Cost))
		return k.Saved < least || k.A.Group.Tier != k.B.Group.Tier
	})
	slices.SortFunc(kin, func(a, b Kin) int {
		return cmp.Or(cmp.Compare(b.Saved, a.Saved), sequence(a.A, b.A), sequence(a.B, b.B))
	})
	member := map[*Unit]*family{}
	of := func(u *Unit) *family {
		if member[u] == nil {
			member[u] = &family{head: u, members: []*Unit{u}, cost: u.Cost}
		}
		return member[u]
	}
	for _, k := range kin {
		a, b := of(k.A), of(k.B)
		if a == b {
			continue
		}
		both := a.with(b, k)
		if both.cost > float64(target) || len(both.members) > mostMembers || !both.within(window) {
			continue
		}
		for _, u := range both.members {
			member[u] = both
		}
	}
	for u, f := range member {
		if len(f.members) > 1 {
			u.head = f.head
		}
		for _, k := range f.pairs {
			if k.B == u {
				u.Cost = max(0, u.Cost-k.Saved)
			}
		}
	}
}

// with returns the family that f and g make, of which a pair has one unit each.
func (f *family) with(g *family, k Kin) *family {
	both := &family{
		head: f.head, cost: f.cost + g.cost - k.Saved,
		members: slices.Concat(f.members, g.members), pairs: append(slices.Concat(f.pairs, g.pairs), k),
	}
	if sequence(g.head, f.head) < 0 {
		both.head = g.head
	}
	slices.SortFunc(both.members, inSource)
	return both
}

// within reports whether all pairs of the family are at most window bytes apart.
func (f *family) within(window int64) bool {
	begin := map[*Unit]int64{}
	var at int64
	for _, u := range f.members {
		begin[u] = at
		at += u.Raw * int64(len(u.Files()))
	}
	return !slices.ContainsFunc(f.pairs, func(k Kin) bool { return max(begin[k.A]-begin[k.B], begin[k.B]-begin[k.A]) > window })
}

// place is the unit in whose place another one is in the order of cutting.
func (u *Unit) place() *Unit {
	if u.head != nil {
		return u.head
	}
	return u
}

// families yields the units that lie together in one family, and each other unit alone.
func families(units []*Unit) iter.Seq[[]*Unit] {
	return func(yield func([]*Unit) bool) {
		for len(units) > 0 {
			n := 1
			for n < len(units) && units[n].place() == units[0].place() {
				n++
			}
			if !yield(units[:n:n]) {
				return
			}
			units = units[n:]
		}
	}
}

// bundle makes one unit of each family of a sequence, unless it is too much for a
// layer by now.
func bundle(units []*Unit, most float64) []*Unit {
	var out []*Unit
	for family := range families(units) {
		total := cost(family)
		if len(family) == 1 || total > most {
			out = append(out, family...)
			continue
		}
		head := family[0].place()
		out = append(out, &Unit{Cost: total, Group: head.Group, name: head.name, bundled: family})
	}
	return out
}

// unbundle puts the units of families into their places.
func unbundle(units []*Unit) []*Unit {
	if !slices.ContainsFunc(units, func(u *Unit) bool { return u.bundled != nil }) {
		return units
	}
	var out []*Unit
	for _, u := range units {
		if u.bundled != nil {
			out = append(out, u.bundled...)
		} else {
			out = append(out, u)
		}
	}
	return out
}
