package ocidisk

import (
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
)

func TestChoose(t *testing.T) {
	const mib = 1 << 20
	type pack struct{ size, live int64 }
	for name, c := range map[string]struct {
		packs  []pack
		fresh  int64
		chosen []int
	}{
		"nothing new":            {[]pack{{20 * mib, 1}}, 0, nil},
		"mostly in use":          {[]pack{{20 * mib, 15 * mib}}, 100 * mib, nil},
		"mostly out of use":      {[]pack{{20 * mib, 11 * mib}}, 100 * mib, []int{0}},
		"too dear":               {[]pack{{20 * mib, 11 * mib}}, 10 * mib, nil},
		"the emptiest first":     {[]pack{{20 * mib, 2 * mib}, {20 * mib, mib}}, 10 * mib, []int{1}},
		"a little is always had": {[]pack{{20 * mib, 1000}}, 1, []int{0}},
	} {
		live := map[chunk.ID]int64{}
		var packs []*chunk.Pack
		for i, p := range c.packs {
			id := chunk.Sum([]byte{byte(i)})
			packs = append(packs, &chunk.Pack{Digest: id, Size: p.size, Raw: p.size})
			live[id] = p.live
		}
		got := choose(packs, live, c.fresh)
		if len(got) != len(c.chosen) {
			t.Errorf("%s: %d packs", name, len(got))
		}
		for _, i := range c.chosen {
			if !got[packs[i]] {
				t.Errorf("%s: pack %d stays", name, i)
			}
		}
	}
	// Many small packs are merged, whatever a commit sends.
	live := map[chunk.ID]int64{}
	var packs []*chunk.Pack
	for i := range maxSmall + 1 {
		id := chunk.Sum([]byte{byte(i)})
		packs = append(packs, &chunk.Pack{Digest: id, Size: 100_000, Raw: 100_000})
		live[id] = 100_000
	}
	if got := choose(packs, live, 1); len(got) != len(packs) {
		t.Errorf("%d of %d small packs are merged", len(got), len(packs))
	}
	if got := choose(packs[1:], live, 1); len(got) != 0 {
		t.Errorf("%d of few small packs are merged", len(got))
	}
}
