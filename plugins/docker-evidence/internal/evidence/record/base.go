package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

// Annotations of the OCI image specification that name the base image.
const (
	annotationBaseName   = "org.opencontainers.image.base.name"
	annotationBaseDigest = "org.opencontainers.image.base.digest"
)

// ErrNoBase is what an image gives that does not tell what it was built on.
var ErrNoBase = errors.New("the base image is not known")

// ParseBase reads "NAME@sha256:…" as a user gives it.
func ParseBase(s string) (Base, error) {
	n, d, found := strings.Cut(s, "@")
	if !found || !IsDigest(d) {
		return Base{}, fmt.Errorf("base %q is not NAME@sha256:DIGEST", s)
	}
	if _, err := name.ParseReference(n, name.WeakValidation); err != nil {
		return Base{}, fmt.Errorf("base %q: %w", s, err)
	}
	return Base{n, d, "flag"}, nil
}

// FindBase returns the base image that the annotations of the manifest, or of the
// index around it, name, or else the only image that BuildKit's provenance in the
// index lists as a material. The provenance is not signed; the record says where
// the base comes from. If none is found the error is [ErrNoBase], with a hint.
func FindBase(s image.Subject, p image.PlatformImage) (Base, error) {
	manifest, err := p.Image.Manifest()
	if err != nil {
		return Base{}, fmt.Errorf("reading manifest %s: %w", p.Descriptor.Digest, err)
	}
	if b, ok := annotated(manifest.Annotations); ok {
		return b, nil
	}
	var candidates []Base
	if s.IsIndex() {
		index, err := s.Index()
		if err != nil {
			return Base{}, err
		}
		im, err := index.IndexManifest()
		if err != nil {
			return Base{}, fmt.Errorf("reading index %s: %w", s.Reference, err)
		}
		if b, ok := annotated(im.Annotations); ok {
			return b, nil
		}
		if candidates, err = fromProvenance(index, im, p.Descriptor.Digest); err != nil {
			return Base{}, err
		}
		if len(candidates) == 1 {
			return candidates[0], nil
		}
	}
	hint := "name it: --base NAME@sha256:DIGEST; or build with provenance, or with the annotation " + annotationBaseDigest
	if len(candidates) > 1 {
		hint = "choose one: "
		for i, c := range candidates {
			if i > 0 {
				hint += " or "
			}
			hint += "--base " + c.Name + "@" + c.Digest
		}
	}
	return Base{}, fault.Hint(ErrNoBase, "%s", hint)
}

func annotated(a map[string]string) (Base, bool) {
	b := Base{a[annotationBaseName], a[annotationBaseDigest], "annotation"}
	return b, b.Name != "" && IsDigest(b.Digest)
}

// maxStatement bounds an attestation that is read whole.
const maxStatement = 64 << 20

// fromProvenance lists the images that BuildKit's provenance of subject names.
func fromProvenance(index v1.ImageIndex, im *v1.IndexManifest, subject v1.Hash) ([]Base, error) {
	var out []Base
	for _, d := range im.Manifests {
		if !image.IsAttestation(d) || d.Annotations["vnd.docker.reference.digest"] != subject.String() {
			continue
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			return nil, fmt.Errorf("reading attestation %s: %w", d.Digest, err)
		}
		m, err := img.Manifest()
		if err != nil {
			return nil, fmt.Errorf("reading attestation %s: %w", d.Digest, err)
		}
		for _, l := range m.Layers {
			if !strings.HasPrefix(l.Annotations["in-toto.io/predicate-type"], "https://slsa.dev/provenance/") || l.Size > maxStatement {
				continue
			}
			data, err := readLayer(img, l)
			if err != nil {
				return nil, fmt.Errorf("reading provenance %s: %w", l.Digest, err)
			}
			out = append(out, materials(data)...)
		}
	}
	return out, nil
}

func readLayer(img v1.Image, d v1.Descriptor) ([]byte, error) {
	l, err := img.LayerByDigest(d.Digest)
	if err != nil {
		return nil, err
	}
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, d.Size+1))
}

// materials reads the images out of SLSA provenance 0.2 or 1. Dockerfile
// frontends are images too, but nothing is built on them.
func materials(data []byte) []Base {
	type material struct {
		URI    string            `json:"uri"`
		Digest map[string]string `json:"digest"`
	}
	var statement struct {
		Predicate struct {
			Materials       []material `json:"materials"`
			BuildDefinition struct {
				ResolvedDependencies []material `json:"resolvedDependencies"`
			} `json:"buildDefinition"`
		} `json:"predicate"`
	}
	if json.Unmarshal(data, &statement) != nil {
		return nil
	}
	var out []Base
	seen := map[string]bool{}
	for _, m := range append(statement.Predicate.Materials, statement.Predicate.BuildDefinition.ResolvedDependencies...) {
		n, ok := imageOfPURL(m.URI)
		b := Base{n, "sha256:" + m.Digest["sha256"], "provenance"}
		if !ok || !IsDigest(b.Digest) || seen[b.Digest] || strings.Contains(b.Name, "docker/dockerfile") {
			continue
		}
		seen[b.Digest] = true
		out = append(out, b)
	}
	return out
}

// imageOfPURL reads "pkg:docker/debian@bookworm-slim?platform=linux%2Famd64", the
// form of BuildKit's materials, as "debian:bookworm-slim".
func imageOfPURL(purl string) (string, bool) {
	rest, ok := strings.CutPrefix(purl, "pkg:docker/")
	if !ok {
		return "", false
	}
	rest, _, _ = strings.Cut(rest, "?")
	repository, version, _ := strings.Cut(rest, "@")
	repository, err := url.PathUnescape(repository)
	if err != nil || repository == "" {
		return "", false
	}
	if version, err = url.PathUnescape(version); err != nil {
		return "", false
	}
	if version != "" && !strings.Contains(version, ":") {
		repository += ":" + version
	}
	return repository, true
}
