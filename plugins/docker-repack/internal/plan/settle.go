package plan

import (
	"cmp"
	"slices"
)

// # Sizes that are met
//
// What a layer takes when it is compressed is estimated, and estimates are a tenth
// off and more. So layers are planned too large, and end where what really comes out
// of the compressor has reached their limit. They do not wait for each other: what
// they have no room for goes to the last layers of their section, which are planned
// anew when the others have been compressed, by what has been learnt then. That goes
// on until what is left of each section is one layer.

// schedule says which of the layers that have not been written end at a limit, and
// which wait for what those leave: the last one of each section, if it is not the only
// one, and the top one, which lists directories that several layers have.
func (p *Plan) schedule() {
	if len(p.Layers) == 0 {
		return
	}
	top := len(p.Layers) - 1
	roomy := len(p.Layers)+p.Layers[top].section < p.most // for one more in each section
	last, count := map[int]int{}, map[int]int{}
	for i, l := range p.Layers {
		if !l.Written {
			last[l.section] = i
			count[l.section]++
		}
	}
	limited := false
	for i := range top {
		switch l := &p.Layers[i]; {
		case l.Written:
		case count[l.section] > 1 && last[l.section] == i:
			l.Waits = true
		case !l.Indivisible && (count[l.section] > 1 || roomy):
			l.Limit = cmp.Or(l.goal, p.target) * limit
			limited = true
		}
	}
	p.Layers[top].Waits = limited || count[p.Layers[top].section] > 1
}

// Waits reports whether layers wait.
func (p *Plan) Waits() bool {
	return slices.ContainsFunc(p.Layers, func(l Layer) bool { return l.Waits })
}

// An End is how a layer came out.
type End struct {
	Rest []*Unit // that it had no room for
	Size float64 // of the others, in compressed bytes
}

// Settle plans the layers that wait anew, when the others have been written. Ends are
// those of the layers that have been written since they were planned, by their index.
// Of each layer of the new plan, was tells which of p's layers it is, or -1 if it has
// to be written yet.
//
// The costs of units that have to be written become what has been learnt about them.
func (p *Plan) Settle(ends []End) (next *Plan, was []int) {
	next = &Plan{Tree: p.Tree, Units: p.Units, Kept: p.Kept, Capped: p.Capped, target: p.target, most: p.most}
	written := make([]Layer, len(p.Layers))
	pools := p.pools(ends, written)
	for {
		next.Layers, was = nil, nil
		var scraps []*Unit // too little for a layer; the top one waits, and takes the last of them
		for i, l := range p.Layers {
			if !l.Waits {
				next.Layers, was = append(next.Layers, written[i]), append(was, i)
			}
			if i < len(p.Layers)-1 && p.Layers[i+1].section == l.section {
				continue
			}
			pool := slices.Concat(scraps, pools[l.section])
			if scraps = nil; i < len(p.Layers)-1 && cost(pool) < next.target*least {
				scraps = pool
				continue
			}
			for _, rest := range cut(pool, next.target, next.target*aimAgain, next.Len()) {
				rest.section = l.section
				next.Layers, was = append(next.Layers, rest), append(was, -1)
			}
		}
		if len(next.Layers) <= p.most {
			break
		}
		next.Capped = true
		next.target *= tolerance
	}
	next.schedule()
	next.finish()
	return next, was
}

// pools returns what of each section has to be written yet, in sequence. Written are
// the layers that have been, now or before, without what they had no room for.
func (p *Plan) pools(ends []End, written []Layer) [][]*Unit {
	sections := p.Layers[len(p.Layers)-1].section + 1
	pools := make([][]*Unit, sections)
	real, planned := make([]float64, sections), make([]float64, sections)
	for i, l := range p.Layers {
		if l.Waits {
			continue
		}
		written[i] = l
		written[i].Written = true
		if l.Written {
			continue
		}
		rest := map[*Unit]bool{}
		for _, u := range ends[i].Rest {
			rest[u] = true
		}
		written[i].Units = slices.DeleteFunc(slices.Clone(l.Units), func(u *Unit) bool { return rest[u] })
		pools[l.section] = append(pools[l.section], ends[i].Rest...)
		if is := written[i].Cost(); is > 0 && ends[i].Size > 0 {
			scale(ends[i].Rest, ends[i].Size/is)
			if !l.Indivisible {
				real[l.section] += ends[i].Size
				planned[l.section] += is
			}
		}
	}
	for _, l := range p.Layers {
		if !l.Waits {
			continue
		}
		if planned[l.section] > 0 {
			scale(l.Units, real[l.section]/planned[l.section])
		}
		pools[l.section] = append(pools[l.section], l.Units...)
	}
	for _, pool := range pools {
		slices.SortStableFunc(pool, sequence)
	}
	return pools
}

// mistaken is by how much an estimate is taken to have been wrong at the most: a layer
// of a few files tells little about others.
const mistaken = 0.2

func scale(units []*Unit, factor float64) {
	factor = min(max(factor, 1/(1+mistaken)), 1+mistaken)
	for _, u := range units {
		u.Cost *= factor
	}
}
