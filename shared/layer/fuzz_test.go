package layer_test

import (
	"archive/tar"
	"bytes"
	"hash"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

var small = layer.Limits{Entries: 1000, Bytes: 1 << 20, Metadata: 1 << 20}

// FuzzScan reads arbitrary bytes as layers: whatever is accepted must survive
// being written out and read again.
func FuzzScan(f *testing.F) {
	for _, c := range Torture(f) {
		for _, l := range c.Layers {
			if len(l) < 10_000 {
				f.Add(l)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		contents := map[layer.Position]*bytes.Buffer{}
		set, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{Limits: small, File: func(ordinal int, _ int64, _ hash.Hash) (io.Writer, error) {
			b := &bytes.Buffer{}
			contents[layer.Position{Ordinal: int32(ordinal)}] = b
			return b, nil
		}})
		if err != nil {
			return
		}
		tree, err := layer.Merge([]*layer.Changeset{set})
		if err != nil {
			return
		}
		again := merge(t, rewrite(t, tree, contents))
		if d := layer.Diff(tree, again); len(d) > 0 || tree.Digest() != again.Digest() {
			t.Errorf("written and read again it differs in %v", d)
		}
	})
}

// rewrite writes a tree as one layer.
func rewrite(t testing.TB, tree *layer.Tree, contents map[layer.Position]*bytes.Buffer) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for e := range tree.All() {
		link := ""
		if e.Link != e.Path {
			link = e.Link
		}
		h := e.Header(e.Path, link)
		if err := w.WriteHeader(h); err != nil {
			t.Fatalf("writing the header of %q: %v", e.Path, err)
		}
		if h.Size > 0 {
			if _, err := w.Write(contents[e.Source].Bytes()); err != nil {
				t.Fatalf("writing %q: %v", e.Path, err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// FuzzMerge compares random stacks with the oracle.
func FuzzMerge(f *testing.F) {
	f.Add(uint64(1), uint8(2))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8) {
		layers := Random(t, rand.New(rand.NewPCG(seed, 2)), 1+int(n%8), allFreedoms)
		want := naive{}
		for _, l := range layers {
			want.apply(t, l)
		}
		if diff := cmp.Diff(want.lines(), asNaive(merge(t, layers...))); diff != "" {
			t.Errorf("(-oracle +merge):\n%s", diff)
		}
	})
}
