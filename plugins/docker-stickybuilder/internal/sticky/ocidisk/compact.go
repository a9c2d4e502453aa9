package ocidisk

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
)

const (
	// minLive is the part of a pack that has to be in use; packs with less are given
	// up and what is left of them is packed anew.
	minLive = 0.6
	// A commit sends at the most a part of what it sends anyway for that, or a little.
	compactShare = 0.2
	compactLeast = 32 << 10
	// smallPack is the size below which packs are many and hold little. Beyond
	// maxSmall of them, some are merged whatever a commit sends.
	smallPack  = 4 << 20
	maxSmall   = 24
	mergeBytes = 16 << 20
)

// compact packs anew what is left of packs that are mostly out of use, and merges small
// packs if there are too many, as far as the budget goes.
//
// The parent's inline packs are in the parent's manifest only, so what is left of them is
// packed anew in any case.
func (u *uploader) compact(parent *manifest) error {
	packs, live := u.tree.Packs()
	chosen := choose(packs, live, u.fresh)
	for _, p := range packs {
		if parent.inline[digestOf(p)] != nil {
			chosen[p] = true
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	done := map[chunk.ID]bool{}
	for i := range u.tree.Entries {
		e := &u.tree.Entries[i]
		var at int64
		for _, p := range e.Content {
			at += p.Hole
			place := u.tree.Places[p.ID]
			if chosen[place.Pack] && !done[p.ID] {
				data, err := readChunk(filepath.Join(u.root, e.Path), at, p.Size)
				if err != nil {
					return err
				}
				done[p.ID] = true
				// What is not what it was is left where it is, in its old pack.
				if chunk.Sum(data) == p.ID {
					if err := u.add(p.ID, data, classOf(e.Path)); err != nil {
						return err
					}
				}
			}
			at += int64(p.Size)
		}
	}
	return nil
}

func readChunk(path string, offset int64, size int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, size)
	_, err = f.ReadAt(data, offset)
	return data, err
}

// choose returns the packs to give up, those with the least in use first.
func choose(packs []*chunk.Pack, live map[chunk.ID]int64, fresh int64) map[*chunk.Pack]bool {
	used := func(p *chunk.Pack) float64 { return float64(live[p.Digest]) / float64(p.Raw) }
	cost := func(p *chunk.Pack) int64 { return int64(used(p) * float64(p.Size)) }
	chosen := map[*chunk.Pack]bool{}
	budget := max(compactLeast, int64(compactShare*float64(fresh)))
	if fresh == 0 {
		return chosen // a commit that changes nothing sends nothing
	}
	sorted := slices.Clone(packs)
	slices.SortStableFunc(sorted, func(a, b *chunk.Pack) int { return cmp.Compare(used(a), used(b)) })
	for _, p := range sorted {
		if p.Size > 0 && used(p) < minLive && cost(p) <= budget {
			chosen[p] = true
			budget -= cost(p)
		}
	}
	var small []*chunk.Pack
	for _, p := range packs {
		if p.Size > 0 && p.Size < smallPack && !chosen[p] {
			small = append(small, p)
		}
	}
	if len(small) <= maxSmall {
		return chosen
	}
	slices.SortStableFunc(small, func(a, b *chunk.Pack) int { return cmp.Compare(a.Size, b.Size) })
	budget = mergeBytes
	for _, p := range small {
		if cost(p) > budget {
			break
		}
		chosen[p] = true
		budget -= cost(p)
	}
	return chosen
}
