package repack_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

var anything = Shape{Implied: true, CrossLinks: true, RootOpaque: true, Duplicates: true, Spelling: true, Capabilities: true}

// noise makes n bytes that do not compress, so that small files make many layers.
func noise(seed uint64, n int) string {
	b := make([]byte, 0, n+8)
	rng := rand.New(rand.NewPCG(seed, seed))
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return string(b[:n])
}

func TestRandomStacks(t *testing.T) {
	host := newRegistry(t)
	for seed := range Seeds(t, 10) {
		rng := rand.New(rand.NewPCG(seed, 4))
		tars := Random(t, rng, 1+rng.IntN(5), anything)
		// Something to fill several layers of the smallest target with, among the
		// directories that the random entries use.
		tars = append(tars, Tar(t, Dir("a"), Dir("a/b"), Dir("b"), File("a/b/n1", noise(seed, 900_000)), File("n2", noise(seed+1, 900_000)), File("b/n3", noise(seed, 900_000))))
		from, to := fmt.Sprintf("%s/r:%d", host, seed), fmt.Sprintf("%s/r:%d-out", host, seed)
		push(t, from, makeImage(t, "linux/amd64", tars...))
		r := run(t, from, to, repack.Options{TargetSize: repack.MinTargetSize, Level: "fast", Jobs: 2, Verify: true})
		out := plainLayers(t, imageOf(t, to))
		want := merged(t, tars)
		if d := layer.Diff(want, merged(t, out)); len(d) > 0 {
			t.Fatalf("seed %d: the trees differ: %v", seed, d)
		}
		if r.Images[0].Tree != want.Digest().String() || len(out) < 2 {
			t.Fatalf("seed %d: tree %s, %d layers", seed, r.Images[0].Tree, len(out))
		}
		for i, data := range out {
			if err := plainlyWritten(data, want, i == len(out)-1); err != nil {
				t.Fatalf("seed %d, output layer %d: %v", seed, i, err)
			}
		}
	}
}

// plainlyWritten checks what engines that unpack each layer alone rely on: each
// name once, no whiteouts, all parents first and with their final attributes
// (C8), hard links only to the same layer and with full attributes. Below the top
// layer, directories may have the time 0.
func plainlyWritten(data []byte, tree *layer.Tree, top bool) error {
	return plainlyWrittenBut(data, tree, top, false)
}

// plainlyWrittenBut is what plainlyWritten checks of a layer that, over kept ones,
// may have whiteouts: of names that are nowhere in the tree, in directories that
// the layer lists before.
func plainlyWrittenBut(data []byte, tree *layer.Tree, top, whiteouts bool) error {
	headers := map[string]*tar.Header{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(h.Name, "/")
		if headers[name] != nil {
			return fmt.Errorf("%q is there twice", name)
		}
		headers[name] = h
		if dir := path.Dir(name); dir != "." && headers[dir] == nil {
			return fmt.Errorf("%q comes without its parent", name)
		}
		if hidden, ok := strings.CutPrefix(path.Base(name), ".wh."); ok {
			if _, there := tree.Lookup(path.Join(path.Dir(name), hidden)); !whiteouts || there || h.Size > 0 {
				return fmt.Errorf("%q is a whiteout, of a name that is there: %v", name, there)
			}
			continue
		}
		e, ok := tree.Lookup(name)
		if !ok {
			return fmt.Errorf("%q is not in the tree", name)
		}
		want := e.Header(name, "")
		if h.Mode != want.Mode || h.Uid != want.Uid || h.Gid != want.Gid || (!h.ModTime.Equal(want.ModTime) && (top || e.Type != layer.Directory || h.ModTime.Unix() != 0)) || !reflect.DeepEqual(xattrs(h), xattrs(want)) {
			return fmt.Errorf("%q has the attributes %+v, not %+v", name, h, want)
		}
		if h.Typeflag == tar.TypeLink && headers[h.Linkname] == nil {
			return fmt.Errorf("%q links out of its layer, to %q", name, h.Linkname)
		}
		if h.Typeflag != tar.TypeLink && e.Link != "" && h.Size != e.Size {
			return fmt.Errorf("%q has %d bytes", name, h.Size)
		}
	}
}

func xattrs(h *tar.Header) map[string]string {
	out := map[string]string{}
	for k, v := range h.PAXRecords {
		if strings.HasPrefix(k, "SCHILY.xattr.") {
			out[k] = v
		}
	}
	return out
}

// TestTorture repacks each case of the corpus: what comes out is the tree that is
// expected of what went in, plainly written, and a warning tells of each shape that
// engines read in another way.
func TestTorture(t *testing.T) {
	for _, c := range Torture(t) {
		t.Run(c.Name, func(t *testing.T) {
			host := newRegistry(t)
			push(t, host+"/app", makeImage(t, "linux/amd64", c.Layers...))
			r := run(t, host+"/app", host+"/app:out", repack.Options{TargetSize: 500, Level: "fast", Verify: true})
			out := plainLayers(t, imageOf(t, host+"/app:out"))
			tree := merged(t, out)
			if diff := Compare(Expect(c.Want), AllLines(tree)); diff != "" {
				t.Errorf("%s %s", c.Why, diff)
			}
			for i, data := range out {
				if err := plainlyWritten(data, tree, i == len(out)-1); err != nil {
					t.Errorf("layer %d: %v", i, err)
				}
			}
			warnings := slices.DeleteFunc(r.Warnings, func(w string) bool { return strings.Contains(w, "target size") })
			if len(warnings) != len(c.Shapes) {
				t.Fatalf("warnings %q for the shapes %v", warnings, c.Shapes)
			}
			for i, s := range c.Shapes {
				if !strings.Contains(warnings[i], "linux/amd64: the layers have "+s.String()) {
					t.Errorf("warning %q for the shape %v", warnings[i], s)
				}
			}
		})
	}
}

// A target below the largest file is a wish that cannot be met: the result is
// right, and a warning tells of the larger layer.
func TestTargetBelowTheLargestFile(t *testing.T) {
	host := newRegistry(t)
	push(t, host+"/app", makeImage(t, "linux/amd64", Tar(t, File("small", "1"), File("large", noise(1, 3_000_000)), File("medium", noise(2, 1_500_000)))))
	r := run(t, host+"/app", host+"/app:out", repack.Options{TargetSize: repack.MinTargetSize, Verify: true})
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], `more than the target size (2, the largest "large" to about 3`) {
		t.Errorf("got %q", r.Warnings)
	}
	if r = run(t, host+"/app", host+"/app:out2", repack.Options{}); len(r.Warnings) > 0 {
		t.Errorf("got %q", r.Warnings)
	}
	// What is no layer of its own is not told.
	push(t, host+"/app", makeImage(t, "linux/amd64", Tar(t, File("small", "1"), File("hardly", noise(1, 1_040_000)), File("more", noise(2, 1_040_000)))))
	if r = run(t, host+"/app", host+"/app:out3", repack.Options{TargetSize: 1_000_000}); len(r.Warnings) > 0 {
		t.Errorf("got %q", r.Warnings)
	}
}

// TestWarningsAreBounded: a warning tells how many there are and names a few.
func TestWarningsAreBounded(t *testing.T) {
	bottom, top := []Entry{Dir("usr"), Symlink("lib", "usr")}, []Entry{}
	for i := range 1000 {
		top = append(top, File(fmt.Sprintf("lib/%s\x1b[2J%d", strings.Repeat("x", 150), i), ""))
	}
	host := newRegistry(t)
	push(t, host+"/app", makeImage(t, "linux/amd64", Tar(t, bottom...), Tar(t, top...)))
	r := run(t, host+"/app", host+"/app:out", repack.Options{})
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], `(1000: "…xxx`) || !strings.Contains(r.Warnings[0], `x\x1b[2J2", …): engines put`) || len(r.Warnings[0]) > 600 {
		t.Errorf("got %q", r.Warnings)
	}
}

// What the corpus does not say: the layers that defects of another repacker would
// show in.
func TestDefects(t *testing.T) {
	sticky := Dir("tmp")
	sticky.Mode = 0o1777
	root := Dir(".")
	root.Mode = 0o700
	opaque := Dir("d")
	opaque.PAXRecords = map[string]string{"SCHILY.xattr.trusted.overlay.opaque": "y"}

	for name, tt := range map[string]struct {
		layers [][]Entry
		check  func(t *testing.T, tree *layer.Tree, r *repack.ImageResult, out [][]byte)
	}{
		"C8 parents in every layer": {
			layers: [][]Entry{{sticky, File("tmp/1", noise(1, 2_000_000)), File("tmp/2", noise(2, 2_000_000)), File("tmp/3", noise(3, 2_000_000))}},
			check: func(t *testing.T, _ *layer.Tree, _ *repack.ImageResult, out [][]byte) {
				if len(out) != 6 && len(out) != 3 {
					t.Errorf("%d layers", len(out))
				}
				for i, data := range out {
					h, err := tar.NewReader(bytes.NewReader(data)).Next()
					if err != nil || h.Name != "tmp/" || h.Mode != 0o1777 || h.ModTime.Equal(When) != (i == len(out)-1) {
						t.Errorf("layer %d begins with %+v, %v", i, h, err)
					}
				}
			},
		},
		"the root alone": {
			layers: [][]Entry{{root}},
			check: func(t *testing.T, tree *layer.Tree, _ *repack.ImageResult, _ [][]byte) {
				if e, _ := tree.Lookup("."); e.Implied || e.Mode != 0o700 {
					t.Errorf("the root is %+v", e.Inode)
				}
			},
		},
		"attributes that overlay mounts obey keep all in one layer": {
			layers: [][]Entry{{opaque, File("d/1", noise(1, 2_000_000)), File("d/2", noise(2, 2_000_000))}},
			check: func(t *testing.T, _ *layer.Tree, _ *repack.ImageResult, out [][]byte) {
				if len(out) != 1 {
					t.Errorf("%d layers", len(out))
				}
			},
		},
		"C14 large duplicates lie together and are counted": {
			layers: [][]Entry{{File("1", noise(1, 3_000_000)), File("2", noise(2, 3_000_000)), File("3", noise(1, 3_000_000))}},
			check: func(t *testing.T, _ *layer.Tree, r *repack.ImageResult, _ [][]byte) {
				if r.DuplicateBytes != 3_000_000 || r.BytesAfter > 6_100_000 || r.LayersAfter != 2 {
					t.Errorf("got %+v", r)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			host := newRegistry(t)
			var tars [][]byte
			for _, l := range tt.layers {
				tars = append(tars, Tar(t, l...))
			}
			push(t, host+"/app", makeImage(t, "linux/amd64", tars...))
			r := run(t, host+"/app", host+"/app:out", repack.Options{TargetSize: repack.MinTargetSize, Verify: true})
			out := plainLayers(t, imageOf(t, host+"/app:out"))
			tree := merged(t, out)
			if d := layer.Diff(merged(t, tars), tree); len(d) > 0 {
				t.Errorf("the trees differ: %v", d)
			}
			for i, data := range out {
				if err := plainlyWritten(data, tree, i == len(out)-1); err != nil {
					t.Errorf("layer %d: %v", i, err)
				}
			}
			if tt.check != nil {
				tt.check(t, tree, &r.Images[0], out)
			}
		})
	}
}

// Copies that the compressor's window does not reach take their full size, and
// the layers are planned for that.
func TestLargeCopiesCountInFull(t *testing.T) {
	const n = 9_000_000
	host := newRegistry(t)
	push(t, host+"/app", makeImage(t, "linux/amd64", Tar(t,
		File("1", noise(1, n)), File("2", noise(1, n)), File("3", noise(3, n)), File("4", noise(4, n)))))
	r := run(t, host+"/app", host+"/app:out", repack.Options{TargetSize: 3*n + n/3, Level: "fast"})
	// Four times n is too much for one layer; three times are not.
	if i := r.Images[0]; i.LayersAfter != 2 || i.LargestLayer > 3*n+100_000 {
		t.Errorf("got %+v", i)
	}
}

// Copies of a file that is larger than the window take nothing: the plan knows of them.
// The frame asks for the memory that this needs, and what comes back is the tree.
func TestCopiesBeyondTheWindow(t *testing.T) {
	const n = 68 << 20
	host := newRegistry(t)
	large := noise(1, n)
	owned := func(name string, uid int) Entry { // no hard links of each other
		e := File(name, large)
		e.Uid = uid
		return e
	}
	push(t, host+"/app", makeImage(t, "linux/amd64", Tar(t, owned("a/large", 0), File("a/small", "small")), Tar(t, owned("b/large", 1000), owned("c/large", 1001))))
	r := run(t, host+"/app", host+"/app:out", repack.Options{TargetSize: 100 << 20, Verify: true})
	if i := r.Images[0]; i.LayersAfter != 1 || i.BytesAfter > n+n/100 || !i.Verified {
		t.Errorf("got %+v", i)
	}
}

func TestDeadBytesAndEmptyImage(t *testing.T) {
	host := newRegistry(t)
	push(t, host+"/app", makeImage(t, "linux/amd64", Tar(t, File("f", noise(1, 100_000))), Tar(t, File(".wh.f", ""))))
	r := run(t, host+"/app", host+"/app:out", repack.Options{Verify: true})
	if i := r.Images[0]; i.DeadBytes != 100_000 || i.FileBytes != 0 || i.LayersAfter != 1 || i.Entries != 1 {
		t.Errorf("got %+v", i)
	}
	push(t, host+"/scratch", makeImage(t, "linux/amd64"))
	if r := run(t, host+"/scratch", host+"/scratch:out", repack.Options{Verify: true}); r.Images[0].LayersAfter != 1 {
		t.Errorf("got %+v", r.Images[0])
	}
}

// C11: the digest depends on the source and the target size alone.
func TestC11ReproducibleWhateverTheWorkers(t *testing.T) {
	host := newRegistry(t)
	var entries []Entry
	for i := range 300 {
		e := File(fmt.Sprintf("d%d/f%d", i%7, i), noise(uint64(i%50), 30_000)+strings.Repeat("text ", i*10))
		entries = append(entries, e)
		if i%9 == 0 {
			entries = append(entries, Link(fmt.Sprintf("l%d", i), e.Name))
		}
	}
	push(t, host+"/app", makeImage(t, "linux/amd64", Tar(t, entries[:200]...), Tar(t, entries[200:]...)))
	for _, c := range repack.Compressions {
		digests := map[string]bool{}
		for _, jobs := range []int{1, 2, 16} {
			r := run(t, host+"/app", fmt.Sprintf("%s/out%d:%s", host, jobs, c), repack.Options{TargetSize: repack.MinTargetSize, Compression: c, Jobs: jobs})
			digests[r.Digest] = true
			if r.Images[0].LayersAfter < 2 {
				t.Errorf("%d layers", r.Images[0].LayersAfter)
			}
		}
		if len(digests) != 1 {
			t.Errorf("%s: digests %v", c, digests)
		}
	}
}
