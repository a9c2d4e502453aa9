package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Subject is an image or index, fixed by digest: whatever its tag points to
// later, it stays what it was when it was resolved.
type Subject struct {
	Reference  Reference
	Descriptor v1.Descriptor

	image func() (v1.Image, error)
	index func() (v1.ImageIndex, error)
}

// IsIndex reports whether the subject is an image index.
func (s Subject) IsIndex() bool { return s.Descriptor.MediaType.IsIndex() }

// Image returns the subject as a single image; an error if it is an index.
func (s Subject) Image() (v1.Image, error) {
	if s.IsIndex() {
		return nil, fmt.Errorf("%s is an index, not a single image", s.Reference)
	}
	return s.image()
}

// Index returns the subject as an index; an error if it is a single image.
func (s Subject) Index() (v1.ImageIndex, error) {
	if !s.IsIndex() {
		return nil, fmt.Errorf("%s is a single image, not an index", s.Reference)
	}
	return s.index()
}

// Canonical returns the reference by digest, "repository@sha256:…".
func (s Subject) Canonical() string {
	if s.Reference.Kind == Registry {
		return s.Reference.Name.Context().Digest(s.Descriptor.Digest.String()).Name()
	}
	return "oci://" + s.Reference.Dir + "@" + s.Descriptor.Digest.String()
}

// Resolve looks the reference up once and fixes its digest. Errors say whether
// the image is missing, access was denied, or the registry did not answer, each
// with a hint.
func Resolve(ctx context.Context, ref Reference, o Options) (Subject, error) {
	s, err := resolve(ctx, ref, o)
	if err != nil {
		return Subject{}, fmt.Errorf("resolving %s: %w", ref, Explain(err, ref))
	}
	return s, nil
}

func resolve(ctx context.Context, ref Reference, o Options) (Subject, error) {
	switch ref.Kind {
	case Registry:
		d, err := remote.Get(ref.Name, o.Remote(ctx)...)
		if err != nil {
			return Subject{}, err
		}
		if !d.MediaType.IsIndex() && !d.MediaType.IsImage() {
			return Subject{}, fmt.Errorf("media type %q is neither an image nor an index", d.MediaType)
		}
		return Subject{Reference: ref, Descriptor: d.Descriptor, image: d.Image, index: d.ImageIndex}, nil
	case Layout:
		return resolveLayout(ref)
	}
	return Subject{}, fmt.Errorf("unknown kind of reference %q", ref.Kind)
}

const annotationRefName = "org.opencontainers.image.ref.name"

func resolveLayout(ref Reference) (Subject, error) {
	path, err := layout.FromPath(ref.Dir)
	if err != nil {
		return Subject{}, err
	}
	root, err := path.ImageIndex()
	if err != nil {
		return Subject{}, err
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		return Subject{}, err
	}
	var found []v1.Descriptor
	for _, d := range manifest.Manifests {
		if ref.Tag == "" || d.Annotations[annotationRefName] == ref.Tag {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0 && ref.Tag != "":
		return Subject{}, fmt.Errorf("the layout has no image called %q", ref.Tag)
	case len(found) == 0:
		return Subject{}, errors.New("the layout is empty")
	case len(found) > 1:
		return Subject{}, fault.Hint(fmt.Errorf("the layout holds %d images", len(found)), "name one: oci://%s:TAG", ref.Dir)
	}
	d := found[0]
	return Subject{
		Reference:  ref,
		Descriptor: d,
		image:      func() (v1.Image, error) { return root.Image(d.Digest) },
		index:      func() (v1.ImageIndex, error) { return root.ImageIndex(d.Digest) },
	}, nil
}

// Explain adds to a registry client's error what the user can do about it. Other
// errors come back as they are.
func Explain(err error, ref Reference) error {
	var te *transport.Error
	if errors.As(err, &te) {
		switch te.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return fault.Hint(err, "log in: docker login %s", registryOf(ref))
		case http.StatusNotFound:
			return fault.Hint(err, "check the name and tag: docker buildx imagetools inspect %s", strings.TrimPrefix(ref.String(), "docker://"))
		case http.StatusTooManyRequests:
			return fault.Hint(err, "the registry limits requests: log in, or try again later")
		}
		if te.StatusCode >= http.StatusInternalServerError {
			return fault.Hint(err, "the registry is in trouble itself: try again later")
		}
		return err
	}
	var netErr interface{ Timeout() bool }
	if errors.As(err, &netErr) && ref.Kind == Registry {
		return fault.Hint(err, "is the registry %s up and reachable from here?", registryOf(ref))
	}
	return err
}

func registryOf(ref Reference) string {
	if ref.Kind != Registry || ref.Name.Context().RegistryStr() == name.DefaultRegistry {
		return ""
	}
	return ref.Name.Context().RegistryStr()
}
