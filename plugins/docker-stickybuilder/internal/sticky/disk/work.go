package disk

import (
	"maps"
	"slices"
	"strings"
)

// Work is what builds have computed: the seconds of all steps that ran to their
// end, by the name of the build. What came from the cache is no work.
type Work map[string]float64

// An Ancestor is what a generation still knows of one that may be gone.
type Ancestor struct {
	ID   string `json:"id"`
	Work Work   `json:"work,omitempty"`
}

const (
	maxChain = 64 // ancestors that a generation knows
	maxNames = 32 // names of one Work
)

// Others is the name under which Bounded adds up what is too much.
const Others = "…"

// Bounded returns w with at most 32 names: those of the most work, and the sum of
// all others.
func (w Work) Bounded() Work {
	if len(w) <= maxNames {
		return w
	}
	names := slices.SortedFunc(maps.Keys(w), func(a, b string) int {
		switch {
		case w[a] > w[b]:
			return -1
		case w[a] < w[b]:
			return 1
		}
		return strings.Compare(a, b)
	})
	out := Work{}
	for i, n := range names {
		if i >= maxNames-1 || n == Others {
			out[Others] += w[n]
			continue
		}
		out[n] = w[n]
	}
	return out
}

// Seconds is the sum of w, in a fixed order.
func (w Work) Seconds() float64 {
	sum := 0.0
	for _, n := range slices.Sorted(maps.Keys(w)) {
		sum += w[n]
	}
	return sum
}

// chain is g itself and its ancestors, as far as it knows them; an ID of "" at the
// end stands for the empty disk.
func (g Generation) chain() []Ancestor {
	chain := append([]Ancestor{{g.ID, g.Work}}, g.Chain...)
	if len(g.Chain) == 0 { // it is the first one, or of a version that wrote no chain
		chain = append(chain, Ancestor{ID: g.Parent})
	}
	return chain
}

// A Comparison says how much two generations hold of which the other has nothing.
type Comparison struct {
	Since      string  // nearest common ancestor; "" if that is the empty disk
	Mine, Head float64 // seconds that the next jobs are spared
}

// Compare compares two generations by what was computed since their nearest
// common ancestor and will be of use again.
//
// Of a build's work that is what it took beyond the usual, the median of what
// ancestors' builds of that name took but for the first, which had everything to
// do: a step that depends on the sources is computed with every change of them and
// spares nobody anything. A name counts once on each side, at its most: a target
// that was built ten times in a row is worth no more to the next job.
//
// ok is false if they have no ancestor in common that is known, or if one of them
// is the other's ancestor.
func Compare(mine, head Generation) (c Comparison, ok bool) {
	a, b := mine.chain(), head.chain()
	for i, x := range a {
		if j := slices.IndexFunc(b, func(y Ancestor) bool { return x.ID == y.ID }); j >= 0 {
			return Comparison{x.ID, richness(a, i), richness(b, j)}, i > 0 && j > 0
		}
	}
	return Comparison{}, false
}

// richness adds up what the first n of a chain, the newest of it, spare.
func richness(chain []Ancestor, n int) float64 {
	most := Work{}
	for i, a := range chain[:n] {
		for name, took := range a.Work {
			most[name] = max(most[name], took-usual(chain[i+1:], name))
		}
	}
	return most.Seconds()
}

// usual is the median of what the builds of a name took, the first not counted; 0
// if there were none.
func usual(chain []Ancestor, name string) float64 {
	var all []float64
	for _, a := range chain {
		if took, ok := a.Work[name]; ok {
			all = append(all, took)
		}
	}
	if len(all) < 2 {
		return 0
	}
	all = all[:len(all)-1]
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

// A Rule is asked about a working copy to commit when the head is no longer what
// the copy was cloned from: true puts it in the head's place, false leaves it
// beside. It may be asked several times before one commit is done; the last time
// counts. A nil Rule says false.
type Rule func(mine, head Generation) bool
