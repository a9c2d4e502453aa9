package repack

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
)

// However wrong estimates are, a layer that has enough units ends just below its limit,
// and the compressor is flushed a few times only.
func TestGaugeEndsAtTheLimit(t *testing.T) {
	const limit = 1e7
	rng := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		wrong, size := 0.75+0.6*rng.Float64(), 0.0
		flushes := 0
		g := &gauge{limit: limit, flush: func() (int64, error) { flushes++; return int64(size), nil }}
		admitted := 0
		for n := range 2000 {
			// Estimates are wrong as a whole, more so here and there, and for each file.
			real := rng.ExpFloat64() * 20_000
			u := &plan.Unit{Cost: real * wrong * (0.9 + 0.2*rng.Float64()) * (1 + 0.15*float64(n/100%2))}
			if g.admit(u) {
				size += real
				admitted++
			}
		}
		if size < 0.95*limit || size > 1.03*limit {
			t.Errorf("with estimates %.2f times what is true, the layer has %.3f of its limit", wrong, size/limit)
		}
		if flushes < 1 || flushes > 8 {
			t.Errorf("%d flushes", flushes)
		}
		if admitted+len(g.rest) != 2000 {
			t.Errorf("%d units are in the layer and %d are left, of 2000", admitted, len(g.rest))
		}
	}
}

func TestGaugeWithoutLimit(t *testing.T) {
	g := &gauge{flush: func() (int64, error) { t.Error("flushed"); return 0, nil }}
	for range 100 {
		if !g.admit(&plan.Unit{Cost: 1e9}) {
			t.Fatal("not admitted")
		}
	}
}

// A unit that is too large lets smaller ones pass; one that is larger than the limit
// is admitted if it is the first.
func TestGaugeLetsSmallerUnitsPass(t *testing.T) {
	size := int64(0)
	g := &gauge{limit: 100, flush: func() (int64, error) { return size, nil }}
	var got []bool
	for _, cost := range []int64{50, 60, 30, 30, 16, 3, 1} {
		ok := g.admit(&plan.Unit{Cost: float64(cost)})
		if got = append(got, ok); ok {
			size += cost
		}
	}
	want := []bool{true, false, true, false, true, true, true}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("unit %d: %v", i, got[i])
		}
	}
	if g = (&gauge{limit: 100}); !g.admit(&plan.Unit{Cost: 1000}) {
		t.Error("the layer would stay empty")
	}
}

func TestGaugeStopsWhenTheCompressorFails(t *testing.T) {
	why := errors.New("why")
	g := &gauge{limit: 100, flush: func() (int64, error) { return 0, why }}
	for range 10 {
		g.admit(&plan.Unit{Cost: 30})
	}
	if !errors.Is(g.err, why) || len(g.rest) == 0 {
		t.Errorf("%v, %d units are left", g.err, len(g.rest))
	}
}

// Units that keep together are admitted together or not at all.
func TestGaugeDividesNoFamily(t *testing.T) {
	g := &gauge{limit: 100, flush: func() (int64, error) { return 50, nil }}
	family := []*plan.Unit{{Cost: 30}, {Cost: 5}, {Cost: 25}}
	if !g.admit(&plan.Unit{Cost: 50}) || g.admit(family...) || len(g.rest) != 3 {
		t.Errorf("the rest is %v", g.rest)
	}
	if !g.admit(&plan.Unit{Cost: 30}) {
		t.Error("what still fits is not admitted")
	}
	if g = (&gauge{limit: 50}); !g.admit(family...) || len(g.rest) > 0 {
		t.Error("a family that is larger than the limit is not admitted as the first")
	}
}
