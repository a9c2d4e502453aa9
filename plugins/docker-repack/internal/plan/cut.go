package plan

import (
	"cmp"
	"slices"
)

const (
	// tolerance is by how much layers may exceed the target before there is one
	// more of them.
	tolerance = 1.1
	// reach is how far from its share of the whole a layer may end, to either side,
	// in favour of a better seam.
	reach = 0.04
)

// cut splits the units, which are in sequence, into layers of about target bytes.
// None is empty, unless there are no units at all. Units larger than a layer get
// one of their own, the smallest first.
//
// Those layers come after the even ones, for what takes long to download should not
// keep the unpacking of others waiting (Johnson's rule); but not at the very top,
// where the layer is that each change of a directory changes.
func cut(units []*Unit, target float64) []Layer {
	var huge []Layer
	var small []*Unit
	for _, u := range units {
		if u.Cost > target*tolerance {
			huge = append(huge, Layer{Units: []*Unit{u}, Indivisible: true})
		} else {
			small = append(small, u)
		}
	}
	slices.SortStableFunc(huge, func(a, b Layer) int { return cmp.Compare(a.Units[0].Cost, b.Units[0].Cost) })
	if len(small) == 0 && len(huge) > 0 {
		return huge
	}
	out := even(small, target)
	last := len(out) - 1
	return slices.Concat(out[:last], huge, out[last:])
}

func layersFor(total, target float64) int {
	n := int(total / (target * tolerance))
	if float64(n)*target*tolerance < total {
		n++
	}
	return n
}

// An end is where a layer may end: before which unit, and what the layer and the
// list of waiting units have until there.
type end struct {
	at             int
	sum            float64
	units, waiting int
	seam           seam
}

// offer takes another end if its seam is better.
func (e *end) offer(f end) {
	if e.at < 0 || f.seam.compare(e.seam) < 0 {
		*e = f
	}
}

// even splits units into runs of about equal cost that end at good seams. What is
// left is shared out anew for each layer. A unit that would take a layer beyond its
// share waits for the next one while smaller ones still fit.
func even(units []*Unit, target float64) []Layer {
	left := 0.0
	for _, u := range units {
		left += u.Cost
	}
	var out []Layer
	var waiting []*Unit
	n := layersFor(left, target)
	for start := 0; len(waiting) > 0 || start < len(units); n = max(n-1, layersFor(left, target*(1+2*reach))) {
		if n <= 1 {
			out = append(out, Layer{Units: append(waiting, units[start:]...)})
			break
		}
		share := left / float64(n)
		var l Layer
		l.Units, waiting = waiting, nil
		sum, wait := l.Cost(), 0.0
		best := end{at: -1}
		low, high := share*(1-reach), share*(1+reach)
		i := start
		for ; i < len(units); i++ {
			if len(l.Units) > 0 && sum >= low && sum <= high && i > 0 {
				best.offer(end{i, sum, len(l.Units), len(waiting), seamBetween(units[i-1], units[i])})
			}
			u := units[i]
			if sum+u.Cost > high && len(l.Units) > 0 {
				if sum >= low || wait+u.Cost > share {
					break
				}
				waiting, wait = append(waiting, u), wait+u.Cost
				continue
			}
			l.Units = append(l.Units, u)
			sum += u.Cost
		}
		if best.at >= 0 {
			i, sum, l.Units, waiting = best.at, best.sum, l.Units[:best.units], waiting[:best.waiting]
		}
		start = i
		left -= sum
		out = append(out, l)
	}
	if len(out) == 0 {
		return []Layer{{}}
	}
	return out
}
