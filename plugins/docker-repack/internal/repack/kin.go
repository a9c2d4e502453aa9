package repack

import (
	"cmp"
	"iter"
	"slices"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
)

const (
	// kinSize is the size from which on files are compared: smaller ones have few
	// marks, and are with others of their package.
	kinSize = 256 << 10
	// maxCompared bounds the marks that are compared, 8 MB of them: of more, only those of
	// some hashes are.
	maxCompared = 1 << 20
)

// kin finds the large files that have contents in common, by their marks. A mark
// stands for its part of what its frame takes in the spool. Of the units of a tier that
// have a mark, each is compared with the one that was read before it: such chains join
// what is alike as all pairs would, and are as long as there are marks.
func (s *scanned) kin(all []*plan.Unit) []plan.Kin {
	type part struct {
		unit  *plan.Unit
		worth float64 // of one mark, in compressed bytes
	}
	units := slices.DeleteFunc(slices.Clone(all), func(u *plan.Unit) bool { return u.Raw < kinSize })
	slices.SortStableFunc(units, func(a, b *plan.Unit) int { return cmp.Compare(a.Group.Tier, b.Group.Tier) })
	marks := 0
	for _, u := range units {
		for p := range s.piecesOf(u) {
			marks += len(p.frame.within(p.offset, p.size))
		}
	}
	some := uint32(marks/maxCompared + 1)
	// A mark is its hash and its part, in one number: they are sorted fastest as such.
	compared := make([]uint64, 0, min(marks, maxCompared))
	var parts []part
	for _, u := range units {
		for p := range s.piecesOf(u) {
			marks := p.frame.within(p.offset, p.size)
			for _, m := range marks {
				if m.hash%some == 0 {
					compared = append(compared, uint64(m.hash)<<32|uint64(len(parts)))
				}
			}
			parts = append(parts, part{u, p.packed / float64(max(1, len(marks))) * float64(some)})
		}
	}
	slices.Sort(compared)
	type pair struct{ a, b *plan.Unit }
	saved := map[pair]float64{}
	for i := 1; i < len(compared); i++ {
		if compared[i-1]>>32 != compared[i]>>32 {
			continue
		}
		a, b := parts[uint32(compared[i-1])], parts[uint32(compared[i])]
		if a.unit != b.unit {
			saved[pair{a.unit, b.unit}] += b.worth
		}
	}
	out := make([]plan.Kin, 0, len(saved))
	for p, n := range saved {
		out = append(out, plan.Kin{A: p.a, B: p.b, Saved: n})
	}
	return out
}

// piecesOf yields the parts of a unit's content.
func (s *scanned) piecesOf(u *plan.Unit) iter.Seq[piece] {
	segment, off := s.locate(u.First)
	return segment.pieces(off, u.Raw)
}
