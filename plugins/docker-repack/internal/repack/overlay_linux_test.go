package repack_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/image"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// TestStacksAgainstOverlay repacks random stacks into layers of a few files, and
// lets the kernel stack these: it shows the tree that the source stands for.
func TestStacksAgainstOverlay(t *testing.T) {
	RequireOverlay(t)
	var outputs, several atomic.Int64
	RunStacks(t, 50, func(seed uint64) string {
		rng := rand.New(rand.NewPCG(seed, 6))
		tars := Random(t, rng, 1+rng.IntN(5), anything)
		want := merged(t, tars)
		opts := repack.Options{TargetSize: 150 + rng.Int64N(1000), Level: "fast", Compression: "gzip", Jobs: 1 + rng.IntN(2)}
		if seed%16 == 0 { // its encoder takes most of the time
			opts.Compression = "zstd"
		}
		out, r, err := repacked(t, tars, opts)
		if err != nil {
			return err.Error()
		}
		got, err := Overlay(out)
		if err != nil {
			return err.Error()
		}
		outputs.Add(1)
		if len(out) > 1 {
			several.Add(1)
		}
		if r.Images[0].Tree != want.Digest().String() {
			return fmt.Sprintf("the result's tree is %s", r.Images[0].Tree)
		}
		for i, data := range out {
			if err := plainlyWritten(data, want, i == len(out)-1); err != nil {
				return fmt.Sprintf("output layer %d: %v", i, err)
			}
		}
		return Compare(Lines(want), got)
	})
	if several.Load() < outputs.Load()/3 {
		t.Errorf("only %d of %d results had several layers", several.Load(), outputs.Load())
	}
}

// repacked returns the plain layers of a repacked image. All is in one directory
// below TMPDIR for as long as it takes.
func repacked(t *testing.T, tars [][]byte, opts repack.Options) ([][]byte, *repack.Result, error) {
	dir, err := os.MkdirTemp("", "stack")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	to, r, err := repackedIn(t, dir, tars, opts)
	if err != nil {
		return nil, nil, err
	}
	return plainLayers(t, imageOf(t, to)), r, nil
}

// repackedIn repacks an image of the layers within dir, and returns a reference to
// the result.
func repackedIn(t *testing.T, dir string, tars [][]byte, opts repack.Options) (string, *repack.Result, error) {
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	source := empty.Image
	for _, data := range tars {
		var err error
		if source, err = mutate.AppendLayers(source, tarLayer(t, data)); err != nil {
			return "", nil, err
		}
	}
	p, err := layout.Write(from, empty.Index)
	if err == nil {
		err = p.AppendImage(source)
	}
	if err != nil {
		return "", nil, err
	}
	dst, err := repack.OpenDestination(t.Context(), parse(t, "oci://"+to), image.Options{})
	if err != nil {
		return "", nil, err
	}
	opts.TempDir = dir
	r, err := repack.Run(t.Context(), resolve(t, parse(t, "oci://"+from)), dst, opts)
	return "oci://" + to, r, err
}
