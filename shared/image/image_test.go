package image_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

// index makes an index of two platforms and one attestation manifest.
func index(t *testing.T) v1.ImageIndex {
	t.Helper()
	idx := v1.ImageIndex(empty.Index)
	for _, arch := range []string{"amd64", "arm64", "unknown"} {
		img, err := random.Image(100, 1)
		if err != nil {
			t.Fatal(err)
		}
		os := "linux"
		if arch == "unknown" {
			os = "unknown"
		}
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: arch}}})
	}
	return idx
}

func TestResolveRegistryAndPlatforms(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	ref, err := image.Parse(host + "/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	idx := index(t)
	if err := remote.WriteIndex(ref.Name, idx); err != nil {
		t.Fatal(err)
	}
	s, err := image.Resolve(t.Context(), ref, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := idx.Digest()
	if want := host + "/app@" + digest.String(); s.Canonical() != want {
		t.Errorf("canonical = %s, want %s", s.Canonical(), want)
	}
	images, err := image.Platforms(s)
	if err != nil || len(images) != 2 {
		t.Fatalf("got %d images, %v; want 2 without the attestation", len(images), err)
	}
	got, err := image.Platform(s, "linux/arm64", "linux/amd64")
	if err != nil || got.Platform.Architecture != "arm64" {
		t.Errorf("got %v, %v", got.Platform, err)
	}
	if got, err := image.Platform(s, "", "linux/amd64"); err != nil || got.Platform.Architecture != "amd64" {
		t.Errorf("fallback: got %v, %v", got.Platform, err)
	}
	_, err = image.Platform(s, "linux/s390x", "")
	if err == nil || fault.HintOf(err) != "choose one of: linux/amd64, linux/arm64" {
		t.Errorf("err = %v, hint %q", err, fault.HintOf(err))
	}
	if _, err := s.Image(); err == nil {
		t.Error("an index must not pass as an image")
	}
}

func TestResolveErrorsHaveHints(t *testing.T) {
	server := httptest.NewServer(registry.New())
	host := strings.TrimPrefix(server.URL, "http://")
	missing, _ := image.Parse(host + "/no/such:tag")
	_, err := image.Resolve(t.Context(), missing, image.Options{})
	if !strings.Contains(fault.HintOf(err), "check the name") {
		t.Errorf("missing image: %v, hint %q", err, fault.HintOf(err))
	}
	server.Close()
	_, err = image.Resolve(t.Context(), missing, image.Options{})
	if !strings.Contains(fault.HintOf(err), "is the registry "+host+" up") {
		t.Errorf("registry down: %v, hint %q", err, fault.HintOf(err))
	}
}

func TestResolveLayout(t *testing.T) {
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	ref, _ := image.Parse("oci://" + dir)
	if _, err := image.Resolve(t.Context(), ref, image.Options{}); err == nil {
		t.Error("an empty layout must be an error")
	}
	for _, tag := range []string{"one", "two"} {
		img, _ := random.Image(10, 1)
		if err := path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := image.Resolve(t.Context(), ref, image.Options{}); err == nil || fault.HintOf(err) == "" {
		t.Errorf("two images and no tag: %v", err)
	}
	ref, _ = image.Parse("oci://" + dir + ":two")
	s, err := image.Resolve(t.Context(), ref, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Image(); err != nil {
		t.Error(err)
	}
	if _, err := name.ParseReference("x@" + s.Descriptor.Digest.String()); err != nil {
		t.Error(err)
	}
}
