package treeindex_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
)

func id(n int) chunk.ID { return chunk.Sum(fmt.Append(nil, n)) }

// forest has one entry of each kind, and then many files.
func forest(files int) *treeindex.Tree {
	t := &treeindex.Tree{Places: map[chunk.ID]chunk.Location{}}
	packs := []*chunk.Pack{{Digest: id(-1), Size: 5000, Raw: 100_000_000, Encoding: chunk.Zstd}, {Digest: id(-2), Size: 77, Raw: 77}}
	t.Entries = []treeindex.Entry{
		{Path: "a", Kind: treeindex.Dir, Mode: 0o1777, UID: 1, GID: 1 << 31, Seconds: -5, Nanos: 999_999_999, Xattrs: []treeindex.Xattr{{"trusted.overlay.opaque", "y"}, {"user.\xff", "\x00\xfe"}}},
		{Path: "a/\xff\xfe", Kind: treeindex.File, Mode: 0o4755, Size: 1 << 40, Content: []treeindex.Piece{{Hole: 1 << 30, Size: 40, ID: id(1)}, {Size: 37, ID: id(2)}}},
		{Path: "a.b", Kind: treeindex.Symlink, Mode: 0o777, Target: "../../etc\nx"},
		{Path: "dev", Kind: treeindex.CharDev, Major: 5, Minor: 1 << 20},
		{Path: "disk", Kind: treeindex.BlockDev, Major: 8},
		{Path: "link", Kind: treeindex.Hardlink, Target: "a/\xff\xfe"},
		{Path: "pipe", Kind: treeindex.Fifo, Mode: 0o600},
		{Path: "sock", Kind: treeindex.Socket},
		{Path: "whiteout", Kind: treeindex.CharDev},
		{Path: "z", Kind: treeindex.Dir, Mode: 0o755},
	}
	t.Places[id(1)] = chunk.Location{Pack: packs[1]}
	t.Places[id(2)] = chunk.Location{Pack: packs[1], Offset: 40}
	for i := range files {
		t.Entries = append(t.Entries, treeindex.Entry{Path: fmt.Sprintf("z/%08d", i), Kind: treeindex.File, Size: 10, Content: []treeindex.Piece{{Size: 10, ID: id(100 + i)}}})
		t.Places[id(100+i)] = chunk.Location{Pack: packs[0], Offset: int64(10 * i)}
	}
	return t
}

func encode(t testing.TB, tree *treeindex.Tree) [][]byte {
	t.Helper()
	parts, err := treeindex.Encode(tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 3, 20_000} {
		tree := forest(n)
		parts := encode(t, tree)
		got, err := treeindex.Decode(parts)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tree, got); d != "" {
			t.Error(d)
		}
		if again := encode(t, got); !slices.EqualFunc(again, parts, bytes.Equal) {
			t.Error("encoding again gives other bytes")
		}
		packs, live := got.Packs()
		if len(packs) != min(n, 1)+1 || live[packs[0].Digest] != 77 || got.Bytes() != int64(77+10*n) || got.Find("a.b") == nil || got.Find("a.c") != nil {
			t.Errorf("packs %v, live %v", packs, live)
		}
	}
	if got, err := treeindex.Decode(encode(t, &treeindex.Tree{})); err != nil || len(got.Entries) != 0 {
		t.Errorf("an empty tree: %v, %v", got, err)
	}
}

func TestAChangeTouchesFewParts(t *testing.T) {
	before := forest(50_000)
	parts := encode(t, before)
	known := map[string]bool{}
	for _, p := range parts {
		known[string(p)] = true
	}
	after := forest(50_000)
	at := len(after.Entries) / 2
	after.Entries = slices.Delete(after.Entries, at, at+3)
	fresh := 0
	for _, p := range encode(t, after) {
		if !known[string(p)] {
			fresh++
		}
	}
	if len(parts) < 5 || fresh == 0 || fresh > 2 {
		t.Errorf("%d of %d parts are new", fresh, len(parts))
	}
}

func TestOrder(t *testing.T) {
	sorted := []string{"a", "a/b", "a/b/c", "a/b.c", "a.b", "a0", "b"}
	for i, a := range sorted {
		for j, b := range sorted {
			if got := treeindex.Compare(a, b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s and %s: %d", a, b, got)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for name, change := range map[string]func(*treeindex.Tree){
		"up":       func(t *treeindex.Tree) { t.Entries[9].Path = "z/../../etc" },
		"absolute": func(t *treeindex.Tree) { t.Entries[9].Path = "/etc" },
		"dot":      func(t *treeindex.Tree) { t.Entries[9].Path = "z/." },
		"in a link": func(t *treeindex.Tree) {
			t.Entries[9].Path, t.Entries[8].Path = "z/x", "z"
			t.Entries[8].Kind = treeindex.Symlink
			t.Entries[8].Target = "/"
		},
		"in nothing":               func(t *treeindex.Tree) { t.Entries[9].Path = "zz/x" },
		"twice":                    func(t *treeindex.Tree) { t.Entries[9].Path = "whiteout" },
		"out of order":             func(t *treeindex.Tree) { t.Entries[9].Path = "b" },
		"long":                     func(t *treeindex.Tree) { t.Entries[9].Path = "z" + strings.Repeat("z", 300) },
		"zero":                     func(t *treeindex.Tree) { t.Entries[9].Path = "z\x00" },
		"link to later":            func(t *treeindex.Tree) { t.Entries[5].Target = "pipe" },
		"link to a dir":            func(t *treeindex.Tree) { t.Entries[5].Target = "a" },
		"link to none":             func(t *treeindex.Tree) { t.Entries[5].Target = "none" },
		"beyond the end":           func(t *treeindex.Tree) { t.Entries[1].Size = 1 << 30 },
		"chunk elsewhere":          func(t *treeindex.Tree) { t.Places[id(1)] = chunk.Location{Pack: t.Places[id(1)].Pack, Offset: 40} },
		"huge pack":                func(t *treeindex.Tree) { t.Places[id(1)].Pack.Size = 1 << 40 },
		"mode":                     func(t *treeindex.Tree) { t.Entries[9].Mode = 0o100755 },
		"kind":                     func(t *treeindex.Tree) { t.Entries[9].Kind = 'x' },
		"nanoseconds":              func(t *treeindex.Tree) { t.Entries[9].Nanos = 1e9 },
		"empty symlink":            func(t *treeindex.Tree) { t.Entries[2].Target = "" },
		"attributes without names": func(t *treeindex.Tree) { t.Entries[9].Xattrs = []treeindex.Xattr{{"", ""}, {"", ""}} },
		"an attribute twice":       func(t *treeindex.Tree) { t.Entries[9].Xattrs = []treeindex.Xattr{{"user.x", ""}, {"user.x", ""}} },
		"attribute": func(t *treeindex.Tree) {
			t.Entries[9].Xattrs = []treeindex.Xattr{{"user.x", strings.Repeat("x", 1<<17)}}
		},
	} {
		tree := forest(0)
		if name == "chunk elsewhere" {
			tree.Places[id(2)] = chunk.Location{Pack: tree.Places[id(1)].Pack}
		}
		change(tree)
		if _, err := treeindex.Decode(encode(t, tree)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestNewer(t *testing.T) {
	z, _ := zstd.NewWriter(nil)
	if _, err := treeindex.Decode([][]byte{z.EncodeAll([]byte("stickyi\x02whatever"), nil)}); !errors.Is(err, treeindex.ErrNewer) {
		t.Errorf("%v", err)
	}
	if _, err := treeindex.Decode([][]byte{z.EncodeAll(make([]byte, 300<<20), nil)}); err == nil {
		t.Error("a bomb was taken")
	}
}

// Whatever bytes there are: an error, or a tree that survives being written again.
func FuzzDecode(f *testing.F) {
	d, _ := zstd.NewReader(nil)
	z, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	raw, _ := d.DecodeAll(encode(f, forest(5))[0], nil)
	f.Add(raw)
	for i := range 20 {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		b := bytes.Clone(raw)
		b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		tree, err := treeindex.Decode([][]byte{z.EncodeAll(raw, nil)})
		if err != nil {
			return
		}
		again, err := treeindex.Decode(encode(t, tree))
		if err != nil {
			t.Fatalf("encoded again: %v", err)
		}
		if d := cmp.Diff(tree.Entries, again.Entries); d != "" {
			t.Error(d)
		}
	})
}
