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
		"too much for one layer": {[]float64{1, 1, 1, 1.5}, 4, "[2 2]"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			for _, l := range cut(unitsOf(tt.costs...), tt.target) {
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
		layers := cut(all, target)
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

// Many small units make even layers.
func TestEven(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for range 100 {
		var costs []float64
		total := 0.0
		for range 3000 {
			costs = append(costs, rng.ExpFloat64())
			total += costs[len(costs)-1]
		}
		layers := cut(unitsOf(costs...), 300)
		mean := total / float64(len(layers))
		for i, l := range layers {
			if c := l.Cost(); c < 0.9*mean || c > 1.1*mean {
				t.Fatalf("layer %d is %f, the mean %f", i, c, mean)
			}
		}
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
