package plan

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCut(t *testing.T) {
	make := func(costs ...float64) (out []*Unit) {
		for _, c := range costs {
			out = append(out, &Unit{Cost: c})
		}
		return out
	}
	for name, tt := range map[string]struct {
		costs []float64
		n     int
		want  []int
	}{
		"nothing":                      {nil, 3, []int{0}},
		"one layer":                    {[]float64{1, 2, 3}, 1, []int{3}},
		"even":                         {[]float64{1, 1, 1, 1, 1, 1}, 3, []int{2, 2, 2}},
		"a huge one alone":             {[]float64{1, 1, 100, 1, 1}, 3, []int{2, 1, 2}},
		"fewer units than layers":      {[]float64{5, 5}, 9, []int{1, 1}},
		"the rest shares what is left": {[]float64{100, 1, 1, 1, 1}, 3, []int{1, 2, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			for _, l := range cut(make(tt.costs...), tt.n) {
				got = append(got, len(l))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Whatever the units, the cut keeps all of them in order, makes at most n layers,
// none empty, and none larger than its share and one unit.
func TestCutProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		var all []*Unit
		total, largest := 0.0, 0.0
		for range 1 + rng.IntN(200) {
			u := &Unit{Cost: rng.ExpFloat64() * 10}
			total, largest = total+u.Cost, max(largest, u.Cost)
			all = append(all, u)
		}
		n := 1 + rng.IntN(20)
		var flat []*Unit
		layers := cut(all, n)
		for _, l := range layers {
			sum := 0.0
			for _, u := range l {
				sum += u.Cost
			}
			if len(l) == 0 || sum > total/float64(n)+2*largest {
				t.Fatalf("a layer of %d units and %f of %f in %d layers", len(l), sum, total, n)
			}
			flat = append(flat, l...)
		}
		if len(layers) > n || !slices.Equal(flat, all) {
			t.Fatalf("%d layers for %d, order kept %v", len(layers), n, slices.Equal(flat, all))
		}
	}
}

// C13: a small target must not make an image that dockerd refuses.
func TestC13LayersAreCapped(t *testing.T) {
	var all []*Unit
	for range 10_000 {
		all = append(all, &Unit{Cost: 1e6})
	}
	p := Make(nil, all, 1e6)
	if len(p.Layers) != MaxLayers || !p.Capped {
		t.Errorf("%d layers, capped %v", len(p.Layers), p.Capped)
	}
}
