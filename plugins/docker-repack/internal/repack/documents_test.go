package repack_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

func TestManifestAndConfig(t *testing.T) {
	host := newRegistry(t)
	src := makeImage(t, "linux/arm64/v8", Tar(t, File("a", "1")), Tar(t, File("b", noise(1, 2_500_000)), File("c", noise(2, 2_500_000))))
	src = mutate.Annotations(src, map[string]string{"org.opencontainers.image.base.name": "debian:12", "org.opencontainers.image.base.digest": "sha256:00"}).(v1.Image)
	push(t, host+"/app:1", src)
	r := run(t, host+"/app:1", host+"/app:1-repacked", repack.Options{TargetSize: 2_000_000, Verify: true})

	img := imageOf(t, host+"/app:1-repacked")
	if err := validate.Image(img, validate.Fast); err != nil {
		t.Errorf("the image is not valid: %v", err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	from, _ := src.Digest()
	want := map[string]string{
		wire.AnnotationRepackSource: from.String(), wire.AnnotationRepackTree: r.Images[0].Tree,
		"org.opencontainers.image.base.name": "debian:12", "org.opencontainers.image.base.digest": "sha256:00",
	}
	if fmt.Sprint(m.Annotations) != fmt.Sprint(want) {
		t.Errorf("annotations %v", m.Annotations)
	}
	if m.MediaType != types.OCIManifestSchema1 || m.Config.MediaType != types.OCIConfigJSON || m.Layers[0].MediaType != types.OCILayerZStd {
		t.Errorf("media types %s, %s, %s", m.MediaType, m.Config.MediaType, m.Layers[0].MediaType)
	}
	a, _ := src.ConfigFile()
	b, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", a.Config) != fmt.Sprintf("%+v", b.Config) || b.Architecture != "arm64" || b.Variant != "v8" || !a.Created.Equal(b.Created.Time) {
		t.Errorf("config was %+v, is %+v", a, b)
	}
	own := 0
	for i, h := range b.History {
		if !h.EmptyLayer {
			own++
		}
		if i < len(a.History) && h.CreatedBy != a.History[i].CreatedBy {
			t.Errorf("history %d is %+v", i, h)
		}
	}
	if own != len(m.Layers) || len(b.History) != len(a.History)+own || own < 2 {
		t.Errorf("%d layers, %d entries of history with one", len(m.Layers), own)
	}
	if !strings.Contains(b.History[len(b.History)-1].Comment, from.String()) {
		t.Errorf("last entry of history %+v", b.History[len(b.History)-1])
	}
}

func TestUnknownConfigMembersStayAndInlineCacheGoes(t *testing.T) {
	host := newRegistry(t)
	src := makeImage(t, "linux/amd64", Tar(t, File("a", "1")))
	raw, _ := src.RawConfigFile()
	var c map[string]any
	json.Unmarshal(raw, &c)
	c["config"].(map[string]any)["Healthcheck"] = map[string]any{"Test": []string{"CMD", "x"}, "StartInterval": 5}
	c["moby.buildkit.cache.v0"] = "eyJ9"
	c["x-else"] = []int{1}
	raw, _ = json.Marshal(c)
	push(t, host+"/app", withConfig{src, raw})
	r := run(t, host+"/app", host+"/app:out", repack.Options{Verify: true})
	out, err := imageOf(t, host+"/app:out").RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for _, has := range []string{`"StartInterval":5`, `"x-else":[1]`, `echo \u003chello`} {
		if !strings.Contains(string(out), has) {
			t.Errorf("%s is gone from %s", has, out)
		}
	}
	if strings.Contains(string(out), "moby.buildkit.cache") || len(r.Warnings) != 1 {
		t.Errorf("warnings %q, config %s", r.Warnings, out)
	}
}

// C9, C10: an index keeps platforms, annotations and attestations.
func TestIndex(t *testing.T) {
	host := newRegistry(t)
	index := mutate.Annotations(mutate.IndexMediaType(empty.Index, types.DockerManifestList), map[string]string{"k": "v"}).(v1.ImageIndex)
	for i, p := range []string{"linux/amd64", "linux/arm/v7"} {
		platform, _ := v1.ParsePlatform(p)
		img := makeImage(t, p, Tar(t, File("f", p)), Tar(t, File("f", p+"!")))
		digest, _ := img.Digest()
		attestation, err := random.Image(100, 1)
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index,
			mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform, Annotations: map[string]string{"n": fmt.Sprint(i)}}},
			mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{
				Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
				Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest.String()},
			}})
	}
	push(t, host+"/app:1", index)

	r := run(t, host+"/app:1", host+"/other:1", repack.Options{Verify: true})
	out, err := resolve(t, parse(t, host+"/other:1")).Index()
	if err != nil {
		t.Fatal(err)
	}
	m, _ := out.IndexManifest()
	old, _ := index.IndexManifest()
	if len(m.Manifests) != 4 || len(r.Images) != 2 || m.MediaType != types.OCIImageIndex || m.Annotations["k"] != "v" || m.Annotations[wire.AnnotationRepackSource] != r.SourceDigest {
		t.Fatalf("index %+v", m)
	}
	for i, d := range m.Manifests {
		if d.Platform.String() != old.Manifests[i].Platform.String() {
			t.Errorf("manifest %d is for %s", i, d.Platform)
		}
		if i%2 == 0 {
			if img, err := out.Image(d.Digest); err != nil || validate.Image(img, validate.Fast) != nil {
				t.Errorf("image %d is not valid: %v, %v", i, err, validate.Image(img, validate.Fast))
			}
			if d.Annotations["n"] != fmt.Sprint(i/2) || d.Digest == old.Manifests[i].Digest {
				t.Errorf("image %d is %+v", i, d)
			}
		} else if d.Annotations["vnd.docker.reference.digest"] != m.Manifests[i-1].Digest.String() || d.Digest != old.Manifests[i].Digest {
			t.Errorf("attestation %d is %+v", i, d)
		}
	}

	run(t, host+"/app:1", host+"/arm:1", repack.Options{Platforms: []image.PlatformPattern{"linux/arm"}})
	out, _ = resolve(t, parse(t, host+"/arm:1")).Index()
	m, _ = out.IndexManifest()
	if len(m.Manifests) != 2 || m.Manifests[0].Platform.Variant != "v7" {
		t.Errorf("chosen index %+v", m.Manifests)
	}

	_, err = tryRun(t, host+"/app:1", host+"/none:1", repack.Options{Platforms: []image.PlatformPattern{"linux/s390x"}})
	if err == nil || !strings.Contains(fault.HintOf(err), "linux/amd64, linux/arm/v7") {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
}

func TestLeftBehind(t *testing.T) {
	host := newRegistry(t)
	src := makeImage(t, "linux/amd64", Tar(t, File("a", "1")))
	push(t, host+"/app:1", src)
	digest, _ := src.Digest()
	desc, err := remote.Head(mustName(t, host+"/app:1"))
	if err != nil {
		t.Fatal(err)
	}
	sig := mutate.Subject(mutate.ConfigMediaType(empty.Image, "application/x.sig"), *desc).(v1.Image)
	push(t, host+"/app:sig", sig)
	for _, ending := range []string{".sig", ".att", ".sbom"} {
		push(t, host+"/app:"+strings.Replace(digest.String(), ":", "-", 1)+ending, sig)
	}
	r := run(t, host+"/app:1", host+"/app:out", repack.Options{})
	got := repack.LeftBehind(t.Context(), resolve(t, parse(t, host+"/app:1")), r, image.Options{})
	if len(got) != 1 || !strings.Contains(got[0], "1 × application/x.sig, 1 × cosign SBOM tag, 1 × cosign attestation tag, 1 × cosign signature tag") {
		t.Errorf("got %q", got)
	}
}

func TestSecondRunSendsNothing(t *testing.T) {
	host := newRegistry(t)
	push(t, host+"/app", makeImage(t, "linux/amd64", Tar(t, File("a", noise(1, 100_000)))))
	first := run(t, host+"/app", host+"/app:out", repack.Options{})
	second := run(t, host+"/app", host+"/app:out", repack.Options{})
	if first.Images[0].BytesSent != first.Images[0].BytesAfter || second.Images[0].BytesSent != 0 || first.Digest != second.Digest {
		t.Errorf("sent %d of %d, then %d", first.Images[0].BytesSent, first.Images[0].BytesAfter, second.Images[0].BytesSent)
	}
}

func TestLayoutMendsDamagedBlobsAndKeepsOtherImages(t *testing.T) {
	src := store(t, makeImage(t, "linux/amd64", Tar(t, File("a", noise(1, 100_000)))))
	to := filepath.Join(t.TempDir(), "out")
	run(t, "oci://"+src, "oci://"+to+":one", repack.Options{})
	first := run(t, "oci://"+src, "oci://"+to+":two", repack.Options{})
	if first.Images[0].BytesSent != 0 {
		t.Errorf("sent %d bytes that are there", first.Images[0].BytesSent)
	}
	m, err := imageOf(t, "oci://"+to+":one").Manifest()
	if err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(to, "blobs/sha256", m.Layers[0].Digest.Hex)
	if err := os.WriteFile(blob, make([]byte, m.Layers[0].Size), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "oci://"+src, "oci://"+to+":two", repack.Options{Verify: true})
	if index, err := layout.ImageIndexFromPath(to); err != nil {
		t.Fatal(err)
	} else if m, err := index.IndexManifest(); err != nil || len(m.Manifests) != 2 {
		t.Errorf("index %+v, %v", m, err)
	}
}

func TestCompare(t *testing.T) {
	host := newRegistry(t)
	a := makeImage(t, "linux/amd64", Tar(t, File("a", "1"), File("b", "")))
	push(t, host+"/a", a)
	b := makeImage(t, "linux/arm64", Tar(t, File("a", "2"), File("b", "")))
	c, _ := b.ConfigFile()
	c = c.DeepCopy()
	c.Config.Env, c.Config.Entrypoint, c.Config.ExposedPorts = []string{"X=1"}, []string{"/init"}, map[string]struct{}{}
	b, _ = mutate.ConfigFile(b, c)
	push(t, host+"/b", b)
	got, err := repack.Compare(t.Context(), resolve(t, parse(t, host+"/a")), resolve(t, parse(t, host+"/b")), repack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var what []string
	for _, d := range got.Differences {
		what = append(what, d.Path+":"+d.What)
	}
	if want := []string{"a:content", ":architecture", ":Env", ":Entrypoint"}; !slices.Equal(what, want) || got.Equal {
		t.Errorf("got %q, want %q", what, want)
	}
	same, err := repack.Compare(t.Context(), resolve(t, parse(t, host+"/a")), resolve(t, parse(t, host+"/a")), repack.Options{})
	if err != nil || !same.Equal || len(same.Differences) != 0 {
		t.Errorf("got %+v, %v", same, err)
	}
}

func mustName(t *testing.T, s string) name.Reference {
	n, err := name.ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
