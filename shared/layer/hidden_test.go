package layer_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// observe merges and also returns what was hidden and how many bytes of contents
// the layers had.
func observe(t testing.TB, layers ...[]byte) (tree *layer.Tree, hidden []layer.Hidden, all int64) {
	t.Helper()
	sets := make([]*layer.Changeset, len(layers))
	for i, data := range layers {
		var err error
		if sets[i], err = layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{}); err != nil {
			t.Fatal(err)
		}
		all += sets[i].Bytes
	}
	tree, err := layer.MergeObserved(sets, layer.Observer{Hidden: func(h layer.Hidden) { hidden = append(hidden, h) }})
	if err != nil {
		t.Fatal(err)
	}
	return tree, hidden, all
}

func TestMergeObserved(t *testing.T) {
	base := Tar(t, Dir("d"), File("d/a", "aa"), Dir("d/s"), File("d/s/b", "bbb"), File("e", "e"))
	for name, tt := range map[string]struct {
		layers [][]byte
		want   []string // path, layer of the name, layer that hid it, how
	}{
		"nothing": {[][]byte{base}, nil},
		"a whiteout": {
			[][]byte{base, Tar(t, File(".wh.e", ""))},
			[]string{"e 0 1 deleted"},
		},
		"a whiteout of nothing": {[][]byte{base, Tar(t, File(".wh.x", ""))}, nil},
		"a whiteout of a directory": {
			[][]byte{base, Tar(t, File("e", "x")), Tar(t, File(".wh.d", ""))},
			[]string{"e 0 1 replaced", "d 0 2 deleted", "d/a 0 2 deleted", "d/s 0 2 deleted", "d/s/b 0 2 deleted"},
		},
		"an opaque marker": {
			[][]byte{base, Tar(t, File("d/a", "new"), File("d/.wh..wh..opq", ""))},
			[]string{"d/a 0 1 emptied", "d/s 0 1 emptied", "d/s/b 0 1 emptied"},
		},
		"a file for a file":           {[][]byte{base, Tar(t, File("e", "e"))}, []string{"e 0 1 replaced"}},
		"a directory for a directory": {[][]byte{base, Tar(t, Dir("d"))}, nil},
		"a file for a directory": {
			[][]byte{base, Tar(t, File("d", ""))},
			[]string{"d 0 1 replaced", "d/a 0 1 replaced", "d/s 0 1 replaced", "d/s/b 0 1 replaced"},
		},
		"an implied directory for a file": {[][]byte{base, Tar(t, File("e/f", ""))}, []string{"e 0 1 replaced"}},
		"twice in one layer":              {[][]byte{Tar(t, File("e", "1"), File("e", "2"))}, []string{"e 0 0 replaced"}},
		"behind a symlink": {
			[][]byte{Tar(t, Dir("d"), File("d/a", "1"), Symlink("l", "d")), Tar(t, File("l/.wh.a", ""))},
			[]string{"d/a 0 1 deleted"},
		},
		"a name given by an upper layer": {
			[][]byte{base, Tar(t, Link("f", "e")), Tar(t, File(".wh.f", ""))},
			[]string{"f 1 2 deleted"},
		},
		"auxiliary files": {
			[][]byte{Tar(t, File(".wh..wh.plnk/1.2", "linked"), File(".wh..wh.plnk/3.4", "not"), Link("a", ".wh..wh.plnk/1.2"))},
			[]string{".wh..wh.plnk/3.4 0 0 unlinked"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, hidden, _ := observe(t, tt.layers...)
			var got []string
			for _, h := range hidden {
				got = append(got, fmt.Sprint(h.Path, " ", h.Layer, " ", h.By, " ", h.How))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Content lives as long as any name leads to it.
func TestHiddenNameOfALinkedFile(t *testing.T) {
	tree, hidden, _ := observe(t,
		Tar(t, File("a", "content"), Link("b", "a")),
		Tar(t, File(".wh.a", "")))
	b, _ := tree.Lookup("b")
	if len(hidden) != 1 || hidden[0].Path != "a" || hidden[0].Inode != b.Inode {
		t.Errorf("hidden %v, b %v", hidden, b)
	}
}

// Every content is in the tree or was hidden, never both nor neither; observing
// changes nothing, and its order depends on the layers alone.
func TestHiddenAndLiveAreAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	deaths := 0
	for range 1500 {
		stack := Random(t, rng, 1+rng.IntN(5), Shape{Implied: true, CrossLinks: true, RootOpaque: true, Duplicates: true, Spelling: true})
		tree, hidden, all := observe(t, stack...)
		_, again, _ := observe(t, stack...)
		if a, b := fmt.Sprint(paths(hidden)), fmt.Sprint(paths(again)); a != b {
			t.Fatalf("%s, then %s", a, b)
		}
		if tree.Digest() != merge(t, stack...).Digest() {
			t.Fatal("observing changed the tree")
		}
		seen := map[*layer.Inode]bool{}
		var live, dead int64
		for e := range tree.All() {
			if !seen[e.Inode] {
				seen[e.Inode] = true
				live += e.Size
			}
		}
		for _, h := range hidden {
			if h.Layer > h.By || int(h.Source.Layer) > h.Layer {
				t.Fatalf("%q: of layer %d, named in %d, hidden in %d", h.Path, h.Source.Layer, h.Layer, h.By)
			}
			if !seen[h.Inode] {
				seen[h.Inode] = true
				dead += h.Size
			}
		}
		if live+dead != all {
			t.Fatalf("%d live, %d dead, %d in all", live, dead, all)
		}
		if dead > 0 {
			deaths++
		}
	}
	if deaths < 100 {
		t.Errorf("only %d stacks had dead contents", deaths)
	}
}

func paths(hidden []layer.Hidden) []string {
	var out []string
	for _, h := range hidden {
		out = append(out, h.Path)
	}
	return out
}
