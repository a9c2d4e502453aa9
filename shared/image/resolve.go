package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Subject is an image or index, fixed by digest: whatever its tag points to
// later, it stays what it was when it was resolved.
type Subject struct {
	Reference  Reference
	Descriptor v1.Descriptor

	store Store
	image func() (v1.Image, error)
	index func() (v1.ImageIndex, error)
	close func() error
}

// newSubject is a subject that is read from its store alone. The context is that
// of what Image and Index return, whose interfaces take none.
func newSubject(ctx context.Context, ref Reference, d v1.Descriptor, s Store, closeStore func() error) Subject {
	return Subject{
		Reference: ref, Descriptor: d, store: s,
		image: func() (v1.Image, error) { return newStoredImage(ctx, s, d) },
		index: func() (v1.ImageIndex, error) { return newStoredIndex(ctx, s, d) },
		close: closeStore,
	}
}

// IsIndex reports whether the subject is an image index.
func (s Subject) IsIndex() bool { return s.Descriptor.MediaType.IsIndex() }

// Store returns where the subject and all of its parts are read.
func (s Subject) Store() Store { return s.store }

// Close gives up what reading needed, such as the open file of an archive.
func (s Subject) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

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

// Canonical returns the reference by digest, "repository@sha256:…" or, for an
// archive, "oci-archive://FILE@sha256:…". Of an engine it is the name alone, with
// the digest: engines find images of their own making only by name.
func (s Subject) Canonical() string {
	digest := s.Descriptor.Digest.String()
	switch s.Reference.Kind {
	case Registry:
		return s.Reference.Name.Context().Digest(digest).Name()
	case OCIArchive:
		return "oci-archive://" + s.Reference.Dir + "@" + digest
	case DockerArchive:
		return "docker-archive://" + s.Reference.Dir + "@" + digest
	case Daemon:
		return "docker-daemon://" + s.Reference.engineName() + "@" + digest
	}
	return "oci://" + s.Reference.Dir + "@" + digest
}

// Resolve looks the reference up once and fixes its digest. Errors say whether
// the image is missing, access was denied, or the registry did not answer, each
// with a hint. What an engine has is read out of it here, as a whole.
func Resolve(ctx context.Context, ref Reference, o Options) (Subject, error) {
	s, err := resolve(ctx, ref, o)
	if err != nil {
		return Subject{}, fmt.Errorf("resolving %s: %w", ref, Explain(err, ref))
	}
	return s, nil
}

func resolve(ctx context.Context, ref Reference, o Options) (Subject, error) {
	var f files
	var err error
	find := resolveLayout
	switch ref.Kind {
	case Registry:
		return resolveRegistry(ctx, ref, o)
	case Layout:
		f, err = openLayoutDir(ref)
	case OCIArchive:
		f, err = openArchive(ctx, ref.Dir, o)
	case DockerArchive:
		f, err = openArchive(ctx, ref.Dir, o)
		find = resolveDockerArchive
	case Daemon:
		f, err = saveFromEngine(ctx, ref, o)
		find = resolveDockerArchive
	default:
		err = fmt.Errorf("unknown kind of reference %q", ref.Kind)
	}
	if err != nil {
		return Subject{}, err
	}
	s, err := find(ctx, ref, f)
	if err != nil {
		f.Close()
	}
	return s, err
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
