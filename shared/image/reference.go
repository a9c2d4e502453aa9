// Package image names images and reads and writes them: what a user types
// becomes a [Reference], and a Reference resolves to one descriptor, fixed by
// digest, that all further work is done on.
//
// Two places are known so far, registries and OCI layout directories; others
// are further kinds of Reference. It does not interpret layers: shared/layer does.
package image

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Kind is where an image lies.
type Kind string

const (
	Registry Kind = "registry"   // name, or docker://name
	Layout   Kind = "oci layout" // oci://DIR or oci://DIR:TAG, an OCI image layout directory
)

// A Reference is the parsed form of what a user typed for an image.
type Reference struct {
	Kind Kind
	Name name.Reference // for Registry
	Dir  string         // for Layout
	Tag  string         // for Layout: the org.opencontainers.image.ref.name, may be ""
	raw  string
}

// String returns what the user typed.
func (r Reference) String() string { return r.raw }

// schemes that other tools use and that are not read here.
var foreignSchemes = []string{"oci-archive", "docker-archive", "docker-daemon", "containers-storage", "dir", "http", "https"}

// Parse reads an image reference: a plain name such as "ghcr.io/org/app:1.2" or
// "app@sha256:…", "docker://NAME", or "oci://DIR[:TAG]". Plain names are
// completed as docker does: docker.io, library/, latest.
func Parse(s string) (Reference, error) {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		scheme, rest = "docker", s
	}
	switch scheme {
	case "docker":
		n, err := name.ParseReference(rest, name.WeakValidation)
		if err != nil {
			return Reference{}, fmt.Errorf("parsing image reference %q: %w", s, err)
		}
		return Reference{Kind: Registry, Name: n, raw: s}, nil
	case "oci":
		dir, tag := rest, ""
		if i := strings.LastIndex(rest, ":"); i > strings.LastIndex(rest, "/") {
			dir, tag = rest[:i], rest[i+1:]
		}
		if dir == "" {
			return Reference{}, fmt.Errorf("parsing image reference %q: no directory", s)
		}
		return Reference{Kind: Layout, Dir: dir, Tag: tag, raw: s}, nil
	}
	err := fmt.Errorf("parsing image reference %q: scheme %q is not supported", s, scheme)
	for _, f := range foreignSchemes {
		if scheme == f {
			return Reference{}, fault.Hint(err, "push the image to a registry, or copy it with: skopeo copy %s oci:DIR, and use oci://DIR", s)
		}
	}
	return Reference{}, fault.Hint(err, "use a plain name, docker://NAME or oci://DIR")
}
