package plan

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// A Layer is the contents of one output layer.
type Layer struct {
	Units []*Unit // in the order of the source, families together
	// Indivisible says that the layer is one unit that is larger than the target.
	Indivisible bool
	// Limit is where the layer has to end, in bytes as they are really compressed,
	// whatever it was planned with; 0 means that it has all of its units.
	Limit float64
	// Waits says that the layer takes what others have no room for, so that it cannot
	// be written before those, and Written that it has been.
	Waits, Written bool

	goal    float64 // size that it is to have; 0 means the target
	section int     // layers of one section may have each other's units
}

// Cost is the estimate of the layer's compressed size, in bytes.
func (l *Layer) Cost() float64 {
	sum := 0.0
	for _, u := range l.Units {
		sum += u.Cost
	}
	return sum
}

// Families yields the units that keep together, and each other unit alone, in their
// order.
func (l *Layer) Families() iter.Seq[[]*Unit] { return families(l.Units) }

// order brings the units into the order in which they were read, so that they are
// read forward again, and what lay together is compressed together. A family is where
// its first unit is. In a layer that ends at a limit, units and families that are
// large come first: what comes last has to be small for the limit to be met.
func (l *Layer) order() {
	large := l.Limit * first
	begin, size := map[*Unit]*Unit{}, map[*Unit]float64{}
	for _, u := range l.Units {
		p := u.place()
		if begin[p] == nil || inSource(u, begin[p]) < 0 {
			begin[p] = u
		}
		size[p] += u.Cost
	}
	slices.SortStableFunc(l.Units, func(a, b *Unit) int {
		p, q := a.place(), b.place()
		if p == q {
			return inSource(a, b)
		}
		if l.Limit > 0 && (size[p] > large) != (size[q] > large) {
			return cmp.Compare(size[q], size[p])
		}
		return inSource(begin[p], begin[q])
	})
}

// inSource orders units as they were read.
func inSource(a, b *Unit) int {
	return cmp.Or(a.First.Compare(b.First), strings.Compare(a.name, b.name))
}
