package repack_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

func digestsOf(t testing.TB, ref string) []v1.Hash {
	t.Helper()
	m, err := imageOf(t, ref).Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var out []v1.Hash
	for _, l := range m.Layers {
		out = append(out, l.Digest)
	}
	return out
}

// Whatever the versions of an image, a result that keeps layers of an earlier one
// stands for its own source.
func TestRandomPrevious(t *testing.T) {
	host := newRegistry(t)
	reused, hidden := 0, 0
	seeds := Seeds(t, 8)
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 11))
		all := [][]byte{Tar(t, Dir("a"), Dir("a/b"), Dir("b"), File("a/b/n1", noise(seed, 900_000)), File("n2", noise(seed+1, 900_000)), File("b/n3", noise(seed+2, 900_000)))}
		all = append(all, Random(t, rng, 5, anything)...)
		all = append(all, Tar(t, File("a/.wh.b", ""), File("b/n4", noise(seed+9, 50_000))))
		previous := ""
		for version := range 5 {
			tars := all[:3+version]
			from, to := fmt.Sprintf("%s/r%d:%d", host, seed, version), fmt.Sprintf("%s/r%d:%d-out", host, seed, version)
			push(t, from, makeImage(t, "linux/amd64", tars...))
			opts := repack.Options{TargetSize: repack.MinTargetSize, Level: "fast", Jobs: 2, Verify: true}
			if previous != "" {
				s := resolve(t, parse(t, previous))
				opts.Previous = &s
			}
			r := run(t, from, to, opts)
			reused += r.Images[0].LayersKept
			out := plainLayers(t, imageOf(t, to))
			if d := layer.Diff(merged(t, tars), merged(t, out)); len(d) > 0 {
				t.Fatalf("seed %d, version %d: %v", seed, version, d)
			}
			if bytes.Contains(out[len(out)-1], []byte("/.wh.")) {
				hidden++
			}
			previous = to
		}
	}
	if uint64(reused) < seeds || uint64(hidden) < seeds/5 {
		t.Errorf("%d layers were kept, %d names hidden", reused, hidden)
	}
}

// Base layers stay byte for byte, whatever lies upon them.
func TestRandomKeepBase(t *testing.T) {
	host := newRegistry(t)
	for seed := range Seeds(t, 20) {
		rng := rand.New(rand.NewPCG(seed, 12))
		tars := Random(t, rng, 2+rng.IntN(4), anything)
		base := 1 + rng.IntN(len(tars))
		from, to := fmt.Sprintf("%s/b:%d", host, seed), fmt.Sprintf("%s/b:%d-out", host, seed)
		push(t, from, makeImage(t, "linux/amd64", tars...))
		r := run(t, from, to, repack.Options{TargetSize: repack.MinTargetSize, Level: "fast", Jobs: 2, Verify: true, KeepBase: base})
		before, after := digestsOf(t, from), digestsOf(t, to)
		if r.Images[0].LayersKept != base || !slices.Equal(before[:base], after[:base]) {
			t.Fatalf("seed %d: %d layers kept of %d", seed, r.Images[0].LayersKept, base)
		}
		if d := layer.Diff(merged(t, tars), merged(t, plainLayers(t, imageOf(t, to)))); len(d) > 0 {
			t.Fatalf("seed %d: %v", seed, d)
		}
		config, err := imageOf(t, to).ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		owned := 0
		for i, h := range config.History {
			if !h.EmptyLayer {
				owned++
				if i < base && h.CreatedBy != "RUN something" {
					t.Errorf("the history of base layer %d is %+v", i, h)
				}
			}
		}
		if owned != len(after) {
			t.Errorf("%d of %d layers are in the history", owned, len(after))
		}
	}
}

// Ten versions of an image whose application changes each time, and whose packages
// do now and then: what has to be sent is about what has changed.
func TestTenVersions(t *testing.T) {
	host := newRegistry(t)
	sent := map[bool]int64{}
	var changed int64
	packages := make([]uint64, 40)
	app := make([]uint64, 20)
	rng := rand.New(rand.NewPCG(1, 13))
	size := func(i int) int { return 40_000 + i*5_000 }
	have := map[bool]map[v1.Hash]bool{true: {}, false: {}}
	for version := range 10 {
		if version > 0 {
			for range 3 {
				i := rng.IntN(len(app))
				app[i] = uint64(version*1000 + i)
			}
			if version%3 == 0 {
				i := rng.IntN(len(packages))
				packages[i] = uint64(version*1000 + 500 + i)
			}
		}
		var os, own []Entry
		when := time.Unix(int64(1_700_000_000+version*1000), 0) // of directories, as each build makes them anew
		dir := func(name string) Entry {
			d := Dir(name)
			d.ModTime = when
			return d
		}
		os = append(os, dir("usr"), dir("usr/lib"), dir("usr/share"), dir("var/lib/dpkg/info"))
		for i, v := range packages {
			name := fmt.Sprintf("pkg%02d", i)
			body := noise(uint64(i)<<32+v, size(i))
			if version > 0 && v/1000 == uint64(version) {
				changed += int64(len(body))
			}
			os = append(os, File("usr/lib/"+name+".so", body), File("usr/share/"+name, name),
				File("var/lib/dpkg/info/"+name+".list", "/usr/lib/"+name+".so\n/usr/share/"+name+"\n"))
		}
		own = append(own, dir("app"))
		for i, v := range app {
			body := noise(uint64(i+100)<<32+v, 30_000)
			if version > 0 && v/1000 == uint64(version) {
				changed += int64(len(body))
			}
			own = append(own, File(fmt.Sprintf("app/f%02d", i), body))
		}
		from := fmt.Sprintf("%s/v:%d", host, version)
		push(t, from, makeImage(t, "linux/amd64", Tar(t, os...), Tar(t, own...)))
		for _, keep := range []bool{true, false} {
			to := fmt.Sprintf("%s/v:%d-%v", host, version, keep)
			opts := repack.Options{TargetSize: repack.MinTargetSize, Level: "fast", Jobs: 2, Verify: true}
			if keep && version > 0 {
				s := resolve(t, parse(t, fmt.Sprintf("%s/v:%d-true", host, version-1)))
				opts.Previous = &s
			}
			run(t, from, to, opts)
			m, err := imageOf(t, to).Manifest()
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range m.Layers {
				if version > 0 && !have[keep][l.Digest] {
					sent[keep] += l.Size
				}
				have[keep][l.Digest] = true
			}
		}
	}
	kept, anew := float64(sent[true])/float64(changed), float64(sent[false])/float64(changed)
	t.Logf("%d bytes have changed; %.2f times that are sent with --previous, %.2f times without", changed, kept, anew)
	if kept > 1.3 || anew > 8 {
		t.Error("more is sent than has to be")
	}
}

// An earlier result is for the same platform if engines say so: arm64 is arm64/v8.
// Of two that are, the one counts that says it in the same way.
func TestPreviousOfTheSameVariant(t *testing.T) {
	host := newRegistry(t)
	tars := [][]byte{Tar(t, File("a", noise(1, 50_000)))}
	for platform, others := range map[string][]string{
		"linux/arm64": {"linux/arm64/v8"}, "linux/arm64/v8": {"linux/arm64"}, "linux/arm": {"linux/arm/v6", "linux/arm/v7"},
		"linux/arm/v7": {"linux/arm", "linux/arm/v7"},
	} {
		var images []v1.Image
		for i, other := range others {
			what := tars
			if i < len(others)-1 {
				what = [][]byte{Tar(t, File("x", noise(2, 50_000)))}
			}
			images = append(images, makeImage(t, other, what...))
		}
		push(t, host+"/old", indexOf(t, images...))
		run(t, host+"/old", host+"/old:out", repack.Options{})
		previous := resolve(t, parse(t, host+"/old:out"))
		push(t, host+"/new", makeImage(t, platform, append(tars, Tar(t, File("b", "1")))...))
		r, err := tryRun(t, host+"/new", host+"/new:out", repack.Options{Previous: &previous, Verify: true})
		if err != nil || r.Images[0].LayersKept != 1 {
			t.Errorf("%s upon %v: %+v, %v", platform, others, r, err)
		}
	}
}

// The number of layers that is asked for holds for kept layers of both kinds
// together.
func TestMaxLayersWithBaseAndPrevious(t *testing.T) {
	host := newRegistry(t)
	var tars [][]byte
	for i := range uint64(10) {
		tars = append(tars, Tar(t, File(fmt.Sprintf("f%d", i), noise(i, 900_000))))
	}
	push(t, host+"/old", makeImage(t, "linux/amd64", tars[4:]...))
	run(t, host+"/old", host+"/old:out", repack.Options{TargetSize: repack.MinTargetSize, Level: "fast", Jobs: 2})
	previous := resolve(t, parse(t, host+"/old:out"))

	push(t, host+"/new", makeImage(t, "linux/amd64", tars...))
	r := run(t, host+"/new", host+"/new:out", repack.Options{
		TargetSize: repack.MinTargetSize, Level: "fast", Jobs: 2, KeepBase: 4, Previous: &previous, MaxLayers: 8, Verify: true,
	})
	if i := r.Images[0]; i.LayersAfter > 8 || i.LayersKept < 4 {
		t.Errorf("%d layers, %d of them kept, of at most 8", i.LayersAfter, i.LayersKept)
	}
}
