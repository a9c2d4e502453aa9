package repack_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// TestKeptLayersAgainstOverlay repacks random versions of an image, each upon the
// layers of the one before, of its own base, or both, and lets the kernel stack
// the results: it shows the trees that the sources stand for.
func TestKeptLayersAgainstOverlay(t *testing.T) {
	RequireOverlay(t)
	shape := anything
	shape.CrossLinks = false // the kernel knows none
	var results, keeping, hiding atomic.Int64
	RunStacks(t, 25, func(seed uint64) string {
		rng := rand.New(rand.NewPCG(seed, 14))
		dir, err := os.MkdirTemp("", "versions")
		if err != nil {
			return err.Error()
		}
		defer os.RemoveAll(dir)
		pool := Random(t, rng, 2+rng.IntN(5), shape)
		usePrevious, useBase := seed%3 != 0, seed%3 != 1
		var previous string
		for version := range 3 {
			tars := subset(rng, pool)
			want := merged(t, tars)
			opts := repack.Options{TargetSize: 150 + rng.Int64N(1500), Level: "fast", Compression: "gzip", Jobs: 1 + rng.IntN(2), Verify: seed%4 == 0}
			if useBase {
				opts.KeepBase = rng.IntN(1 + len(tars))
			}
			if usePrevious && previous != "" {
				s := resolve(t, parse(t, previous))
				opts.Previous = &s
			}
			at := filepath.Join(dir, fmt.Sprint(version))
			if err := os.Mkdir(at, 0o755); err != nil {
				return err.Error()
			}
			to, r, err := repackedIn(t, at, tars, opts)
			if err != nil {
				return fmt.Sprintf("version %d: %v", version, err)
			}
			previous = to
			out := plainLayers(t, imageOf(t, to))
			got, err := Overlay(out)
			if err != nil {
				return fmt.Sprintf("version %d: %v", version, err)
			}
			if diff := Compare(Lines(want), got); diff != "" {
				return fmt.Sprintf("version %d, %d of %d layers kept: %s", version, r.Images[0].LayersKept, len(out), diff)
			}
			kept := r.Images[0].LayersKept
			for i := kept; i < len(out); i++ {
				top := i == len(out)-1
				if err := plainlyWrittenBut(out[i], want, top, kept > 0 && top); err != nil {
					return fmt.Sprintf("version %d, output layer %d: %v", version, i, err)
				}
			}
			results.Add(1)
			if kept > 0 {
				keeping.Add(1)
				if kept < len(out) && hides(out[len(out)-1]) {
					hiding.Add(1)
				}
			}
		}
		return ""
	})
	t.Logf("%d of %d results keep layers, %d hide what those have", keeping.Load(), results.Load(), hiding.Load())
	if keeping.Load() < results.Load()/3 || hiding.Load() < results.Load()/10 {
		t.Error("too few of the results have what is to be tested")
	}
}

// subset takes some of the layers, in their order.
func subset(rng *rand.Rand, layers [][]byte) (out [][]byte) {
	for len(out) == 0 {
		for _, l := range layers {
			if rng.IntN(3) > 0 {
				out = append(out, l)
			}
		}
	}
	return out
}

// hides reports whether a layer has whiteouts.
func hides(data []byte) bool {
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err != nil {
			return false
		}
		if strings.HasPrefix(path.Base(h.Name), ".wh.") {
			return true
		}
	}
}
