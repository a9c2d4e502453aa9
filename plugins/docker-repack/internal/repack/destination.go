package repack

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

// A Destination takes in blobs and manifests by digest, and only at the end gives
// one of them the name that the user asked for. What it has stored can be read
// back from it at any time.
type Destination interface {
	Store
	// PutBlob stores a blob unless it is there already, and reports whether it
	// had to be sent. Open may be called more than once.
	PutBlob(ctx context.Context, d v1.Descriptor, open func() (io.ReadCloser, error)) (sent bool, err error)
	// PutManifest stores a manifest whose parts are there, without a name.
	PutManifest(ctx context.Context, d v1.Descriptor, raw []byte) error
	// Publish gives a stored manifest the destination's name.
	Publish(ctx context.Context, d v1.Descriptor, raw []byte) error
	// Abort removes what has no meaning without a name, as far as the place
	// allows. It is called instead of Publish.
	Abort()
}

// suffix is what DEST is made with when it is left out.
const suffix = "-repacked"

// DefaultDestination is where an image goes when the user names no destination:
// the source's repository, or layout, with "-repacked" after the tag.
func DefaultDestination(source image.Reference) (image.Reference, error) {
	switch source.Kind {
	case image.Registry:
		if tag, ok := source.Name.(name.Tag); ok {
			return image.Parse(tag.Context().Tag(tag.TagStr() + suffix).Name())
		}
	case image.Layout:
		if source.Tag != "" {
			return image.Parse("oci://" + source.Dir + ":" + source.Tag + suffix)
		}
	}
	return image.Reference{}, fault.Hint(fmt.Errorf("%s has no tag that a destination could be named after", source),
		"name the destination: docker repack %s DEST", source)
}

// OpenDestination prepares to write to ref, and fails if a registry does not allow
// that. Nothing is changed yet.
func OpenDestination(ctx context.Context, ref image.Reference, o image.Options) (Destination, error) {
	switch ref.Kind {
	case image.Registry:
		if _, ok := ref.Name.(name.Digest); ok {
			return nil, fault.Hint(fmt.Errorf("destination %s is a digest, which only the result decides", ref),
				"name a tag: %s:TAG", strings.TrimPrefix(ref.Name.Context().Name(), "index.docker.io/"))
		}
		return newRegistryDestination(ctx, ref, o)
	case image.Layout:
		return newLayoutDestination(ref)
	}
	return nil, fmt.Errorf("destination %s: a %s cannot be written", ref, ref.Kind)
}
