package record_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

func material(name string, n int) string {
	return fmt.Sprintf(`{"uri":"pkg:docker/%s?platform=linux%%2Famd64","digest":{"sha256":"%064d"}}`, name, n)
}

// withProvenance wraps img in an index as BuildKit does, with statements about
// the image, or about another one.
func withProvenance(t *testing.T, img v1.Image, about string, statements ...string) v1.ImageIndex {
	t.Helper()
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if about == "" {
		about = digest.String()
	}
	attestation := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for _, s := range statements {
		attestation, err = mutate.Append(attestation, mutate.Addendum{
			Layer:       static.NewLayer([]byte(s), "application/vnd.in-toto+json"),
			Annotations: map[string]string{"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": about},
		}})
}

func TestFindBase(t *testing.T) {
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	annotations := map[string]string{"org.opencontainers.image.base.name": "debian:12", "org.opencontainers.image.base.digest": digest}
	annotated := mutate.Annotations(img, annotations).(v1.Image)
	debian := material("debian@bookworm-slim", 1)
	v02 := `{"predicate":{"materials":[` + debian + `]}}`
	v1p := `{"predicate":{"buildDefinition":{"resolvedDependencies":[` + material("docker/dockerfile@1", 9) + "," + debian + `,{"uri":"https://example.com/x"}]}}}`
	two := `{"predicate":{"materials":[` + debian + "," + material("golang@1.26", 2) + `]}}`
	provenanceBase := fmt.Sprintf("debian:bookworm-slim@sha256:%064d provenance", 1)
	for name, tt := range map[string]struct {
		index v1.ImageIndex
		image v1.Image
		want  string // or a part of the hint
	}{
		"annotation":              {nil, annotated, "debian:12@" + digest + " annotation"},
		"index annotation":        {mutate.Annotations(withProvenance(t, img, "", v02), annotations).(v1.ImageIndex), nil, "debian:12@" + digest + " annotation"},
		"provenance 0.2":          {withProvenance(t, img, "", v02), nil, provenanceBase},
		"provenance 1":            {withProvenance(t, img, "", v1p), nil, provenanceBase},
		"nothing":                 {nil, img, "name it: --base NAME@sha256:DIGEST"},
		"two stages":              {withProvenance(t, img, "", two), nil, "choose one: --base debian:bookworm-slim@"},
		"about another image":     {withProvenance(t, img, digest, v02), nil, "name it: --base"},
		"no JSON":                 {withProvenance(t, img, "", "{"), nil, "name it: --base"},
		"a digest that is not it": {withProvenance(t, img, "", strings.ReplaceAll(v02, "0000", "zzzz")), nil, "name it: --base"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(registry.New())
			defer server.Close()
			ref, err := image.Parse(strings.TrimPrefix(server.URL, "http://") + "/app:1")
			if err != nil {
				t.Fatal(err)
			}
			if tt.index != nil {
				err = remote.WriteIndex(ref.Name, tt.index)
			} else {
				err = remote.Write(ref.Name, tt.image)
			}
			if err != nil {
				t.Fatal(err)
			}
			s, err := image.Resolve(t.Context(), ref, image.Options{})
			if err != nil {
				t.Fatal(err)
			}
			images := []image.PlatformImage{{Descriptor: s.Descriptor, Image: tt.image}}
			if tt.index != nil {
				if images, err = image.Platforms(s); err != nil {
					t.Fatal(err)
				}
			}
			b, err := record.FindBase(s, images[0])
			got := b.Name + "@" + b.Digest + " " + b.Source
			if err != nil {
				got = fault.HintOf(err)
			}
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

func TestParseBase(t *testing.T) {
	if b, err := record.ParseBase("debian:12@" + digest); err != nil || b != (record.Base{Name: "debian:12", Digest: digest, Source: "flag"}) {
		t.Errorf("got %+v, %v", b, err)
	}
	for _, s := range []string{"", "debian", "debian@", "debian@sha256:12", "A B@" + digest} {
		if _, err := record.ParseBase(s); err == nil {
			t.Errorf("%q: accepted", s)
		}
	}
}
