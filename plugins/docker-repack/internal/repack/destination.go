package repack

import (
	"context"
	"fmt"
	"io"
	"os"
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

// A mounter is a [Destination] that can have a blob from where the source lies,
// without a transfer.
type mounter interface {
	mount(ctx context.Context, d v1.Descriptor, from name.Reference, open func() (io.ReadCloser, error)) (sent bool, err error)
}

// suffix is what DEST is made with when it is left out.
const suffix = "-repacked"

// DefaultDestination is where an image goes when the user names no destination:
// the source's repository, layout or engine, with "-repacked" after the tag; of an
// archive the file beside it, with "-repacked" before ".tar".
func DefaultDestination(source image.Reference) (image.Reference, error) {
	switch source.Kind {
	case image.Registry:
		if tag, ok := source.Name.(name.Tag); ok {
			return image.Parse(tag.Context().Tag(tag.TagStr() + suffix).Name())
		}
	case image.Daemon:
		if tag, ok := source.Name.(name.Tag); ok {
			return image.Parse("docker-daemon://" + tag.Context().Tag(tag.TagStr()+suffix).Name())
		}
	case image.OCIArchive:
		return image.Parse("oci-archive://" + besides(source.Dir) + optional(":", source.Tag))
	case image.DockerArchive:
		if source.Name == nil {
			return image.Parse("docker-archive://" + besides(source.Dir))
		}
		return image.Parse("docker-archive://" + besides(source.Dir) + ":" + image.FamiliarName(source))
	case image.Layout:
		if source.Tag != "" {
			return image.Parse("oci://" + source.Dir + ":" + source.Tag + suffix)
		}
	}
	return image.Reference{}, fault.Hint(fmt.Errorf("%s has no tag that a destination could be named after", source),
		"name the destination: docker repack %s DEST", source)
}

// besides names a file after another.
func besides(file string) string {
	base, ext := file, ""
	for _, e := range []string{".tar", ".tar.gz", ".tgz"} {
		if strings.HasSuffix(file, e) {
			base, ext = strings.TrimSuffix(file, e), ".tar"
		}
	}
	return base + suffix + ext
}

func optional(separator, s string) string {
	if s == "" {
		return ""
	}
	return separator + s
}

// CheckPair is an error if the destination cannot be written while the source is
// read.
func CheckPair(source, dest image.Reference) error {
	if !source.IsArchive() || !dest.IsArchive() {
		return nil
	}
	a, err := os.Stat(source.Dir)
	if err != nil {
		return nil //nolint:nilerr // opening it says it better
	}
	if b, err := os.Stat(dest.Dir); err != nil || !os.SameFile(a, b) {
		return nil //nolint:nilerr // it is made
	}
	return fault.Hint(fmt.Errorf("%s is the source and the destination, and a destination's file is written anew", dest.Dir), "name another file: %s", besides(dest.Dir))
}

// OpenDestination prepares to write to ref, and fails if a registry does not allow
// that. Nothing is changed yet.
func OpenDestination(ctx context.Context, ref image.Reference, o image.Options) (Destination, error) {
	if _, ok := ref.Name.(name.Digest); ok {
		return nil, fault.Hint(fmt.Errorf("destination %s is a digest, which only the result decides", ref),
			"name a tag: %s:TAG", strings.TrimPrefix(ref.Name.Context().Name(), "index.docker.io/"))
	}
	if ref.Digest != (v1.Hash{}) || ref.ID != "" {
		return nil, fault.Hint(fmt.Errorf("destination %s is a digest, which only the result decides", ref), "name a tag instead")
	}
	switch ref.Kind {
	case image.Registry:
		return newRegistryDestination(ctx, ref, o)
	case image.Layout:
		return newLayoutDestination(ref)
	case image.OCIArchive, image.DockerArchive:
		return newArchiveDestination(ref, o)
	case image.Daemon:
		return newEngineDestination(ctx, ref, o)
	}
	return nil, fmt.Errorf("destination %s: a %s cannot be written", ref, ref.Kind)
}
