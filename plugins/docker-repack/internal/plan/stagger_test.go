package plan

import (
	"slices"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/pulltime"
)

// many are so many units of one size.
func many(n int, cost float64) []*Unit { return unitsOf(slices.Repeat([]float64{cost}, n)...) }

func TestLowestLayersAreSmaller(t *testing.T) {
	for name, tt := range map[string]struct {
		units, below int
		want         []int
	}{
		"one layer stays one":       {100, 0, []int{100}},
		"a little more":             {150, 0, []int{33, 67, 50}},
		"whole layers":              {400, 0, []int{33, 67, 100, 100, 100}},
		"upon a small tier":         {400, 1, []int{67, 100, 100, 100, 33}},
		"upon kept layers":          {400, 2, []int{100, 100, 100, 100}},
		"the remainder comes later": {350, 0, []int{33, 67, 100, 100, 50}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			for _, l := range cut(many(tt.units, 1), 100, 100, tt.below) {
				got = append(got, len(l.Units))
			}
			if !slices.EqualFunc(got, tt.want, func(a, b int) bool { return a-b <= 5 && b-a <= 5 }) {
				t.Errorf("got layers of %v, want about %v", got, tt.want)
			}
		})
	}
}

// What they are for: engines have images of all sizes sooner than in even layers, at
// all links but those that hide all unpacking or none of it; and never later by more
// than what another layer costs.
func TestLowestLayersMakePullsFaster(t *testing.T) {
	const target, raw = 50e6, 4.3
	pull := func(layers []Layer, p pulltime.Profile, mbps float64) float64 {
		var in []pulltime.Layer
		for _, l := range layers {
			size := l.Cost()
			in = append(in, pulltime.Layer{Size: int64(size), Raw: int64(size * raw), Entries: int(size / 7000), Zstd: true})
		}
		return pulltime.Simulate(in, p, pulltime.Link{Bandwidth: mbps * 1e6 / 8}, pulltime.Rates{}).Seconds
	}
	for _, profile := range pulltime.Profiles[:2] {
		for _, layers := range []float64{1.2, 1.5, 2, 2.5, 3, 4, 5, 8, 20} {
			units := many(int(layers*500), target/500)
			now, before := cut(units, target, target, 0), cut(units, target, target, downloads)
			var sum float64
			for _, mbps := range []float64{50, 100, 200, 500, 1000} {
				ratio := pull(now, profile, mbps) / pull(before, profile, mbps)
				if sum += ratio; ratio > 1.02 {
					t.Errorf("%s, %.1f layers, %.0f Mb/s: takes %.3f of the time of even layers", profile.Name, layers, mbps, ratio)
				}
			}
			t.Logf("%s, %.1f layers: %.3f", profile.Name, layers, sum/5)
			if sum/5 > 1 {
				t.Errorf("%s, %.1f layers: takes %.3f of the time of even layers", profile.Name, layers, sum/5)
			}
		}
	}
}
