package plan

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

func unitsOf(costs ...float64) (out []*Unit) {
	for i, c := range costs {
		out = append(out, &Unit{Cost: c, name: fmt.Sprintf("d%d/f%d", i/10, i)})
	}
	return out
}

func TestCut(t *testing.T) {
	for name, tt := range map[string]struct {
		costs  []float64
		target float64
		want   string
	}{
		"nothing":                {nil, 3, "[0]"},
		"one layer":              {[]float64{1, 2, 3}, 6, "[3]"},
		"even":                   {[]float64{1, 1, 1, 1, 1, 1}, 2, "[2 2 2]"},
		"a huge one alone":       {[]float64{1, 1, 100, 1, 1}, 2, "[2 1 2]"},
		"a large one waits":      {[]float64{1, 1, 1, 3, 1, 1, 2, 2}, 4, "[4 2 2]"},
		"hardly more than fits":  {[]float64{1, 1, 1, 1.2}, 4, "[4]"},
		"too much for one layer": {[]float64{1, 1, 1, 1.5}, 4, "[3 1]"},
		"a remainder":            {[]float64{1, 1, 1, 1, 1}, 2, "[2 2 1]"},
		"even rather than full":  {[]float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0.5, 0.5}, 3.8, "[4 4 4]"},
		"the right ones of many": {[]float64{6, 6, 6, 6, 7, 7, 4, 4, 4, 4, 3, 3}, 10, "[2 2 2 2 2 2]"},
		"small ones for large":   {[]float64{5, 5, 6, 6, 6, 2, 2, 2, 2, 1, 1, 1, 1}, 10, "[2 3 3 5]"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			for _, l := range cut(unitsOf(tt.costs...), tt.target, tt.target, downloads) {
				got = append(got, len(l.Units))
			}
			if fmt.Sprint(got) != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Whatever the units, each is in one layer, no layer is empty, and all but those of
// a single huge unit are of about one size, if units are small.
func TestCutProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		var costs []float64
		for range 1 + rng.IntN(300) {
			costs = append(costs, rng.ExpFloat64()*10)
		}
		all := unitsOf(costs...)
		target := 20 + rng.Float64()*500
		seen := map[*Unit]bool{}
		layers := cut(all, target, target, rng.IntN(3))
		for i, l := range layers {
			if len(l.Units) == 0 || l.Indivisible != (l.Cost() > target*tolerance && len(l.Units) == 1) {
				t.Fatalf("layer %d: %d units, %f of %f, indivisible %v", i, len(l.Units), l.Cost(), target, l.Indivisible)
			}
			if !l.Indivisible && l.Cost() > target*1.5+20 {
				t.Fatalf("layer %d of %d is %f, the target %f", i, len(layers), l.Cost(), target)
			}
			for _, u := range l.Units {
				if seen[u] {
					t.Fatal("a unit is there twice")
				}
				seen[u] = true
			}
		}
		if len(seen) != len(all) {
			t.Fatalf("%d of %d units", len(seen), len(all))
		}
	}
}

// Small units make layers of the target size, even ones: all but the last are within
// a tenth of the target, and if all are, of one another.
func TestEven(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for range 300 {
		var costs []float64
		for range 200 + rng.IntN(3000) {
			costs = append(costs, rng.ExpFloat64())
		}
		target := 100 + rng.Float64()*300
		layers := cut(unitsOf(costs...), target, target, downloads)
		for i, l := range layers {
			if c := l.Cost(); c > 1.1*target || (c < 0.9*target && i < len(layers)-1) {
				t.Fatalf("layer %d of %d is %f, the target %f", i, len(layers), c, target)
			}
		}
	}
}

// Units of a tenth of a layer and more, which are hard to combine, fill all layers
// but two or three while there are small ones between them.
func TestEvenLarge(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	layers, off := 0, 0
	for range 200 {
		var costs []float64
		for range 30 + rng.IntN(100) {
			c := rng.ExpFloat64() * 3
			if rng.IntN(3) == 0 {
				c = 10 + rng.Float64()*85
			}
			costs = append(costs, c)
		}
		out := cut(unitsOf(costs...), 100, 100, downloads)
		for _, l := range out[:len(out)-1] {
			layers++
			if c := l.Cost(); c < 90 || c > 110 {
				off++
			}
		}
	}
	if off*8 > layers {
		t.Errorf("%d of %d layers are not within a tenth of the target", off, layers)
	}
}

// C13: a small target must not make an image that dockerd refuses.
func TestC13LayersAreCapped(t *testing.T) {
	var all []*Unit
	for i := range 10_000 {
		all = append(all, &Unit{Cost: 1e6, name: fmt.Sprint(i)})
	}
	tree, err := layer.Merge(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := Make(tree, all, Options{Target: 1e6})
	if len(p.Layers) > DefaultMaxLayers || len(p.Layers) < DefaultMaxLayers/2 || !p.Capped {
		t.Errorf("%d layers, capped %v", len(p.Layers), p.Capped)
	}
}
