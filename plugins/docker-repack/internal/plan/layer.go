package plan

import (
	"cmp"
	"slices"
	"strings"
)

// A Layer is the contents of one output layer.
type Layer struct {
	Units []*Unit // in the order of the source
	// Indivisible says that the layer is one unit that is larger than the target.
	Indivisible bool
}

// Cost is the estimate of the layer's compressed size, in bytes.
func (l *Layer) Cost() float64 {
	sum := 0.0
	for _, u := range l.Units {
		sum += u.Cost
	}
	return sum
}

// order brings the units into the order in which they were read, so that they are
// read forward again, and what lay together is compressed together.
func (l *Layer) order() {
	slices.SortStableFunc(l.Units, func(a, b *Unit) int {
		return cmp.Or(a.First.Compare(b.First), strings.Compare(a.name, b.name))
	})
}
