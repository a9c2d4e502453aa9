package layer_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	"github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// TestLikeChangesNothing scans random stacks in the light of a tree that is theirs,
// or nearly: what they merge to is the same, and what is equal takes no memory.
func TestLikeChangesNothing(t *testing.T) {
	var shared, all atomic.Int64
	layertest.RunStacks(t, 300, func(seed uint64) string {
		rng := rand.New(rand.NewPCG(seed, 21))
		stack := layertest.Random(t, rng, 1+rng.IntN(5), allFreedoms)
		want, err := tryMerge(t, stack...)
		if err != nil {
			return err.Error()
		}
		// The tree of some of the layers has other files, and other hard links.
		like, err := tryMerge(t, stack[:1+rng.IntN(len(stack))]...)
		if err != nil {
			return err.Error()
		}
		before := like.Digest()
		known := map[*layer.Inode]bool{}
		for e := range like.All() {
			known[e.Inode] = true
		}
		var sets []*layer.Changeset
		for _, data := range stack {
			set, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{Like: like})
			if err != nil {
				return err.Error()
			}
			sets = append(sets, set)
		}
		got, err := layer.Merge(sets)
		if err != nil {
			return err.Error()
		}
		for e := range got.All() {
			all.Add(1)
			if known[e.Inode] {
				shared.Add(1)
			}
		}
		if d := layer.Diff(want, got); len(d) > 0 || want.Digest() != got.Digest() {
			return fmt.Sprint(d)
		}
		if like.Digest() != before {
			return "the tree has changed"
		}
		return ""
	})
	if shared.Load() < all.Load()/10 {
		t.Errorf("%d of %d entries are shared", shared.Load(), all.Load())
	}
}
