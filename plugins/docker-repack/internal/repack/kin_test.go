package repack

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// spooled are contents of one source layer, and units of them.
func spooled(t testing.TB, contents ...[]byte) (*scanned, []*plan.Unit) {
	t.Helper()
	sp, err := newSpool(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sp.close)
	c := &contentsBuilder{segment: sp.segment(t.Context())}
	var units []*plan.Unit
	for _, b := range contents {
		units = append(units, c.unit(int64(len(b)), put(t, c.segment, b)))
	}
	if err := c.segment.end(nil); err != nil {
		t.Fatal(err)
	}
	return c.scanned(), units
}

type contentsBuilder struct {
	segment *segment
	contents
}

func (c *contentsBuilder) unit(size, offset int64) *plan.Unit {
	n := int32(len(c.ordinals))
	c.ordinals, c.offsets = append(c.ordinals, n), append(c.offsets, offset)
	at := layer.Position{Ordinal: n}
	e := layer.Entry{Path: fmt.Sprintf("f%04d", n), Inode: &layer.Inode{Type: layer.Regular, Size: size, Source: at}}
	return &plan.Unit{Entries: []layer.Entry{e}, Raw: size, First: at}
}

func (c *contentsBuilder) scanned() *scanned {
	return &scanned{contents: []*contents{{c.segment, c.ordinals, c.offsets}}}
}

func random(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 15))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(rng.Uint32())
	}
	return out
}

// What pairs save is about what they have in common, wherever in them it is.
func TestKinByContent(t *testing.T) {
	const part = 3 << 20
	common, own := random(1, part), func(n uint64) []byte { return random(10+n, part/2) }
	s, units := spooled(t,
		own(1),
		slices.Concat(own(2), common),
		own(3),
		slices.Concat(common[:part/3], own(4), common[part/3:]),
		common[:kinSize/2], // too small to be looked at
		slices.Concat(common[part/3:part/2+1000], own(5)),
	)
	want := map[[2]int]float64{{1, 3}: part, {3, 5}: part / 6}
	got := s.kin(units)
	for _, k := range got {
		pair := [2]int{slices.Index(units, k.A), slices.Index(units, k.B)}
		if saved, ok := want[pair]; !ok || k.Saved < 0.8*saved || k.Saved > 1.2*saved {
			t.Errorf("%v saves %.0f, want %.0f", pair, k.Saved, saved)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d pairs, want %d", len(got), len(want))
	}
	// A unit of another tier is not between those of one.
	units[3].Group.Tier = plan.Own
	if got := s.kin(units); !slices.ContainsFunc(got, func(k plan.Kin) bool { return k.A == units[1] && k.B == units[5] }) {
		t.Errorf("what a unit of another tier has as well is not seen: %v", got)
	}
}

// alike are units of so many frames of 512 marks each, of which every other unit has
// half in common with the one before it.
func alike(units, frames int) (*scanned, []*plan.Unit) {
	rng := rand.New(rand.NewPCG(2, 15))
	c := &contentsBuilder{segment: &segment{}}
	var out []*plan.Unit
	var before []*frame
	for i := range units {
		var own []*frame
		for n := range frames {
			f := &frame{length: frameSize / 3, raw: frameSize}
			for k := range 512 {
				h := rng.Uint32()
				if i%2 == 1 && k%2 == 0 {
					h = before[n].marks[k].hash
				}
				f.marks = append(f.marks, mark{uint32(k * frameSize / 512), h})
			}
			own = append(own, f)
		}
		out = append(out, c.unit(int64(frames)*frameSize, int64(len(c.segment.frames))*frameSize))
		c.segment.frames = append(c.segment.frames, own...)
		before = own
	}
	return c.scanned(), out
}

// Where there are more marks than are compared, some of them tell the same.
func TestKinBySomeOfManyMarks(t *testing.T) {
	const frames = 100
	units := 4 * maxCompared / (frames * 512)
	s, all := alike(units, frames)
	want := float64(frames * (frameSize / 3) / 2)
	pairs := 0
	for _, k := range s.kin(all) {
		a, b := slices.Index(all, k.A), slices.Index(all, k.B)
		switch {
		case b == a+1 && b%2 == 1:
			if pairs++; math.Abs(k.Saved-want) > want/20 {
				t.Errorf("%d and %d save %.0f, want %.0f", a, b, k.Saved, want)
			}
		case k.Saved > want/100: // two marks may have one hash by chance
			t.Errorf("%d and %d save %.0f", a, b, k.Saved)
		}
	}
	if pairs != units/2 {
		t.Errorf("%d pairs of %d units", pairs, units)
	}
}

// BenchmarkKin is what it costs to compare as many marks as ever are.
func BenchmarkKin(b *testing.B) {
	const frames = 20
	s, all := alike(maxCompared/(frames*512), frames)
	for b.Loop() {
		plan.Relate(s.kin(all), DefaultTargetSize, 32<<20)
	}
}
