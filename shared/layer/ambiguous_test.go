package layer_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// ambiguities merges and tells which shapes there are, and where.
func ambiguities(t testing.TB, layers ...[]byte) (*layer.Tree, map[layer.Shape][]string) {
	t.Helper()
	sets := make([]*layer.Changeset, len(layers))
	for i, data := range layers {
		var err error
		if sets[i], err = layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	found := map[layer.Shape][]string{}
	tree, err := layer.MergeObserved(sets, layer.Observer{Ambiguous: func(a layer.Ambiguity) {
		found[a.Shape] = append(found[a.Shape], fmt.Sprint(a.Path, " ", a.Layer))
	}})
	if err != nil {
		t.Fatal(err)
	}
	return tree, found
}

func TestAmbiguities(t *testing.T) {
	wide := func(name string) Entry {
		return Dir(name).With(func(h *tar.Header) { h.Mode = 0o1777 })
	}
	for name, tt := range map[string]struct {
		layers [][]byte
		want   map[layer.Shape][]string
	}{
		"what everybody reads alike": {[][]byte{
			Tar(t, wide("tmp"), Dir("d"), File("d/a", "1"), Link("b", "d/a"), Symlink("l", "d")),
			Tar(t, wide("tmp"), File("tmp/x", ""), Dir("d"), File("d/.wh..wh..opq", ""), File(".wh.b", ""), File("b2", ""), Link("c", "b2")),
		}, nil},
		"an opaque root over nothing": {[][]byte{Tar(t, File(".wh..wh..opq", ""), File("a", ""))}, nil},
		"a removed directory that comes back, listed or not": {[][]byte{
			Tar(t, Dir("d"), File("d/a", ""), Dir("e"), File("e/a", ""), Dir("f")),
			Tar(t, File(".wh.d", ""), Dir("d"), File(".wh.e", ""), File("e/b", ""), File(".wh.f", ""), Dir("f")),
		}, map[layer.Shape][]string{layer.Recreated: {"d 1", "e 1"}}},
		"a whiteout after the entry": {[][]byte{
			Tar(t, File("a", "")), Tar(t, File("a", ""), File(".wh.a", "")),
		}, map[layer.Shape][]string{layer.Recreated: {"a 1"}}},
		"directories twice": {[][]byte{Tar(t, Dir("d"), Dir("d"), File("e/x", ""), Dir("e"))}, nil},
		"bare parents, once each": {[][]byte{
			Tar(t, wide("tmp"), Dir("usual"), wide("tmp/d")), Tar(t, File("tmp/d/1", ""), File("tmp/d/2", ""), File("usual/x", "")), Tar(t, File("tmp/.wh.d", ""), wide("tmp")),
		}, map[layer.Shape][]string{layer.BareParent: {"tmp 1", "tmp/d 1"}}},
		"below symlinks": {[][]byte{
			Tar(t, Dir("d"), Symlink("l", "d")), Tar(t, File("l/a", ""), Symlink("own", "d"), File("own/b", "")),
		}, map[layer.Shape][]string{layer.BelowSymlink: {"l/a 1"}}},
		"links down, and links to these": {[][]byte{
			Tar(t, File("a", "")), Tar(t, Link("b", "a"), Link("c", "b")),
		}, map[layer.Shape][]string{layer.LinkBelow: {"b 1", "c 1"}}},
		"a whiteout after a directory": {[][]byte{
			Tar(t, Dir("d"), Dir("e"), File("e/x", "")), Tar(t, Dir("d"), File(".wh.d", ""), Dir("e"), File(".wh.e", ""), Dir("n"), File(".wh.n", "")),
		}, map[layer.Shape][]string{layer.Recreated: {"d 1", "n 1", "e 1"}}},
		"in the place of a file": {[][]byte{
			Tar(t, File("a", ""), File("b", ""), Dir("d"), File("d/c", ""), File("e", ""), Dir("t"), Symlink("s", "t")),
			Tar(t, Dir("a"), File("a/x/y/1", ""), File("a/x/2", ""), File("d/.wh.c", ""), Dir("d"), File("d/c/z/1", ""),
				Dir("b"), Dir("b/x"), File("b/x/1", ""), File("e/1", ""), Dir("s"), File("s/x/1", "")),
		}, map[layer.Shape][]string{layer.BelowFile: {"a/x 1", "a/x/y 1", "d/c/z 1"}}},
		"a root that is usual": {[][]byte{Tar(t, Dir("./"))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := ambiguities(t, tt.layers...)
			if tt.want == nil {
				tt.want = map[layer.Shape][]string{}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
