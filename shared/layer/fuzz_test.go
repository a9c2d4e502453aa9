package layer_test

import (
	"bytes"
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
	for _, tt := range corpus {
		for _, l := range tars(f, tt.layers) {
			f.Add(l)
		}
	}
	f.Add(sparse(3 << 10))
	f.Fuzz(func(t *testing.T, data []byte) {
		contents := map[int]*bytes.Buffer{}
		set, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{Limits: small, File: func(ordinal int, _ int64) (io.Writer, error) {
			contents[ordinal] = &bytes.Buffer{}
			return contents[ordinal], nil
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
func rewrite(t testing.TB, tree *layer.Tree, contents map[int]*bytes.Buffer) []byte {
	var entries []Entry
	for e := range tree.All() {
		link, body := "", ""
		if e.Link != e.Path {
			link = e.Link
		}
		if b := contents[e.Source.Ordinal]; e.Type == layer.Regular && b != nil && link == "" {
			body = b.String()
		}
		entries = append(entries, Entry{Header: *e.Header(e.Path, link), Body: body})
	}
	return Tar(t, entries...)
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
