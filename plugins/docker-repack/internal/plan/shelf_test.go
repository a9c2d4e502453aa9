package plan

import (
	"fmt"
	"slices"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/pulltime"
	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// distribution is units of packages of two tiers and of some own files, small ones and large ones,
// as they compress.
func distribution(packages, small, large int) (out []*Unit) {
	add := func(g Group, name string, raw int64) {
		out = append(out, &Unit{
			Group: g, Raw: raw, Cost: float64(raw)/4.3 + headerCost, name: name,
			Entries: []layer.Entry{{Path: name, Inode: &layer.Inode{Type: layer.Regular, Size: raw}}},
		})
	}
	for tier := range Tier(tiers) {
		if tier == Own {
			packages /= 10
		}
		for p := range packages {
			g := Group{tier, fmt.Sprintf("%s %03d", tier, p)}
			for i := range small {
				add(g, fmt.Sprintf("%s/%03d/s%d", tier, p, i), 2000)
			}
			for i := range large {
				// Some packages have larger files than others.
				add(g, fmt.Sprintf("%s/%03d/l%d", tier, p, i), 50_000<<(p%3*2))
			}
		}
	}
	weigh(out)
	return out
}

func TestShelves(t *testing.T) {
	layers := divide(distribution(30, 100, 4), 20e6, 0)
	var all []*Unit
	at := map[*Unit]int{}
	for i, l := range layers {
		all = append(all, l.Units...)
		for _, u := range l.Units {
			at[u] = i
		}
	}
	if !slices.IsSortedFunc(all, func(a, b *Unit) int { return int(a.shelf()) - int(b.shelf()) }) {
		t.Error("the layers are not in the order of the shelves")
	}
	heft := map[shelf]int{}
	for _, u := range all {
		if s := u.shelf(); u.heft < heft[s] {
			t.Fatalf("%s of heft %d comes after heft %d", u.name, u.heft, heft[s])
		} else {
			heft[s] = u.heft
		}
	}
	for _, u := range all {
		if u.Group.Tier == Own && at[u] != len(layers)-1 {
			t.Fatalf("%s, which is no package's, is in layer %d of %d", u.name, at[u], len(layers))
		}
	}
	for s, want := range map[shelf]bool{smallSystem: false, smallLanguage: false, system: true, language: true} {
		if (heft[s] > 6) != want {
			t.Errorf("the largest files of shelf %d have heft %d", s, heft[s])
		}
	}
}

// A group has the same heft whatever the others are, so that it stays where it is.
func TestHeftIsTheGroupsOwn(t *testing.T) {
	hefts := func(units []*Unit) map[string]int {
		out := map[string]int{}
		for _, u := range units {
			out[u.name] = u.heft
		}
		return out
	}
	few, many := hefts(distribution(10, 20, 3)), hefts(distribution(25, 20, 3))
	for name, h := range few {
		if many[name] != h {
			t.Errorf("%s has heft %d, and %d among others", name, h, many[name])
		}
	}
}

// What the shelves are for: what takes long to unpack is unpacked while the rest comes.
func TestSmallFilesFirstMakesPullsFaster(t *testing.T) {
	const target = 50e6
	pull := func(layers []Layer, p pulltime.Profile, mbps float64) float64 {
		var in []pulltime.Layer
		for _, l := range layers {
			one := pulltime.Layer{Size: int64(l.Cost()), Zstd: true}
			for _, u := range l.Units {
				one.Raw += u.Raw + 512
				one.Entries++
			}
			in = append(in, one)
		}
		return pulltime.Simulate(in, p, pulltime.Link{Bandwidth: mbps * 1e6 / 8}, pulltime.Rates{}).Seconds
	}
	units := distribution(40, 400, 15)
	plain := distribution(40, 400, 15)
	for _, u := range plain { // as if all files were alike
		u.Raw, u.heft = tiny, 0
	}
	now, before := divide(units, target, 0), divide(plain, target, 0)
	for _, l := range before {
		for _, u := range l.Units {
			u.Raw = u.Entries[0].Size
		}
	}
	for _, profile := range pulltime.Profiles[:2] {
		for _, mbps := range []float64{50, 200, 1000} {
			ratio := pull(now, profile, mbps) / pull(before, profile, mbps)
			t.Logf("%s, %.0f Mb/s: %.3f", profile.Name, mbps, ratio)
			if ratio > 1 {
				t.Errorf("%s, %.0f Mb/s: takes %.3f of the time that it takes if all files are alike", profile.Name, mbps, ratio)
			}
		}
	}
}
