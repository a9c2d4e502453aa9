package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// AnnotationContainerdName is where containerd and BuildKit put the full name of
// an image in a layout's index, beside the tag alone that the OCI specification has.
const AnnotationContainerdName = "io.containerd.image.name"

// layoutStore is an OCI image layout, in a directory or in an archive.
type layoutStore struct{ files }

func (l layoutStore) Manifest(_ context.Context, d v1.Descriptor) ([]byte, error) {
	return readAll(l.files, blobPath(d.Digest))
}

func (l layoutStore) Blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	r, _, err := l.open(blobPath(d.Digest))
	return r, err
}

// Has reports whether the layout holds a blob: one for some platforms alone may
// list others.
func (l layoutStore) Has(d v1.Descriptor) bool {
	r, _, err := l.open(blobPath(d.Digest))
	if err != nil {
		return false
	}
	r.Close()
	return true
}

func blobPath(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

func openLayoutDir(ref Reference) (files, error) {
	root, err := os.OpenRoot(ref.Dir)
	if err != nil {
		return nil, err
	}
	return directory{root}, nil
}

// resolveLayout finds the image of a layout that the reference means.
func resolveLayout(ctx context.Context, ref Reference, f files) (Subject, error) {
	raw, err := readAll(f, ocispec.ImageIndexFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Subject{}, notALayout(ref, f)
	}
	if err != nil {
		return Subject{}, err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		return Subject{}, fmt.Errorf("parsing %s: %w", ocispec.ImageIndexFile, err)
	}
	var images, found []v1.Descriptor
	for _, d := range index.Manifests {
		if !d.MediaType.IsIndex() && !d.MediaType.IsImage() || slices.ContainsFunc(images, func(o v1.Descriptor) bool { return sameEntry(o, d) }) {
			continue
		}
		images = append(images, d)
		// The same image under two names is one.
		if ref.means(d) && !slices.ContainsFunc(found, func(o v1.Descriptor) bool { return o.Digest == d.Digest }) {
			found = append(found, d)
		}
	}
	if err := one(ref, len(found), len(images), func() (names []string) {
		for _, d := range images {
			names = append(names, entryName(d))
		}
		return names
	}); err != nil {
		return Subject{}, err
	}
	return newSubject(ctx, ref, found[0], layoutStore{f}, f.Close), nil
}

func notALayout(ref Reference, f files) error {
	err := fmt.Errorf("no OCI layout: there is no %s", ocispec.ImageIndexFile)
	if _, _, is := f.open(dockerManifestFile); is == nil && ref.Kind == OCIArchive {
		return fault.Hint(err, "it is what docker save writes: docker-archive://%s", ref.Dir)
	}
	return err
}

func sameEntry(a, b v1.Descriptor) bool { return a.Digest == b.Digest && entryName(a) == entryName(b) }

// entryName is what an entry of a layout's index is called.
func entryName(d v1.Descriptor) string {
	for _, key := range []string{AnnotationContainerdName, ocispec.AnnotationRefName} {
		if n := d.Annotations[key]; n != "" {
			return n
		}
	}
	return d.Digest.String()
}

// means reports whether the reference chooses the entry of a layout's index.
func (r Reference) means(d v1.Descriptor) bool {
	switch {
	case r.Digest != v1.Hash{}:
		return d.Digest == r.Digest
	case r.Kind == DockerArchive && r.Name != nil:
		n, err := name.ParseReference(entryName(d), name.WeakValidation)
		return err == nil && n.Name() == r.Name.Name()
	case r.Tag != "":
		return d.Annotations[ocispec.AnnotationRefName] == r.Tag || d.Annotations[AnnotationContainerdName] == r.Tag
	}
	return true
}

// one is the error if the number of images found is not 1. Names are of all that
// are there.
func one(ref Reference, found, all int, names func() []string) error {
	chosen := ref.Tag
	if ref.Name != nil {
		chosen = ref.Name.String()
	}
	if ref.Digest != (v1.Hash{}) {
		chosen = ref.Digest.String()
	}
	what := "layout"
	if ref.IsArchive() {
		what = "archive"
	}
	base, _, _ := strings.Cut(ref.raw, "://")
	switch {
	case found == 1:
		return nil
	case all == 0:
		return fmt.Errorf("the %s is empty", what)
	case found == 0:
		return fault.Hint(fmt.Errorf("the %s has no image called %q", what, chosen), "it has: %s", strings.Join(names(), ", "))
	case chosen != "":
		return fmt.Errorf("the %s has %d images called %q", what, found, chosen)
	}
	return fault.Hint(fmt.Errorf("the %s holds %d images", what, found), "name one, %s://%s:TAG: %s", base, ref.Dir, strings.Join(names(), ", "))
}
