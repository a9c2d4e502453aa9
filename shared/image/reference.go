// Package image names images and reads them: what a user types becomes a
// [Reference], and a Reference resolves to a [Subject], one descriptor, fixed by
// digest, that all further work is done on, and the [Store] that has its parts.
//
// Five kinds of places are known: registries, OCI layout directories, OCI and
// docker archives, and the engine of the user's docker context. The package does
// not interpret layers: shared/layer does.
package image

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Kind is where an image lies.
type Kind string

const (
	Registry      Kind = "registry"       // name, or docker://name
	Layout        Kind = "oci layout"     // oci://DIR[:TAG], an OCI image layout directory
	OCIArchive    Kind = "oci archive"    // oci-archive://FILE[:TAG], a layout in a tar file
	DockerArchive Kind = "docker archive" // docker-archive://FILE[:NAME], what docker save writes
	Daemon        Kind = "docker engine"  // docker-daemon://NAME
)

// Schemes are the prefixes of references, in the order that help lists them.
var Schemes = []string{"docker://", "oci://", "oci-archive://", "docker-archive://", "docker-daemon://"}

// A Reference is the parsed form of what a user typed for an image.
type Reference struct {
	Kind Kind
	// Name is the image's name: always for Registry; for Daemon unless ID is
	// given; for DockerArchive nil if the user named the file alone.
	Name name.Reference
	ID   string // for Daemon: an image ID, "sha256:…"
	Dir  string // the directory of a Layout, the file of an archive
	Tag  string // for Layout and OCIArchive: the org.opencontainers.image.ref.name, may be ""
	// Digest chooses an image of a Layout or archive, instead of Tag or Name.
	Digest v1.Hash
	raw    string
}

// String returns what the user typed.
func (r Reference) String() string { return r.raw }

// IsArchive reports whether the image lies in a tar file.
func (r Reference) IsArchive() bool { return r.Kind == OCIArchive || r.Kind == DockerArchive }

// Only is an error unless the reference is of one of the kinds, for work that others
// do not allow.
func (r Reference) Only(kinds ...Kind) error {
	if slices.Contains(kinds, r.Kind) {
		return nil
	}
	return fault.Hint(fmt.Errorf("%s: images of a %s are not supported here", r, r.Kind),
		"push it to a registry, or copy it into a layout: docker repack %s oci://DIR", r)
}

// Parse reads an image reference: a plain name such as "ghcr.io/org/app:1.2" or
// "app@sha256:…", or a scheme and what it leads to, as listed at [Kind]. Plain
// names are completed as docker does: docker.io, library/, latest.
//
// The spellings of skopeo, "oci:DIR" and so on, are understood where they are not
// image names themselves: "oci:1.0" is the tag 1.0 of the image oci.
func Parse(s string) (Reference, error) {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		var err error
		if scheme, rest, err = withoutSlashes(s); err != nil {
			return Reference{}, err
		}
	}
	r, err := parse(scheme, rest)
	if err != nil {
		return Reference{}, fmt.Errorf("parsing image reference %q: %w", s, err)
	}
	r.raw = s
	return r, nil
}

// withoutSlashes takes a reference without "://" apart.
func withoutSlashes(s string) (scheme, rest string, err error) {
	scheme, rest, found := strings.Cut(s, ":")
	if !found || scheme == "docker" || !slices.Contains(Schemes, scheme+"://") {
		return "docker", s, nil
	}
	if !isName(s) || strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, ".") {
		return scheme, rest, nil
	}
	return "", "", fault.Hint(fmt.Errorf("image reference %q is ambiguous", s), "write %s://%s, or docker://%s for the image of that name", scheme, rest, s)
}

func isName(s string) bool {
	_, err := name.ParseReference(s)
	return err == nil
}

func parse(scheme, rest string) (Reference, error) {
	switch scheme {
	case "docker":
		n, err := name.ParseReference(rest, name.WeakValidation)
		return Reference{Kind: Registry, Name: n}, err
	case "oci":
		return parseFile(Layout, "directory", rest, strings.LastIndex(rest, "/"))
	case "oci-archive":
		return parseFile(OCIArchive, "file", rest, strings.LastIndex(rest, "/"))
	case "docker-archive":
		r, err := parseFile(DockerArchive, "file", rest, 0)
		if err == nil && r.Tag != "" {
			r.Name, err = name.ParseReference(r.Tag, name.WeakValidation)
			r.Tag = ""
		}
		return r, err
	case "docker-daemon":
		if _, err := v1.NewHash(rest); err == nil {
			return Reference{Kind: Daemon, ID: rest}, nil
		}
		n, err := name.ParseReference(rest, name.WeakValidation)
		return Reference{Kind: Daemon, Name: n}, err
	}
	return Reference{}, fault.Hint(fmt.Errorf("scheme %q is not supported", scheme),
		"use a plain name, or one of %s", strings.Join(Schemes, ", "))
}

// parseFile reads PATH, PATH:TAG or PATH@DIGEST; the colon is looked for from the
// given index on, as far as the path may hold none itself.
func parseFile(kind Kind, what, s string, from int) (Reference, error) {
	r := Reference{Kind: kind, Dir: s}
	if i := strings.LastIndex(s, "@sha256:"); i >= 0 {
		var err error
		if r.Digest, err = v1.NewHash(s[i+1:]); err != nil {
			return Reference{}, err
		}
		r.Dir = s[:i]
	} else if i := strings.Index(s[max(from, 0):], ":"); i >= 0 {
		i += max(from, 0)
		r.Dir, r.Tag = s[:i], s[i+1:]
	}
	if r.Dir == "" {
		return Reference{}, errors.New("no " + what)
	}
	return r, nil
}
