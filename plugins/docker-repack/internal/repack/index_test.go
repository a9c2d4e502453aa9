package repack_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

func indexOf(t *testing.T, images ...v1.Image) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		c, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: c.Platform()}})
	}
	return index
}

// indexManifest reads the index that a reference means.
func indexManifest(t *testing.T, ref string) (v1.ImageIndex, *v1.IndexManifest) {
	t.Helper()
	index, err := resolve(t, parse(t, ref)).Index()
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	return index, m
}

// An index in an index stays one, with its annotations and platforms; the same image
// in two places is repacked once.
func TestIndexOfIndexes(t *testing.T) {
	host := newRegistry(t)
	amd, arm := makeImage(t, "linux/amd64", Tar(t, File("a", "1"))), makeImage(t, "linux/arm64", Tar(t, File("a", "2")))
	inner := mutate.Annotations(indexOf(t, amd, arm), map[string]string{"inner": "yes"}).(v1.ImageIndex)
	outer := mutate.AppendManifests(indexOf(t, amd), mutate.IndexAddendum{Add: inner, Descriptor: v1.Descriptor{Annotations: map[string]string{"about": "inner"}}})
	push(t, host+"/outer", outer)

	r := run(t, host+"/outer", host+"/out", repack.Options{Verify: true, Jobs: 4})
	if len(r.Images) != 2 || len(r.Warnings) > 0 || r.Images[0].Platform != "linux/amd64" || r.Images[1].Platform != "linux/arm64" {
		t.Fatalf("got %+v", r)
	}
	index, m := indexManifest(t, host+"/out")
	if len(m.Manifests) != 2 || m.Manifests[0].Digest.String() != r.Images[0].Digest || m.Manifests[1].Annotations["about"] != "inner" {
		t.Fatalf("outer %+v", m)
	}
	nested, err := index.ImageIndex(m.Manifests[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := nested.IndexManifest()
	from, _ := inner.Digest()
	if len(n.Manifests) != 2 || n.Annotations["inner"] != "yes" || n.Annotations[wire.AnnotationRepackSource] != from.String() ||
		n.Manifests[0].Digest != m.Manifests[0].Digest || n.Manifests[1].Platform.Architecture != "arm64" {
		t.Errorf("inner %+v", n)
	}

	// Of a chosen platform only the branches remain that lead to it.
	push(t, host+"/branches", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: indexOf(t, amd)}, mutate.IndexAddendum{Add: indexOf(t, arm)}))
	run(t, host+"/branches", host+"/branch", repack.Options{Platforms: []image.PlatformPattern{"linux/arm64"}})
	if _, m := indexManifest(t, host+"/branch"); len(m.Manifests) != 1 {
		t.Errorf("branch %+v", m)
	}
	got, err := repack.Compare(t.Context(), resolve(t, parse(t, host+"/outer")), resolve(t, parse(t, host+"/out")), repack.Options{})
	if err != nil || !got.Equal || len(got.A.Trees) != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What is no image goes along as it is, unless it is about one.
func TestArtifactsInAnIndex(t *testing.T) {
	host := newRegistry(t)
	img := makeImage(t, "linux/amd64", Tar(t, File("a", "1")))
	digest, _ := img.Digest()
	size, _ := img.Size()
	data, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	chart := mutate.ConfigMediaType(data, "application/vnd.cncf.helm.config.v1+json")
	signature := mutate.Subject(mutate.ConfigMediaType(data, "application/x.sig"), v1.Descriptor{MediaType: types.DockerManifestSchema2, Digest: digest, Size: size}).(v1.Image)
	push(t, host+"/app", mutate.AppendManifests(indexOf(t, img), mutate.IndexAddendum{Add: chart}, mutate.IndexAddendum{Add: signature}))
	r := run(t, host+"/app", host+"/out", repack.Options{})
	index, m := indexManifest(t, host+"/out")
	want, _ := chart.Digest()
	if len(m.Manifests) != 2 || m.Manifests[1].Digest != want || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "not about the result") {
		t.Fatalf("index %+v, warnings %q", m, r.Warnings)
	}
	got, err := index.Image(want)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := got.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if rc, err := layers[0].Compressed(); err != nil {
		t.Error(err)
	} else {
		rc.Close()
	}
}

// A copy of some platforms alone, such as docker save makes, has an index that
// lists them all.
func TestIndexThatIsNotAllThere(t *testing.T) {
	host := newRegistry(t)
	amd, arm := makeImage(t, "linux/amd64", Tar(t, File("a", "1"))), makeImage(t, "linux/arm64", Tar(t, File("a", "2")))
	push(t, host+"/app", indexOf(t, amd, arm))
	for name, gone := range map[string]v1.Hash{"manifest": must(arm.Digest()), "config": must(arm.ConfigName()), "layer": layerDigest(t, arm)} {
		dir := filepath.Join(t.TempDir(), "layout")
		copyImage(t, host+"/app", "oci://"+dir)
		if err := os.Remove(filepath.Join(dir, "blobs/sha256", gone.Hex)); err != nil {
			t.Fatal(err)
		}
		r := run(t, "oci://"+dir, host+"/out", repack.Options{Verify: true})
		if len(r.Images) != 1 || r.Images[0].Platform != "linux/amd64" || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "linux/arm64") {
			t.Errorf("%s: got %+v", name, r)
		}
		if _, err := tryRun(t, "oci://"+dir, host+"/out2", repack.Options{Platforms: []image.PlatformPattern{"linux/arm64"}}); err == nil {
			t.Errorf("%s: the platform that is not there was repacked", name)
		}
	}
}

func layerDigest(t *testing.T, img v1.Image) v1.Hash {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	return must(layers[0].Digest())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// However many jobs, and in whatever order images are ready, the result is the same.
func TestIndexIsReproducible(t *testing.T) {
	host := newRegistry(t)
	var images []v1.Image
	for i, p := range []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x", "linux/386"} {
		images = append(images, makeImage(t, p, Tar(t, File("f", noise(uint64(i), 400_000*(5-i))))))
	}
	push(t, host+"/app", indexOf(t, images...))
	first := run(t, host+"/app", host+"/one", repack.Options{Jobs: 1})
	for _, jobs := range []int{2, 3, 16} {
		if got := run(t, host+"/app", host+"/many", repack.Options{Jobs: jobs}); got.Digest != first.Digest || got.Images[3].Platform != "linux/s390x" {
			t.Errorf("with %d jobs: %s, with one: %s", jobs, got.Digest, first.Digest)
		}
	}
}

// What an image says of its platform is shown, and nothing else happens to the
// terminal.
func TestHostilePlatform(t *testing.T) {
	const escape = "amd64\x1b]0;title\x07\r\u202e"
	host := newRegistry(t)
	img := makeImage(t, "linux/amd64", Tar(t, Dir("d"), File("d/a", "1")), Tar(t, File(".wh.d", ""), Dir("d")))
	c := must(img.ConfigFile()).DeepCopy()
	c.Architecture = escape
	img = must(mutate.ConfigFile(img, c))
	push(t, host+"/one", img)
	push(t, host+"/two", indexOf(t, img, makeImage(t, "linux/arm64", Tar(t, File("b", "")))))
	for from, n := range map[string]int{host + "/one": 1, host + "/two": 2} {
		r := run(t, from, from+":out", repack.Options{Verify: true})
		plan := must(repack.Plan(t.Context(), resolve(t, parse(t, from)), repack.Options{TempDir: t.TempDir()}))
		same := must(repack.Compare(t.Context(), resolve(t, parse(t, from)), resolve(t, parse(t, from+":out")), repack.Options{}))
		_, err := tryRun(t, from, from+":none", repack.Options{Platforms: []image.PlatformPattern{"linux/s390x"}})
		if len(r.Images) != n || len(r.Warnings) != 1 || len(same.A.Trees) != n || !same.Equal || err == nil {
			t.Fatalf("got %+v, %+v, %v", r, same, err)
		}
		for name, text := range map[string]string{
			"result": r.Images[0].Platform, "warning": r.Warnings[0], "plan": plan.Images[0].Platform,
			"comparison": fmt.Sprint(same.A.Trees), "hint": fault.HintOf(err),
		} {
			if !strings.Contains(text, `title\a\r\u202e`) || strings.ContainsAny(text, "\x1b\x07\r\u202e") {
				t.Errorf("%s of %s: %q", name, from, text)
			}
		}
	}
}

// One image under two platforms can be chosen by either.
func TestOneImageForTwoPlatforms(t *testing.T) {
	host := newRegistry(t)
	img := makeImage(t, "linux/arm/v6", Tar(t, File("a", "")))
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, variant := range []string{"v6", "v7"} {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm", Variant: variant}}})
	}
	push(t, host+"/app", index)
	for platform, want := range map[image.PlatformPattern]string{"linux/arm": "[linux/arm/v6 linux/arm/v7]", "linux/arm/v6": "[linux/arm/v6]", "linux/arm/v7": "[linux/arm/v7]"} {
		r := run(t, host+"/app", host+"/out", repack.Options{Platforms: []image.PlatformPattern{platform}})
		_, m := indexManifest(t, host+"/out")
		var got []string
		for _, d := range m.Manifests {
			got = append(got, d.Platform.String())
		}
		if fmt.Sprint(got) != want || len(r.Images) != 1 {
			t.Errorf("%s: the index has %v", platform, got)
		}
	}
}
