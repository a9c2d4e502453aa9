package plan

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// Whatever the layers turn out to be, each unit is in one layer of its section, those
// that have been written stay in their order, there are no more layers than allowed,
// and it comes to an end.
func TestSettleProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	tree, err := layer.Merge(nil)
	if err != nil {
		t.Fatal(err)
	}
	cuts, capped := 0, 0
	for range 2000 {
		var all []*Unit
		tier := Tier(rng.IntN(tiers))
		for i := range 1 + rng.IntN(400) {
			if rng.IntN(150) == 0 && tier < Own {
				tier++
			}
			all = append(all, &Unit{Cost: rng.ExpFloat64(), name: fmt.Sprintf("d%d/f%d", i/10, i), Group: Group{Tier: tier}})
		}
		opts := Options{Target: int64(20 + rng.IntN(50)), MaxLayers: 3 + rng.IntN(20)}
		p := Make(tree, all, opts)
		sections := map[*Unit]int{}
		for _, l := range p.Layers {
			for _, u := range l.Units {
				sections[u] = l.section
			}
		}
		for round := 0; p.Waits(); round++ {
			if round > 6 {
				t.Fatal("it does not end")
			}
			ends := make([]End, len(p.Layers))
			for i, l := range p.Layers {
				if l.Waits || l.Written {
					continue
				}
				wrong := 0.8 + 0.5*rng.Float64()
				for _, u := range l.Units {
					if size := ends[i].Size + u.Cost*wrong; l.Limit == 0 || ends[i].Size == 0 || (size <= l.Limit && len(ends[i].Rest) == 0) {
						ends[i].Size = size
					} else {
						ends[i].Rest = append(ends[i].Rest, u)
					}
				}
				if len(ends[i].Rest) > 0 {
					cuts++
				}
			}
			next, was := p.Settle(ends)
			last := -1
			for i, l := range next.Layers {
				switch {
				case l.Written != (was[i] >= 0):
					t.Fatalf("layer %d was layer %d, written: %v", i, was[i], l.Written)
				case l.Written && (was[i] <= last || p.Layers[was[i]].Waits):
					t.Fatalf("layer %d comes after layer %d", was[i], last)
				}
				last = max(last, was[i])
			}
			p = next
		}
		if p.Len() > opts.MaxLayers {
			t.Fatalf("%d layers, at most %d", p.Len(), opts.MaxLayers)
		}
		if p.Capped {
			capped++
		}
		seen := map[*Unit]bool{}
		for i, l := range p.Layers {
			if final := i == len(p.Layers)-1 || p.Layers[i+1].section != l.section; !l.Written && !l.Indivisible && !p.Capped &&
				(l.Cost() > 1.15*p.target || (!final && l.Cost() < 0.85*p.target)) {
				t.Fatalf("layer %d of %d is %f, the target %f", i, len(p.Layers), l.Cost(), p.target)
			}
			if len(l.Units) == 0 {
				t.Fatalf("layer %d is empty", i)
			}
			strays := 0.0 // scraps of lower sections
			for _, u := range l.Units {
				if seen[u] || sections[u] > l.section {
					t.Fatal("a unit is there twice, or in a lower section")
				}
				seen[u] = true
				if sections[u] < l.section {
					strays += u.Cost
				}
			}
			if strays > p.target*least*float64(l.section) {
				t.Fatalf("layer %d has %f of lower sections, the target %f", i, strays, p.target)
			}
		}
		if len(seen) != len(all) {
			t.Fatalf("%d of %d units", len(seen), len(all))
		}
	}
	if cuts < 1000 || capped < 20 {
		t.Errorf("only %d layers had too much, and only %d plans too many layers", cuts, capped)
	}
}

// What is hardly too much for one layer makes one that is full, and another.
func TestHardlyTooMuchForOneLayer(t *testing.T) {
	for _, total := range []int{111, 115, 120, 121, 130} {
		if layers := cut(many(total*5, 0.2), 100, 100*aim, downloads); len(layers) != 2 || layers[0].Cost() < 100 {
			t.Errorf("%d: %d layers, the first one of %f", total, len(layers), layers[0].Cost())
		}
	}
}

// Layers end at what they are to have: the two lowest ones earlier than others.
func TestLimits(t *testing.T) {
	tree, err := layer.Merge(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := Make(tree, many(4000, 0.1), Options{Target: 100})
	var got []float64
	for _, l := range p.Layers {
		got = append(got, math.Round(l.Limit))
	}
	if fmt.Sprint(got) != "[35 70 105 105 0]" || !p.Layers[4].Waits {
		t.Errorf("got limits of %v", got)
	}
}
