package plan

import (
	"cmp"
	"math"
	"slices"
)

const (
	// tolerance is by how much a layer may exceed the target.
	tolerance = 1.1
	// limit is where writing ends a layer, in targets, and aim is what it is planned
	// with: an estimate may then be a fourth too large before the layer has less than
	// 0.9 targets. What is planned anew, by what has been learnt, is estimated better.
	limit    = 1.05
	aim      = 1.2
	aimAgain = 1.1
	// slack is how far from their full size the layers of a shelf may be, all of them,
	// so that they are even.
	slack = 0.04
	// reach is how far from its share of the whole a layer may end, to either side,
	// in favour of a better seam.
	reach = 0.03
	// downloads is how many layers engines download at a time: max-concurrent-downloads
	// of dockerd and containerd.
	downloads = 3
)

// cut splits the units, which are in sequence, into layers of about full bytes. None
// is empty, unless there are no units at all. There are so many layers below them.
// What is hardly more than target gets one layer, and units that are more than that
// one of their own, the smallest first.
//
// Those layers come after the even ones, for what takes long to download should not
// keep the unpacking of others waiting (Johnson's rule); but not at the very top,
// where the layer is that each change of a directory changes.
func cut(units []*Unit, target, full float64, below int) []Layer {
	var huge []Layer
	var small []*Unit
	for _, u := range bundle(units, target*tolerance) {
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
	out := even(small, target, full, below)
	for i := range out {
		out[i].Units = unbundle(out[i].Units)
	}
	last := len(out) - 1
	return slices.Concat(out[:last], huge, out[last:])
}

// share is how much the next layer should have if total is left: as much as all that
// come after it, or, where they would miss their full size by more than slack, that
// size, so that only the last one is smaller. It is total if that is one layer.
func share(total, target, full, slack float64) float64 {
	if total <= target*tolerance {
		return total
	}
	if total <= full*(1+2*reach) {
		return max(target, total-target*bulk/2) // what is too much for one layer
	}
	low := max(math.Floor(total/full), 1)
	over, under := total/low-full, full-total/(low+1)
	switch {
	case over <= under && low > 1 && over <= slack*full:
		return total / low
	case under <= slack*full:
		return total / (low + 1)
	}
	return full
}

// stagger is the size of one of the lowest layers, or 0 for none of them. Downloads
// share the link: layers of one size that begin together are there together, and
// their unpacking waits for all of them, again and again, and once more at the end.
// With a third of the target, two thirds, and then whole ones, one is there after
// the other.
func stagger(target float64, below int) float64 {
	if below >= downloads-1 {
		return 0
	}
	return target * float64(below+1) / downloads
}

// An end is where a layer may end: before which unit, and what the layer and the
// list of waiting units have until there.
type end struct {
	at             int
	units, waiting int
	seam           seam
}

// offer takes another end if its seam is better.
func (e *end) offer(f end) {
	if e.at < 0 || f.seam.compare(e.seam) < 0 {
		*e = f
	}
}

// even splits units into runs of about equal cost that end at good seams, but for
// the lowest of the image. What is left is shared out anew for each layer. A unit
// that would take a layer beyond its share waits for the next one while smaller
// ones still fit.
func even(units []*Unit, target, full float64, below int) []Layer {
	left := cost(units)
	var out []Layer
	allowed := slack
	for len(units) > 0 {
		size := share(left, target, full, allowed)
		if size >= left {
			out = append(out, Layer{Units: units})
			break
		}
		least := 0.0
		l := Layer{goal: target}
		if low := stagger(target, below+len(out)); low > 0 {
			l.goal, size = low, low*full/target
		} else {
			allowed = 2 * reach
			// What a seam takes less of, the others get.
			others := math.Round(left/size) - 1
			least = left - float64(others*full*(1+allowed))
		}
		l.Units, units = fill(units, size, least, l.goal)
		left -= l.Cost()
		out = append(out, l)
	}
	if len(out) == 0 {
		return []Layer{{}}
	}
	return out
}

// fill takes units for a layer of about a size and of at least another, and returns
// those that are left. Large units take no more than solid: where a layer is cut to
// that while it is written, only small ones can make up for what estimates are wrong.
func fill(units []*Unit, size, least, solid float64) (taken, rest []*Unit) {
	low, high := min(size, max(size*(1-reach), least)), size*(1+reach)
	solid = min(solid, size)
	var waiting []*Unit
	sum, large, wait := 0.0, 0.0, 0.0
	best := end{at: -1}
	i := 0
	for ; i < len(units); i++ {
		if len(taken) > 0 && sum >= low && sum <= high {
			best.offer(end{i, len(taken), len(waiting), seamBetween(units[i-1], units[i])})
		}
		u := units[i]
		isLarge := u.Cost > solid*bulk
		if len(taken) > 0 && (sum+u.Cost > high || (isLarge && large+u.Cost > solid*(1+reach))) {
			if wait += u.Cost; sum >= low || wait > size {
				break
			}
			waiting = append(waiting, u)
			continue
		}
		taken = append(taken, u)
		if sum += u.Cost; isLarge {
			large += u.Cost
		}
	}
	switch {
	case best.at >= 0:
		i, taken, waiting = best.at, taken[:best.units], waiting[:best.waiting]
	case sum < min(low, solid*(1-reach)) || sum > high:
		// Only what is too large for the rest of the layer is left.
		if a, b := combine(units, solid, solid*(1+reach)); math.Abs(cost(a)-solid) < math.Abs(sum-solid) {
			return a, b
		}
	}
	return taken, append(waiting, units[i:]...)
}

const (
	// bulk is the part of a layer that makes a unit a large one, and first the one that
	// makes it come first in its layer.
	bulk  = 1.0 / 10
	first = 1.0 / 4
	// candidates is how many large units are tried in all combinations.
	candidates = 256
	// grain is the part of a layer that combinations are told apart by, and that a
	// unit must have to be large.
	grain = 1.0 / 500
)

// combine takes the large units whose sum comes nearest to size, as early ones as
// possible, and returns the others. What is small fills them up.
func combine(units []*Unit, size, high float64) (taken, rest []*Unit) {
	quantum := size * grain
	var large []int
	for i, u := range units {
		if u.Cost >= quantum && u.Cost <= high && len(large) < candidates {
			large = append(large, i)
		}
	}
	// last[n] is the last unit of a combination of n quanta, from 1; 0 means that
	// there is none.
	last := make([]int, int(high/quantum)+1)
	weight := func(k int) int { return int(math.Round(units[large[k]].Cost / quantum)) }
	for k := range large {
		w := weight(k)
		for n := len(last) - 1; n >= w; n-- {
			if last[n] == 0 && (n == w || last[n-w] != 0) {
				last[n] = k + 1
			}
		}
	}
	want := int(math.Round(1 / grain))
	n := 0
	for k := range last {
		if last[k] != 0 && math.Abs(float64(k-want)) < math.Abs(float64(n-want)) {
			n = k
		}
	}
	chosen := map[int]bool{}
	for n > 0 {
		k := last[n] - 1
		chosen[large[k]] = true
		n -= weight(k)
	}
	sum := 0.0
	for i := range chosen {
		sum += units[i].Cost
	}
	for i, u := range units {
		if !chosen[i] && u.Cost < quantum && sum < size {
			chosen[i] = true
			sum += u.Cost
		}
		if chosen[i] {
			taken = append(taken, u)
		} else {
			rest = append(rest, u)
		}
	}
	return taken, rest
}

func cost(units []*Unit) float64 { return (&Layer{Units: units}).Cost() }
