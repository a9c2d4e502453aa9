package repack

import "github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"

const (
	// trust is the part of what is left of a layer that is written on the strength of
	// estimates, before the compressor is asked how much it has made of it.
	trust = 0.7
	// precision is the part of a layer that it is not asked about.
	precision = 0.02
	// filled is the part of a layer that has to be there for it to end at the first
	// unit that does not fit; before, others may still do.
	filled = 0.95
)

// A gauge tells which units a layer has room for. It goes by estimates, corrected by
// what the compressor has really put out, which it asks for three or four times: a
// compressor holds back what it has begun, and how much depends on what else the
// machine does, unless it is flushed, which costs some hundred bytes.
type gauge struct {
	limit float64 // compressed bytes; 0 for none
	// flush makes the compressor let go of all it has, and returns how much it has
	// put out so far.
	flush func() (int64, error)

	measured, priced float64 // what was put out, and what it was estimated to be
	since            float64 // estimate of what came after that
	rest             []*plan.Unit
	full             bool
	err              error // of flush; nothing is admitted after it
}

// admit reports whether the layer has room for units that keep together, which are then
// taken to be in it. What it has no room for is in rest.
func (g *gauge) admit(units ...*plan.Unit) bool {
	if g.limit == 0 {
		return true
	}
	cost := 0.0
	for _, u := range units {
		cost += u.Cost
	}
	if g.err == nil && !g.full {
		g.ask(cost)
	}
	if g.err == nil && !g.full && (g.priced+g.since == 0 || g.size()+float64(cost*g.factor()) <= g.limit) {
		g.since += cost
		return true
	}
	g.full = g.full || g.size() >= filled*g.limit
	g.rest = append(g.rest, units...)
	return false
}

// ask measures what there is, if what is estimated of it matters for one unit more.
func (g *gauge) ask(cost float64) {
	guess := float64(g.since * g.factor())
	if guess < precision*g.limit || guess+float64(cost*g.factor()) < trust*(g.limit-g.measured) {
		return
	}
	var n int64
	n, g.err = g.flush()
	g.measured, g.priced, g.since = float64(n), g.priced+g.since, 0
}

// factor is by how much estimates were wrong.
func (g *gauge) factor() float64 {
	if g.priced == 0 {
		return 1
	}
	return g.measured / g.priced
}

// size is about how much the layer has.
func (g *gauge) size() float64 { return g.measured + float64(g.since*g.factor()) }
