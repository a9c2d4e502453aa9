package layer_test

import (
	"math/rand/v2"
	"testing"

	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// TestMergeAgainstOverlay holds the merged tree against what the kernel shows of
// the same layers.
func TestMergeAgainstOverlay(t *testing.T) {
	RequireOverlay(t)
	shape := Shape{Implied: true, RootOpaque: true, Duplicates: true, Spelling: true, Capabilities: true}
	RunStacks(t, 150, func(seed uint64) string {
		rng := rand.New(rand.NewPCG(seed, 3))
		layers := Random(t, rng, 1+rng.IntN(5), shape)
		want, err := Overlay(layers)
		if err != nil {
			return err.Error()
		}
		got, err := tryMerge(t, layers...)
		if err != nil {
			return err.Error()
		}
		return Compare(want, Lines(got))
	})
}

func TestTortureAgainstOverlay(t *testing.T) {
	RequireOverlay(t)
	for _, c := range Torture(t) {
		if c.Differ[Kernel]+c.Lost[Kernel] != "" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			got, err := Overlay(c.Layers)
			if err != nil {
				t.Fatal(err)
			}
			if diff := Compare(BelowRoot(Expect(c.Want)), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
