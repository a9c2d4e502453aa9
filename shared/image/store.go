package image

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Store is where manifests and blobs can be read by digest. What a place does
// not have is an error that is fs.ErrNotExist, or a registry's 404.
type Store interface {
	// Manifest returns the bytes of a manifest, not verified yet.
	Manifest(ctx context.Context, d v1.Descriptor) ([]byte, error)
	// Blob opens a blob, not verified yet. The caller closes it.
	Blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
}

// MaxDocument bounds manifests and configs, in bytes: they are held in memory.
// Registries commonly allow 4 MiB.
const MaxDocument = 8 << 20

// verifiedManifest reads a manifest and checks its digest.
func verifiedManifest(ctx context.Context, s Store, d v1.Descriptor) ([]byte, error) {
	raw, err := s.Manifest(ctx, d)
	if err != nil {
		return nil, err
	}
	if got, _, err := v1.SHA256(bytes.NewReader(raw)); err != nil || got != d.Digest {
		return nil, fmt.Errorf("the manifest's digest is %s and should be %s", got, d.Digest)
	}
	return raw, nil
}

// storedImage shows an image of a store to go-containerregistry. The interface
// takes no context, so it is kept.
type storedImage struct {
	ctx        context.Context //nolint:containedctx // see above
	store      Store
	descriptor v1.Descriptor
	raw        []byte
	manifest   v1.Manifest
}

func newStoredImage(ctx context.Context, s Store, d v1.Descriptor) (v1.Image, error) {
	raw, err := verifiedManifest(ctx, s, d)
	if err != nil {
		return nil, err
	}
	i := &storedImage{ctx: ctx, store: s, descriptor: d, raw: raw}
	if err := json.Unmarshal(raw, &i.manifest); err != nil {
		return nil, fmt.Errorf("parsing manifest %s: %w", d.Digest, err)
	}
	return partial.CompressedToImage(i)
}

func (i *storedImage) RawManifest() ([]byte, error)        { return i.raw, nil }
func (i *storedImage) MediaType() (types.MediaType, error) { return i.descriptor.MediaType, nil }

func (i *storedImage) RawConfigFile() ([]byte, error) {
	d := i.manifest.Config
	if d.Size > MaxDocument {
		return nil, fmt.Errorf("the config's %d bytes are more than the %d that are read", d.Size, MaxDocument)
	}
	r, err := i.store.Blob(i.ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, d.Size+1))
	if err != nil {
		return nil, err
	}
	if got, _, err := v1.SHA256(bytes.NewReader(raw)); err != nil || got != d.Digest {
		return nil, fmt.Errorf("the config's digest is %s and should be %s", got, d.Digest)
	}
	return raw, nil
}

func (i *storedImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range append([]v1.Descriptor{i.manifest.Config}, i.manifest.Layers...) {
		if d.Digest == h {
			return &storedLayer{i, d}, nil
		}
	}
	return nil, fmt.Errorf("%s is not a layer of %s", h, i.descriptor.Digest)
}

type storedLayer struct {
	image      *storedImage
	descriptor v1.Descriptor
}

func (l *storedLayer) Digest() (v1.Hash, error)            { return l.descriptor.Digest, nil }
func (l *storedLayer) Size() (int64, error)                { return l.descriptor.Size, nil }
func (l *storedLayer) MediaType() (types.MediaType, error) { return l.descriptor.MediaType, nil }
func (l *storedLayer) Descriptor() (*v1.Descriptor, error) { return &l.descriptor, nil }
func (l *storedLayer) Compressed() (io.ReadCloser, error) {
	return l.image.store.Blob(l.image.ctx, l.descriptor)
}

// storedIndex shows an index of a store to go-containerregistry.
type storedIndex struct {
	ctx        context.Context //nolint:containedctx // as in storedImage
	store      Store
	descriptor v1.Descriptor
	raw        []byte
	manifest   v1.IndexManifest
}

func newStoredIndex(ctx context.Context, s Store, d v1.Descriptor) (v1.ImageIndex, error) {
	raw, err := verifiedManifest(ctx, s, d)
	if err != nil {
		return nil, err
	}
	i := &storedIndex{ctx: ctx, store: s, descriptor: d, raw: raw}
	if err := json.Unmarshal(raw, &i.manifest); err != nil {
		return nil, fmt.Errorf("parsing index %s: %w", d.Digest, err)
	}
	return i, nil
}

func (i *storedIndex) MediaType() (types.MediaType, error)       { return i.descriptor.MediaType, nil }
func (i *storedIndex) Digest() (v1.Hash, error)                  { return i.descriptor.Digest, nil }
func (i *storedIndex) Size() (int64, error)                      { return int64(len(i.raw)), nil }
func (i *storedIndex) RawManifest() ([]byte, error)              { return i.raw, nil }
func (i *storedIndex) IndexManifest() (*v1.IndexManifest, error) { return i.manifest.DeepCopy(), nil }

func (i *storedIndex) Image(h v1.Hash) (v1.Image, error) {
	d, err := i.child(h)
	if err != nil {
		return nil, err
	}
	return newStoredImage(i.ctx, i.store, d)
}

func (i *storedIndex) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	d, err := i.child(h)
	if err != nil {
		return nil, err
	}
	return newStoredIndex(i.ctx, i.store, d)
}

func (i *storedIndex) child(h v1.Hash) (v1.Descriptor, error) {
	for _, d := range i.manifest.Manifests {
		if d.Digest == h {
			return d, nil
		}
	}
	return v1.Descriptor{}, fmt.Errorf("%s is not in the index %s", h, i.descriptor.Digest)
}
