package plan

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	"github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// sourced are units of some costs, of a thousand bytes for each byte that they cost, in
// the order of the source.
func sourced(costs ...float64) []*Unit {
	all := unitsOf(costs...)
	for i, u := range all {
		u.First = layer.Position{Ordinal: int32(i)}
		u.Raw = int64(u.Cost * 1000)
		u.Entries = []layer.Entry{{Path: u.name, Inode: &layer.Inode{Type: layer.Regular, Size: u.Raw}}}
	}
	return all
}

// related tells which units, by their number, are one.
func related(all []*Unit) string {
	var out []string
	for _, head := range all {
		var members []string
		for i, u := range all {
			if u.head == head {
				members = append(members, fmt.Sprint(i))
			}
		}
		if len(members) > 0 {
			out = append(out, strings.Join(members, "+"))
		}
	}
	return strings.Join(out, " ")
}

func TestRelate(t *testing.T) {
	type pair struct {
		a, b  int
		saved float64
	}
	const target, window = 1000, 500_000
	for name, tt := range map[string]struct {
		costs []float64
		pairs []pair
		want  string
	}{
		"nothing":                       {[]float64{100, 100}, nil, ""},
		"two":                           {[]float64{100, 100, 100}, []pair{{0, 2, 50}}, "0+2"},
		"a chain":                       {[]float64{100, 100, 100, 100}, []pair{{0, 2, 50}, {2, 3, 40}}, "0+2+3"},
		"two families":                  {[]float64{100, 100, 100, 100}, []pair{{0, 3, 50}, {1, 2, 40}}, "0+3 1+2"},
		"too little of a layer":         {[]float64{20, 20}, []pair{{0, 1, 4.9}}, ""},
		"just enough of a layer":        {[]float64{20, 20}, []pair{{0, 1, 5}}, "0+1"},
		"too little of the smaller":     {[]float64{100, 400}, []pair{{0, 1, 9.9}}, ""},
		"too much for a layer":          {[]float64{400, 400, 400}, []pair{{0, 1, 50}, {1, 2, 80}}, "1+2"},
		"a layer's worth with the gain": {[]float64{400, 400, 400}, []pair{{0, 1, 150}, {1, 2, 100}}, "0+1+2"},
		"further apart than the window": {[]float64{600, 300}, []pair{{0, 1, 100}}, ""},
		"the window of each pair":       {[]float64{400, 400, 400, 100}, []pair{{0, 1, 200}, {1, 2, 200}, {0, 3, 50}}, "0+1+2"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // and once more, in the other order
				all := sourced(tt.costs...)
				var kin []Kin
				for _, p := range tt.pairs {
					kin = append(kin, Kin{all[p.a], all[p.b], p.saved})
				}
				if Relate(kin, target, window); related(all) != tt.want {
					t.Errorf("got %q, want %q", related(all), tt.want)
				}
				slices.Reverse(tt.pairs)
			}
		})
	}
}

func TestKinOfDifferentTiersStayApart(t *testing.T) {
	all := sourced(100, 100)
	all[0].Group.Tier, all[1].Group.Tier = System, Own
	if Relate([]Kin{{all[0], all[1], 90}}, 1000, 1e9); related(all) != "" {
		t.Error(related(all))
	}
}

// A family is in one layer, with nothing between and in the order of the source, whether it
// comes first there or not, and also where it is what another layer had no room for.
func TestFamiliesShareALayer(t *testing.T) {
	tree, err := layer.Merge(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, cost := range []float64{3, 12} {
		costs := slices.Repeat([]float64{1}, 600)
		members := []int{120, 350, 580}
		for _, i := range members {
			costs[i] = cost
		}
		all := sourced(costs...)
		rng := rand.New(rand.NewPCG(7, 1))
		for i, n := range rng.Perm(len(all)) {
			all[i].First.Ordinal = int32(n)
		}
		family := []*Unit{all[120], all[350], all[580]}
		Relate([]Kin{{family[0], family[1], 2}, {family[1], family[2], 2}}, 100, 1e9)
		slices.SortFunc(family, inSource)
		together := func(p *Plan) {
			t.Helper()
			for i, l := range p.Layers {
				if at := slices.Index(l.Units, family[0]); at >= 0 && at+3 <= len(l.Units) && slices.Equal(l.Units[at:at+3], family) {
					return
				} else if at >= 0 {
					t.Errorf("layer %d of %d has not all of the family, next to each other", i, len(p.Layers))
				}
			}
		}
		p := Make(tree, all, Options{Target: 100})
		together(p)
		// The layers have no room for half of their units, the family among them.
		ends := make([]End, len(p.Layers))
		for i, l := range p.Layers {
			if l.Waits {
				continue
			}
			n := 0
			for units := range l.Families() {
				if n += len(units); len(units) > 1 || n > len(l.Units)/2 {
					ends[i].Rest = append(ends[i].Rest, units...)
				} else {
					ends[i].Size += units[0].Cost
				}
			}
		}
		next, _ := p.Settle(ends)
		together(next)
	}
}

// What writes a layer is asked once for a family, and leaves out all of it or nothing.
func TestFamiliesAreAdmittedWhole(t *testing.T) {
	set, err := layer.Scan(t.Context(), bytes.NewReader(layertest.Tar(t,
		layertest.File("a", "1111"), layertest.File("b", "22222"), layertest.File("c", "333333"))), layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := layer.Merge([]*layer.Changeset{set})
	if err != nil {
		t.Fatal(err)
	}
	all := Units(tree, func(in *layer.Inode) float64 { return float64(in.Size) }, 100, nil)
	Relate([]Kin{{all[0], all[2], 60}}, 1000, 1000)
	p := Make(tree, all, Options{Target: 1000})
	for refused, want := range map[int]string{0: "a c b", 1: "a c", 2: "b"} {
		var got []string
		for item := range p.Items(0, func(units ...*Unit) bool { return len(units) != refused }) {
			if item.Path != "." {
				got = append(got, item.Path)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("without families of %d: got %v, want %s", refused, got, want)
		}
	}
}

// Without kin, or with such as are not worth it, plans are the same to the last unit.
func TestNoKinSamePlan(t *testing.T) {
	tree, err := layer.Merge(nil)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(8, 1))
	for range 200 {
		var costs []float64
		for range 50 + rng.IntN(300) {
			costs = append(costs, 1+rng.ExpFloat64()*10)
		}
		all := sourced(costs...)
		want := describe(Make(tree, all, Options{Target: 300}))
		var little []Kin
		for range 50 {
			a, b := all[rng.IntN(len(all))], all[rng.IntN(len(all))]
			little = append(little, Kin{a, b, min(a.Cost, b.Cost) * 0.09})
		}
		for _, kin := range [][]Kin{nil, little} {
			Relate(kin, 300, 1e9)
			if got := describe(Make(tree, all, Options{Target: 300})); got != want {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
		}
	}
}

func describe(p *Plan) string {
	var out strings.Builder
	for _, l := range p.Layers {
		fmt.Fprintf(&out, "%v %v %.0f:", l.Indivisible, l.Waits, l.Limit)
		for _, u := range l.Units {
			fmt.Fprint(&out, " ", u.name)
		}
		fmt.Fprintln(&out)
	}
	return out.String()
}

// Whatever is kin to what, in whatever order that is told: the plan is the same, each
// unit is in it once, families are whole and in no layer of another tier, and layers are
// about as even as without.
func TestKinProperties(t *testing.T) {
	tree, err := layer.Merge(nil)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(9, 1))
	inFamilies, layers, off := 0, 0, 0
	for range 500 {
		var costs []float64
		for range 100 + rng.IntN(400) {
			costs = append(costs, rng.ExpFloat64())
		}
		groups := make([]Group, len(costs))
		for i := range groups {
			groups[i] = Group{Tier: Tier(rng.IntN(tiers)), Key: fmt.Sprint(rng.IntN(20))}
		}
		var of [][2]int
		var saved []float64
		for range rng.IntN(60) {
			a, b := rng.IntN(len(costs)), rng.IntN(len(costs))
			if a != b {
				of = append(of, [2]int{min(a, b), max(a, b)})
				saved = append(saved, rng.Float64()*min(costs[a], costs[b]))
			}
		}
		target, window := int64(30+rng.IntN(40)), int64(rng.IntN(50_000))
		planned := func() *Plan {
			all := sourced(costs...)
			for i, u := range all {
				u.Group = groups[i]
			}
			var kin []Kin
			for _, i := range rng.Perm(len(of)) {
				kin = append(kin, Kin{all[of[i][0]], all[of[i][1]], saved[i]})
			}
			Relate(kin, target, window)
			return Make(tree, all, Options{Target: target})
		}
		p := planned()
		if got, want := describe(planned()), describe(p); got != want {
			t.Fatalf("the plan depends on the order of kin: got\n%s\nwant\n%s", got, want)
		}
		in := map[*Unit]int{}
		count := 0
		for i, l := range p.Layers {
			tail := i == len(p.Layers)-1 || p.Layers[i+1].section != l.section
			if c := l.Cost() / float64(target); !tail && l.goal == float64(target) {
				if layers++; c < 0.9*aim || c > 1.1*aim {
					off++
				}
			}
			for _, u := range l.Units {
				if count++; in[u.place()] != 0 && in[u.place()] != i+1 {
					t.Fatalf("a family is in layers %d and %d", in[u.place()]-1, i)
				}
				if in[u.place()] = i + 1; u.place().Group.Tier != u.Group.Tier {
					t.Fatal("a family crosses tiers")
				}
				if u.head != nil {
					inFamilies++
				}
			}
		}
		if count != len(costs) {
			t.Fatalf("%d of %d units", count, len(costs))
		}
	}
	if inFamilies < 1000 {
		t.Errorf("only %d units are in families", inFamilies)
	}
	if t.Logf("%d of %d layers are not within a tenth of their size", off, layers); off*20 > layers {
		t.Errorf("%d of %d layers are not within a tenth of their size", off, layers)
	}
}
