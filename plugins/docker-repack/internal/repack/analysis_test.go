package repack_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/image"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// plan returns the analysis of a stack of layers.
func plan(t testing.TB, opts repack.Options, tars ...[]byte) *repack.ImageAnalysis {
	t.Helper()
	return planOf(t, "oci://"+store(t, makeImage(t, "linux/amd64", tars...)), opts).Images[0]
}

func planOf(t testing.TB, ref string, opts repack.Options) *repack.Analysis {
	t.Helper()
	opts.TempDir = t.TempDir()
	a, err := repack.Plan(t.Context(), resolve(t, parse(t, ref)), opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAccounting(t *testing.T) {
	base := Tar(t, Dir("d"), File("d/a", "aa"), File("d/b", "bbb"), File("e", "eeeee"))
	for name, tt := range map[string]struct {
		layers    [][]byte
		dead      []int64  // bytes of each layer
		duplicate []int64  // bytes of each layer
		files     []string // dead ones: path, bytes, layer, by, how, kept
	}{
		"nothing":              {[][]byte{base}, []int64{0}, []int64{0}, nil},
		"a whiteout":           {[][]byte{base, Tar(t, File("d/.wh.a", ""))}, []int64{2, 0}, []int64{0, 0}, []string{"d/a 2 0 1 deleted"}},
		"a replacement":        {[][]byte{base, Tar(t, File("e", "x"))}, []int64{5, 0}, []int64{0, 0}, []string{"e 5 0 1 replaced"}},
		"the same once more":   {[][]byte{base, Tar(t, File("e", "eeeee"))}, []int64{5, 0}, []int64{0, 0}, []string{"e 5 0 1 replaced kept"}},
		"an opaque marker":     {[][]byte{base, Tar(t, File("d/.wh..wh..opq", ""))}, []int64{5, 0}, []int64{0, 0}, []string{"d/b 3 0 1 emptied", "d/a 2 0 1 emptied"}},
		"of several layers":    {[][]byte{base, Tar(t, File("e", "1")), Tar(t, File(".wh.e", ""))}, []int64{5, 1, 0}, []int64{0, 0, 0}, []string{"e 5 0 1 replaced", "e 1 1 2 deleted"}},
		"a renamed file":       {[][]byte{base, Tar(t, Link("f", "e"), File(".wh.e", ""))}, []int64{0, 0}, []int64{0, 0}, nil},
		"one of two links":     {[][]byte{Tar(t, File("a", "aa"), Link("b", "a")), Tar(t, File(".wh.a", ""))}, []int64{0, 0}, []int64{0, 0}, nil},
		"both of two links":    {[][]byte{Tar(t, File("a", "aa"), Link("b", "a")), Tar(t, File(".wh.a", "")), Tar(t, File("b", ""))}, []int64{2, 0, 0}, []int64{0, 0, 0}, []string{"a 2 0 2 replaced [b]"}},
		"a link is no copy":    {[][]byte{Tar(t, File("a", "aa"), Link("b", "a"))}, []int64{0}, []int64{0}, nil},
		"a copy":               {[][]byte{base, Tar(t, File("f", "eeeee"), File("g", "eeeee"))}, []int64{0, 0}, []int64{0, 10}, nil},
		"a copy that is dead":  {[][]byte{Tar(t, File("a", "xx"), File("b", "xx")), Tar(t, File(".wh.a", ""))}, []int64{2, 0}, []int64{0, 0}, []string{"a 2 0 1 deleted kept"}},
		"twice in a layer":     {[][]byte{Tar(t, File("a", "11"), File("a", "2"))}, []int64{2}, []int64{0}, []string{"a 2 0 0 replaced"}},
		"an auxiliary file":    {[][]byte{Tar(t, File(".wh..wh.plnk/1.2", "xx"))}, []int64{2}, []int64{0}, []string{".wh..wh.plnk/1.2 2 0 0 unlinked"}},
		"a directory replaced": {[][]byte{base, Tar(t, Symlink("d", "e"))}, []int64{5, 0}, []int64{0, 0}, []string{"d/b 3 0 1 replaced", "d/a 2 0 1 replaced"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := plan(t, repack.Options{}, tt.layers...)
			var dead, duplicate []int64
			for _, l := range a.Before.Layers {
				dead, duplicate = append(dead, l.DeadBytes), append(duplicate, l.DuplicateBytes)
			}
			var files []string
			for _, f := range a.Dead.Files {
				s := fmt.Sprint(f.Path, " ", f.Bytes, " ", f.Layer, " ", f.By, " ", f.How)
				if f.Kept {
					s += " kept"
				}
				if f.Links != nil {
					s += fmt.Sprint(" ", f.Links)
				}
				files = append(files, s)
			}
			if diff := cmp.Diff([]any{tt.dead, tt.duplicate, tt.files}, []any{dead, duplicate, files}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlanLists(t *testing.T) {
	key := "# my key\n-----BEGIN OPENSSH PRIVATE KEY-----\nxyz"
	a := plan(t, repack.Options{Top: 2},
		Tar(t, File("a", "12345678"), File("b", "12345678"), File("c", "12345678"), File("l/p", "123"), File("l/q", "123"), File("x", "1"), File("y", "1")),
		Tar(t, File("app/.env", "A=1"), File("app/notes", key), File("app/big", strings.Repeat("x", 1000)), File("root/.npmrc", "")),
		Tar(t, File("app/.wh..wh..opq", ""), File("root/.wh..npmrc", "")))
	want := repack.Duplicates{More: 1, Groups: []repack.DuplicateGroup{
		{Bytes: 8, Copies: 3, Wasted: 16, Paths: []string{"a", "b", "c"}},
		{Bytes: 3, Copies: 2, Wasted: 3, Paths: []string{"l/p", "l/q"}},
	}}
	if diff := cmp.Diff(want, a.Duplicates); diff != "" {
		t.Error(diff)
	}
	env := repack.DeadFile{Path: "app/.env", Bytes: 3, Layer: 1, By: 2, How: "emptied", Secret: "environment file"}
	notes := repack.DeadFile{Path: "app/notes", Bytes: int64(len(key)), Layer: 1, By: 2, How: "emptied", Secret: "private key"}
	big := repack.DeadFile{Path: "app/big", Bytes: 1000, Layer: 1, By: 2, How: "emptied"}
	if diff := cmp.Diff(repack.DeadFiles{Files: []repack.DeadFile{big, notes}, More: 1, Secrets: []repack.DeadFile{env, notes}}, a.Dead); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]repack.Directory{{Path: "app", DeadBytes: 1003 + int64(len(key))}, {Path: ".", FileBytes: 26}}, a.Directories); diff != "" {
		t.Error(diff)
	}
	for _, l := range a.Before.Layers {
		if l.CreatedBy != "RUN something" || l.UncompressedBytes < 1024 || l.Entries == 0 || l.Bytes == 0 {
			t.Errorf("%+v", l)
		}
	}
}

// Dead and live bytes are all bytes, and what is predicted of contents is what a
// real run then makes.
func TestAccountingOfRandomStacks(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range Seeds(t, 20) {
		stack := Random(t, rng, 1+rng.IntN(5), Shape{Implied: true, CrossLinks: true, RootOpaque: true, Duplicates: true, Spelling: true})
		dir := store(t, makeImage(t, "linux/amd64", stack...))
		a := planOf(t, "oci://"+dir, repack.Options{}).Images[0]
		r := run(t, "oci://"+dir, "oci://"+t.TempDir()+"/out", repack.Options{Analyze: true})
		made, b := r.Analysis.Images[0], a.Before
		var dead int64
		for _, f := range a.Dead.Files {
			dead += f.Bytes
		}
		if a.Dead.More == 0 && dead != b.DeadBytes {
			t.Fatalf("%d bytes in dead files, %d dead", dead, b.DeadBytes)
		}
		if b.DeadBytes+a.After.FileBytes != b.FileBytes || b.DeadBytes != r.Images[0].DeadBytes || b.DuplicateBytes != r.Images[0].DuplicateBytes || a.Tree != r.Images[0].Tree {
			t.Fatalf("plan %+v, result %+v", b, r.Images[0])
		}
		for i := range a.After.Layers {
			made.After.Layers[i].Digest, made.After.Layers[i].Bytes = "", 0
		}
		if diff := cmp.Diff(a.After.Layers, made.After.Layers); diff != "" {
			t.Fatal(diff)
		}
	}
}

// content returns n bytes that compress about as files do.
func content(rng *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%s %d\n", strings.Repeat("word", rng.IntN(4)), rng.IntN(1<<uint(rng.IntN(30))))
	}
	return b.String()[:n]
}

func TestPredictionIsNearTheResult(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	var tars [][]byte
	for l := range 3 {
		var entries []Entry
		for i := range 50 {
			entries = append(entries, File(fmt.Sprintf("dir%d/file%d", l, i), content(rng, 1000+rng.IntN(200_000))))
		}
		tars = append(tars, Tar(t, entries...))
	}
	dir := store(t, makeImage(t, "linux/amd64", tars...))
	for _, compression := range repack.Compressions {
		opts := repack.Options{TargetSize: 1_000_000, Compression: compression, Analyze: true}
		predicted := planOf(t, "oci://"+dir, opts).Images[0].After
		r := run(t, "oci://"+dir, "oci://"+t.TempDir()+"/out", opts)
		made := r.Analysis.Images[0].After
		if made.Bytes != r.Images[0].BytesAfter || len(made.Layers) != len(predicted.Layers) || len(made.Layers) < 2 {
			t.Fatalf("made %+v", made)
		}
		if off := float64(predicted.PredictedBytes)/float64(made.Bytes) - 1; off < -0.1 || off > 0.1 {
			t.Errorf("%s: predicted %d, made %d: %+.1f%%", compression, predicted.PredictedBytes, made.Bytes, 100*off)
		} else {
			t.Logf("%s: %+.2f%%", compression, 100*off)
		}
	}
}

func TestPlanOfAnIndex(t *testing.T) {
	host := newRegistry(t)
	one, two := makeImage(t, "linux/amd64", Tar(t, File("a", "1"))), makeImage(t, "linux/arm64", Tar(t, File("a", "2")))
	push(t, host+"/app:1", mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: one, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: two, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}}))
	a := planOf(t, host+"/app:1", repack.Options{})
	if len(a.Images) != 2 || a.Images[0].Platform != "linux/amd64" || a.Images[1].Platform != "linux/arm64" {
		t.Errorf("got %+v", a)
	}
	a = planOf(t, host+"/app:1", repack.Options{Platforms: []image.PlatformPattern{"linux/arm64"}})
	if len(a.Images) != 1 || a.Images[0].Platform != "linux/arm64" {
		t.Errorf("got %+v", a)
	}
}
