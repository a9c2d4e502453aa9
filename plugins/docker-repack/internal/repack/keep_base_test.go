package repack_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// The base image that annotations name tells how many layers to keep, if its layers
// are the lowest ones; if not, the history does.
func TestKeepBaseByAnnotations(t *testing.T) {
	tars := [][]byte{Tar(t, File("a", noise(1, 100_000)), File("b", "1")), Tar(t, File("c", "2")), Tar(t, File(".wh.a", ""), File("d", "3"))}
	other := makeImage(t, "linux/amd64", Tar(t, File("x", "")))
	host := newRegistry(t)
	base := makeImage(t, "linux/amd64", tars[:2]...)
	push(t, host+"/base:1", indexOf(t, makeImage(t, "linux/arm64", tars[0]), makeImage(t, "windows/amd64", tars[0]), base))
	push(t, host+"/moved:1", other)
	digest, err := base.Digest()
	if err != nil {
		t.Fatal(err)
	}
	push(t, host+"/moved:old", base)
	history := func(img v1.Image, at int) v1.Image { // says that the base has so many layers
		c, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		c = c.DeepCopy()
		c.History = slices.Insert(c.History, at, v1.History{CreatedBy: `CMD ["sh"]`, EmptyLayer: true})
		if img, err = mutate.ConfigFile(img, c); err != nil {
			t.Fatal(err)
		}
		return img
	}
	app := makeImage(t, "linux/amd64", tars...)
	for name, tt := range map[string]struct {
		app         v1.Image
		annotations map[string]string
		labels      bool
		want        int
		warning     string
	}{
		"by name, of an index":        {app: app, annotations: map[string]string{"name": host + "/base:1"}, want: 2},
		"labels":                      {app: app, annotations: map[string]string{"name": host + "/base:1"}, labels: true, want: 2},
		"before the history":          {app: history(app, 1), annotations: map[string]string{"name": host + "/base:1"}, want: 2},
		"by digest, the tag is moved": {app: app, annotations: map[string]string{"name": host + "/moved:1", "digest": digest.String()}, want: 2},
		"not below":                   {app: history(app, 1), annotations: map[string]string{"name": host + "/moved:1"}, want: 1, warning: "are not the image's lowest ones"},
		"not there":                   {app: history(app, 1), annotations: map[string]string{"name": host + "/gone:1"}, want: 1, warning: "/gone:1"},
		"no name":                     {app: history(app, 1), annotations: map[string]string{"name": "No Name"}, want: 1, warning: "parsing image reference"},
		"no digest":                   {app: history(app, 1), annotations: map[string]string{"name": host + "/base:1", "digest": "x"}, want: 1, warning: "parsing image reference"},
		"built from nothing":          {app: history(app, 1), annotations: map[string]string{"name": "scratch"}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			annotations := map[string]string{}
			for k, v := range tt.annotations {
				annotations["org.opencontainers.image.base."+k] = v
			}
			img := tt.app
			if tt.labels {
				c, err := img.ConfigFile()
				if err != nil {
					t.Fatal(err)
				}
				c = c.DeepCopy()
				c.Config.Labels = annotations
				if img, err = mutate.ConfigFile(img, c); err != nil {
					t.Fatal(err)
				}
			} else {
				img = mutate.Annotations(img, annotations).(v1.Image)
			}
			push(t, host+"/app:1", img)
			r := run(t, host+"/app:1", host+"/app:out", repack.Options{
				KeepBase: repack.KeepBaseAuto, Verify: true,
				Resolve: func(ctx context.Context, ref image.Reference) (image.Subject, error) {
					return image.Resolve(ctx, ref, image.Options{})
				},
			})
			i := r.Images[0]
			if i.LayersKept != tt.want || !i.Sharing.Kept || i.Sharing.Layers != tt.want || i.Sharing.SharedBytes != i.BytesKept {
				t.Errorf("got %+v %+v", i, i.Sharing)
			}
			if i.Sharing.DeadBytes < 80_000 || i.Sharing.DeadBytes > 110_000 || i.Sharing.LostBytes != 0 {
				t.Errorf("sharing is %+v", i.Sharing)
			}
			if (tt.warning == "") != (len(r.Warnings) == 0) || tt.warning != "" && !strings.Contains(r.Warnings[0], tt.warning) {
				t.Errorf("warnings %q", r.Warnings)
			}
		})
	}
}

// Not to keep a base is told to cost what its layers take, and nothing is told
// where no base is known.
func TestSharingThatIsLost(t *testing.T) {
	host := newRegistry(t)
	img := makeImage(t, "linux/amd64", Tar(t, File("a", noise(1, 100_000))), Tar(t, File("b", "")))
	push(t, host+"/app:1", img)
	if r := run(t, host+"/app:1", host+"/app:out", repack.Options{}); r.Images[0].Sharing != nil {
		t.Errorf("got %+v", r.Images[0].Sharing)
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.History = slices.Insert(c.History, 1, v1.History{CreatedBy: "/bin/sh -c #(nop)  CMD []", EmptyLayer: true})
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	push(t, host+"/app:2", img)
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	want := repack.Sharing{Layers: 1, LostBytes: m.Layers[0].Size}
	if r := run(t, host+"/app:2", host+"/app:out", repack.Options{}); r.Images[0].Sharing == nil || *r.Images[0].Sharing != want {
		t.Errorf("got %+v, want %+v", r.Images[0].Sharing, want)
	}
}

// Directories that a kept layer has something in and does not list are listed by
// the top layer, for engines would make them root's. A tree of which nothing has
// changed gets no such layer.
func TestBareParentsOfKeptLayers(t *testing.T) {
	wide := Dir("tmp")
	wide.Mode = 0o1777
	host := newRegistry(t)
	tars := [][]byte{Tar(t, wide, File("tmp/a", "1")), Tar(t, File("tmp/b", "2"), File("own/c", "3"))}
	push(t, host+"/app:1", makeImage(t, "linux/amd64", tars...))
	r := run(t, host+"/app:1", host+"/app:out", repack.Options{KeepBase: 2, Verify: true})
	out := plainLayers(t, imageOf(t, host+"/app:out"))
	if len(out) != 3 {
		t.Fatalf("%d layers", len(out))
	}
	top := merged(t, out[2:])
	for name, mode := range map[string]uint32{"tmp": 0o1777, "own": 0o755} {
		if e, ok := top.Lookup(name); !ok || e.Implied || e.Mode != mode {
			t.Errorf("%s is %+v, %v", name, e, ok)
		}
	}
	if len(r.Warnings) != 1 || strings.Contains(r.Warnings[0], "kept as they are") {
		t.Errorf("warnings %q", r.Warnings)
	}
	plain := run(t, host+"/app:1", host+"/app:plain", repack.Options{})
	previous := resolve(t, parse(t, host+"/app:plain"))
	if r = run(t, host+"/app:1", host+"/app:same", repack.Options{Previous: &previous, Verify: true}); r.Digest != plain.Digest {
		t.Errorf("%s became %s", plain.Digest, r.Digest)
	}
	if d := layer.Diff(merged(t, tars), merged(t, out)); len(d) > 0 {
		t.Error(d)
	}
}

// Shapes of base layers that engines read in other ways stay, and the warning says
// so.
func TestAmbiguousBase(t *testing.T) {
	host := newRegistry(t)
	push(t, host+"/app:1", makeImage(t, "linux/amd64", Tar(t, Dir("d"), File("d/a", "1")), Tar(t, File(".wh.d", ""), Dir("d"), File("d/b", "")), Tar(t, File("c", ""))))
	for base, want := range map[int]bool{1: false, 2: true} {
		r := run(t, host+"/app:1", host+"/app:out", repack.Options{KeepBase: base})
		if len(r.Warnings) != 1 || strings.Contains(r.Warnings[0], "the base, which are kept as they are") != want {
			t.Errorf("%d layers: warnings %q", base, r.Warnings)
		}
	}
}

// A layer of the earlier result that engines would read in another way upon the new
// base is not kept there: alone, it makes a directory in the place of the base's
// symlink.
func TestPreviousBelowSymlinkOfNewBase(t *testing.T) {
	host := newRegistry(t)
	lib := noise(1, 100_000)
	push(t, host+"/old", makeImage(t, "linux/amd64", Tar(t, File("lib/x", lib)), Tar(t, File("own", noise(2, 50_000)))))
	run(t, host+"/old", host+"/old:out", repack.Options{KeepBase: 1, Compression: "gzip"})
	previous := resolve(t, parse(t, host+"/old:out"))

	push(t, host+"/new", makeImage(t, "linux/amd64", Tar(t, Dir("usr"), Dir("usr/lib"), Symlink("lib", "usr/lib")), Tar(t, File("usr/lib/x", lib), File("own", noise(2, 50_000)))))
	r := run(t, host+"/new", host+"/new:out", repack.Options{KeepBase: 1, Previous: &previous, Compression: "gzip", Verify: true})
	var sets []*layer.Changeset
	for _, data := range plainLayers(t, imageOf(t, host+"/new:out")) {
		set, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, set)
	}
	if _, err := layer.MergeObserved(sets, layer.Observer{Ambiguous: func(a layer.Ambiguity) { t.Errorf("the result has %+v", a) }}); err != nil {
		t.Fatal(err)
	}
	if r.Images[0].LayersKept != 2 { // the base and what is the image's own
		t.Errorf("%d layers are kept", r.Images[0].LayersKept)
	}
}

// What is said about a blob that stays is still said.
func TestKeptLayersHaveTheirAnnotations(t *testing.T) {
	host := newRegistry(t)
	toc := map[string]string{"containerd.io/snapshot/stargz/toc.digest": "sha256:x"}
	img, err := mutate.Append(makeImage(t, "linux/amd64"), mutate.Addendum{Layer: tarLayer(t, Tar(t, File("a", noise(1, 100_000)))), Annotations: toc, MediaType: types.OCILayer})
	if err == nil {
		img, err = mutate.AppendLayers(img, tarLayer(t, Tar(t, File("b", ""))))
	}
	if err != nil {
		t.Fatal(err)
	}
	push(t, host+"/app", img)
	run(t, host+"/app", host+"/app:1", repack.Options{KeepBase: 1, Compression: "gzip"})
	previous := resolve(t, parse(t, host+"/app:1"))
	run(t, host+"/app", host+"/app:2", repack.Options{Previous: &previous, Compression: "gzip"})
	for _, tag := range []string{"1", "2"} {
		m, err := imageOf(t, host+"/app:"+tag).Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(m.Layers[0].Annotations, toc) || len(m.Layers[1].Annotations) > 0 {
			t.Errorf("%s: layers %+v", tag, m.Layers)
		}
	}
}

// Base layers that a destination does not read are told of.
func TestZstdBase(t *testing.T) {
	from := "oci://" + store(t, makeImage(t, "linux/amd64", Tar(t, File("a", "")), Tar(t, File("b", ""))))
	zstd := "oci://" + t.TempDir()
	run(t, from, zstd, repack.Options{})
	opts := repack.Options{KeepBase: 1}
	dst, err := repack.OpenDestination(t.Context(), parse(t, "docker-daemon://app"), image.Options{Engine: newEngine(t, false), TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repack.Run(t.Context(), resolve(t, parse(t, zstd)), dst, opts); err == nil || !strings.Contains(err.Error(), "the base has zstd layers") {
		t.Errorf("got %v", err)
	}
	if r := run(t, zstd, "docker-archive://"+t.TempDir()+"/f.tar", opts); len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "before Docker 23") {
		t.Errorf("warnings %q", r.Warnings)
	}
	if r := run(t, zstd, "oci://"+t.TempDir(), opts); len(r.Warnings) != 0 {
		t.Errorf("warnings %q", r.Warnings)
	}
}

// Out of an engine without the containerd store base layers come as plain tar files,
// which are no blobs that others have.
func TestUncompressedBase(t *testing.T) {
	img, err := mutate.AppendLayers(makeImage(t, "linux/amd64"), static.NewLayer(Tar(t, File("a", "")), types.OCIUncompressedLayer), static.NewLayer(Tar(t, File("b", "")), types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	from := "oci://" + store(t, img)
	for base, warnings := range map[int]int{0: 0, 1: 1} {
		r := run(t, from, "oci://"+t.TempDir(), repack.Options{KeepBase: base, Verify: true})
		if len(r.Warnings) != warnings || warnings > 0 && !strings.Contains(r.Warnings[0], "not compressed") {
			t.Errorf("base of %d: warnings %q", base, r.Warnings)
		}
	}
}
