//go:build e2e

package repack_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// TestEnginesUnpackTheTortureCorpus puts all cases into one image, each below a
// directory of its own, repacks it into several layers, and lets engines pull the
// result: all of them see the tree that is expected of the source.
func TestEnginesUnpackTheTortureCorpus(t *testing.T) {
	cases := Torture(t)
	layers, want := Together(t, cases)
	host := environment(t, "DOCKERFACTORY_REGISTRY")
	judges := engines(t)
	source := publish(t, host, "torture", layers)
	for _, compression := range repack.Compressions {
		to := source + "-" + compression
		r := run(t, source, to, repack.Options{TargetSize: 3000, Compression: compression, Verify: true})
		withdraw(t, to)
		if n := r.Images[0].LayersAfter; n < 3 {
			t.Errorf("%d layers only", n)
		}
		for judge, pull := range judges {
			t.Run(fmt.Sprint(judge, " ", compression), func(t *testing.T) {
				got, err := pull(t, to)
				if (judge == OldEngine || judge == Umoci) && compression != "gzip" {
					if err == nil {
						t.Error("it is read, though it is documented that it is not")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if diff := Compare(Shown(judge, cases, BelowRoot(Expect(want))), Shown(judge, cases, got)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// TestEnginesUnpackRandomStacks does the same with random stacks, many in an
// image; LAYER_STACKS says how many.
func TestEnginesUnpackRandomStacks(t *testing.T) {
	const together = 25
	host, judges := environment(t, "DOCKERFACTORY_REGISTRY"), engines(t)
	RunStacks(t, together, func(seed uint64) string {
		if seed%together != 0 {
			return "" // goes with the first of its image
		}
		stacks := make([][][]byte, together)
		for i := range stacks {
			rng := rand.New(rand.NewPCG(seed+uint64(i), 9))
			stacks[i] = Random(t, rng, 1+rng.IntN(5), anything)
		}
		tars := Beside(t, stacks)
		source := publish(t, host, fmt.Sprintf("random%d", seed), tars)
		run(t, source, source+"-out", repack.Options{TargetSize: 4000, Level: "fast", Compression: "gzip"})
		withdraw(t, source+"-out")
		want := Lines(merged(t, tars))
		for judge, pull := range judges {
			got, err := pull(t, source+"-out")
			if err != nil {
				return fmt.Sprintf("%s: %v", judge, err)
			}
			if diff := Compare(want, got); diff != "" {
				return fmt.Sprintf("%s %s", judge, diff)
			}
		}
		return ""
	})
}

// TestEnginesReadTheCasesAsNoted tells whether the notes of who differs are true,
// by letting engines unpack the cases as they are. It is slow, and about engines
// more than about repacking, so it runs on request.
func TestEnginesReadTheCasesAsNoted(t *testing.T) {
	if os.Getenv("LAYER_JUDGES") == "" {
		t.Skip("set LAYER_JUDGES=1")
	}
	host := environment(t, "DOCKERFACTORY_REGISTRY")
	for judge, pull := range engines(t) {
		for i, c := range Torture(t) {
			t.Run(fmt.Sprint(judge, "/", c.Name), func(t *testing.T) {
				got, err := pull(t, publish(t, host, fmt.Sprintf("case%d", i), c.Layers))
				diff := Compare(BelowRoot(Expect(c.Want)), got)
				switch note := c.Differ[judge] + c.Lost[judge]; {
				case note == "" && err != nil:
					t.Error(err)
				case note == "" && diff != "":
					t.Error(diff)
				case note != "" && err == nil && diff == "":
					t.Errorf("reads it as expected, though it is noted: %s", note)
				case note != "":
					t.Logf("%s: %v %s", note, err, diff)
				}
			})
		}
	}
}

// publish pushes an image to the testbed's registry for as long as the test runs.
func publish(t *testing.T, host, name string, layers [][]byte) string {
	t.Helper()
	ref := fmt.Sprintf("%s/repack-judges/p%d:%s", host, os.Getpid(), name)
	push(t, ref, ociImage(t, layers))
	withdraw(t, ref)
	return ref
}

// withdraw deletes an image from the registry at the end of the test.
func withdraw(t *testing.T, ref string) {
	t.Cleanup(func() {
		name := mustName(t, ref)
		d, err := remote.Head(name)
		if err == nil {
			err = remote.Delete(name.Context().Digest(d.Digest.String()))
		}
		if err != nil {
			t.Logf("deleting %s: %v", ref, err)
		}
	})
}

// TestEnginesUnpackKeptLayers does the same with versions of images of which each
// keeps layers of the one before, the last one those of its own base too.
func TestEnginesUnpackKeptLayers(t *testing.T) {
	const together = 25
	host, judges := environment(t, "DOCKERFACTORY_REGISTRY"), engines(t)
	var kept, hiding atomic.Int64
	RunStacks(t, together, func(seed uint64) string {
		if seed%together != 0 {
			return "" // goes with the first of its image
		}
		rng := rand.New(rand.NewPCG(seed, 15))
		pools, stacks := make([][][]byte, together), make([][][]byte, together)
		for i := range pools {
			pools[i] = Random(t, rng, 5, Shape{Spelling: true, Capabilities: true})
		}
		previous := ""
		for version := range 4 {
			for i := range stacks {
				if version > 0 && rng.IntN(5) > 0 {
					continue // as it was
				}
				// As base layers stay, so do their shapes.
				for stacks[i] = nil; stacks[i] == nil || readInManyWays(t, stacks[i]); {
					stacks[i] = subset(rng, pools[i])
					if rng.IntN(4) == 0 {
						pools[i] = Random(t, rng, 5, Shape{Spelling: true, Capabilities: true})
					}
				}
			}
			tars := Beside(t, stacks)
			source := publish(t, host, fmt.Sprintf("version%d-%d", seed, version), tars)
			opts := repack.Options{TargetSize: 1000, Level: "fast", Compression: "gzip"}
			if previous != "" {
				s := resolve(t, parse(t, previous))
				opts.Previous = &s
			}
			if version == 3 {
				opts.KeepBase = 1 + rng.IntN(len(tars))
			}
			previous = source + "-out"
			r := run(t, source, previous, opts)
			withdraw(t, previous)
			kept.Add(int64(r.Images[0].LayersKept))
			out := plainLayers(t, imageOf(t, previous))
			if r.Images[0].LayersKept < len(out) && hides(out[len(out)-1]) {
				hiding.Add(1)
			}
			want := Lines(merged(t, tars))
			for judge, pull := range judges {
				got, err := pull(t, previous)
				if err != nil {
					return fmt.Sprintf("version %d, %s: %v", version, judge, err)
				}
				if diff := Compare(want, got); diff != "" {
					return fmt.Sprintf("version %d, %d of %d layers kept, %s %s", version, r.Images[0].LayersKept, len(out), judge, diff)
				}
			}
		}
		return ""
	})
	t.Logf("%d layers are kept, %d results hide what those have", kept.Load(), hiding.Load())
	if kept.Load() < 5 || hiding.Load() < 2 {
		t.Error("too few of the results have what is to be tested")
	}
}

// readInManyWays reports whether engines differ about the layers: that they are
// ambiguous, or that one hides a name that it also has, be it on top of nothing.
func readInManyWays(t *testing.T, tars [][]byte) (found bool) {
	t.Helper()
	var sets []*layer.Changeset
	for _, data := range tars {
		set, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, set)
		alone := merged(t, [][]byte{data})
		for r := tar.NewReader(bytes.NewReader(data)); ; {
			h, err := r.Next()
			if err != nil {
				break
			}
			if hidden, ok := strings.CutPrefix(path.Base(h.Name), ".wh."); ok {
				_, there := alone.Lookup(path.Join(strings.TrimLeft(path.Dir(h.Name), "./"), hidden))
				found = found || there
			}
		}
	}
	if _, err := layer.MergeObserved(sets, layer.Observer{Ambiguous: func(layer.Ambiguity) { found = true }}); err != nil {
		t.Fatal(err)
	}
	return found
}
