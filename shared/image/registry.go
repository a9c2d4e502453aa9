package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// registryStore reads a repository.
type registryStore struct {
	ref    Reference
	repo   name.Repository
	puller *remote.Puller
}

// NewRegistryStore reads the repository of a reference to a registry.
func NewRegistryStore(ctx context.Context, ref Reference, o Options) (Store, error) {
	puller, err := remote.NewPuller(o.Remote(ctx)...)
	return &registryStore{ref, ref.Name.Context(), puller}, err
}

func (r *registryStore) Manifest(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	got, err := r.puller.Get(ctx, r.repo.Digest(d.Digest.String()))
	if err != nil {
		return nil, Explain(err, r.ref)
	}
	return got.Manifest, nil
}

func (r *registryStore) Blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	l, err := r.puller.Layer(ctx, r.repo.Digest(d.Digest.String()))
	if err != nil {
		return nil, err
	}
	b, err := l.Compressed()
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return nil, fault.Hint(err, "the registry has lost a part of the image: push the image again")
	}
	return b, Explain(err, r.ref)
}

func resolveRegistry(ctx context.Context, ref Reference, o Options) (Subject, error) {
	d, err := remote.Get(ref.Name, o.Remote(ctx)...)
	if err != nil {
		return Subject{}, err
	}
	if !d.MediaType.IsIndex() && !d.MediaType.IsImage() {
		return Subject{}, fmt.Errorf("media type %q is neither an image nor an index", d.MediaType)
	}
	store, err := NewRegistryStore(ctx, ref, o)
	if err != nil {
		return Subject{}, err
	}
	return Subject{
		Reference: ref, Descriptor: d.Descriptor, image: d.Image, index: d.ImageIndex,
		store: rootStore{store, d.Digest, d.Manifest},
	}, nil
}

// rootStore has the manifest at hand with which everything begins.
type rootStore struct {
	Store
	root v1.Hash
	raw  []byte
}

func (r rootStore) Manifest(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if d.Digest == r.root {
		return r.raw, nil
	}
	return r.Store.Manifest(ctx, d)
}
