package repack

import (
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/shared/image"
)

// registryDestination writes to a repository. Blobs and manifests without a tag
// that an aborted run leaves are the registry's to collect, and save the next run
// from sending them again.
type registryDestination struct {
	ref    image.Reference
	repo   name.Repository
	store  Store
	pusher *remote.Pusher
	puller *remote.Puller
}

var (
	_ Destination = (*registryDestination)(nil)
	_ mounter     = (*registryDestination)(nil)
)

func newRegistryDestination(ctx context.Context, ref image.Reference, o image.Options) (*registryDestination, error) {
	if err := checkPush(ctx, ref, o); err != nil {
		return nil, err
	}
	pusher, err := remote.NewPusher(o.Remote(ctx)...)
	if err != nil {
		return nil, err
	}
	puller, err := remote.NewPuller(o.Remote(ctx)...)
	if err != nil {
		return nil, err
	}
	store, err := image.NewRegistryStore(ctx, ref, o)
	if err != nil {
		return nil, err
	}
	return &registryDestination{ref, ref.Name.Context(), store, pusher, puller}, nil
}

func (r *registryDestination) explain(err error) error { return image.Explain(err, r.ref) }

func (r *registryDestination) Manifest(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	return r.store.Manifest(ctx, d)
}

func (r *registryDestination) Blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return r.store.Blob(ctx, d)
}

func (r *registryDestination) PutBlob(ctx context.Context, d v1.Descriptor, open func() (io.ReadCloser, error)) (bool, error) {
	there, err := r.puller.Layer(ctx, r.repo.Digest(d.Digest.String()))
	if err != nil {
		return false, r.explain(err)
	}
	// A failing look-up is not an answer; the upload's own error says more.
	if ok, err := partial.Exists(there); err == nil && ok {
		return false, nil
	}
	return true, r.upload(ctx, d, open, func(l v1.Layer) v1.Layer { return l })
}

func (r *registryDestination) upload(ctx context.Context, d v1.Descriptor, open func() (io.ReadCloser, error), wrap func(v1.Layer) v1.Layer) error {
	l, err := partial.CompressedToLayer(&blobLayer{d, open})
	if err != nil {
		return err
	}
	if err := r.pusher.Upload(ctx, r.repo, wrap(l)); err != nil {
		return fmt.Errorf("uploading %s to %s: %w", d.Digest, r.repo, r.explain(err))
	}
	return nil
}

// mount asks the registry to take the blob over from another of its repositories,
// and sends it if the registry would rather have it sent.
func (r *registryDestination) mount(ctx context.Context, d v1.Descriptor, from name.Reference, open func() (io.ReadCloser, error)) (sent bool, err error) {
	if from.Context().RegistryStr() != r.repo.RegistryStr() || from.Context().Name() == r.repo.Name() {
		return r.PutBlob(ctx, d, open)
	}
	err = r.upload(ctx, d, func() (io.ReadCloser, error) {
		sent = true
		return open()
	}, func(l v1.Layer) v1.Layer { return &remote.MountableLayer{Layer: l, Reference: from} })
	return sent, err
}

func (r *registryDestination) PutManifest(ctx context.Context, d v1.Descriptor, raw []byte) error {
	if err := r.pusher.Put(ctx, r.repo.Digest(d.Digest.String()), rawManifest{d.MediaType, raw}); err != nil {
		return fmt.Errorf("uploading manifest %s to %s: %w", d.Digest, r.repo, r.explain(err))
	}
	return nil
}

func (r *registryDestination) Publish(ctx context.Context, d v1.Descriptor, raw []byte) error {
	if err := r.pusher.Put(ctx, r.ref.Name, rawManifest{d.MediaType, raw}); err != nil {
		return fmt.Errorf("tagging %s: %w", r.ref.Name, r.explain(err))
	}
	return nil
}

func (r *registryDestination) Abort() {}

// rawManifest is a remote.Taggable of ready bytes.
type rawManifest struct {
	mediaType types.MediaType
	raw       []byte
}

func (m rawManifest) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m rawManifest) MediaType() (types.MediaType, error) { return m.mediaType, nil }

// blobLayer is the part of a layer that uploading needs.
type blobLayer struct {
	d    v1.Descriptor
	open func() (io.ReadCloser, error)
}

func (l *blobLayer) Digest() (v1.Hash, error)            { return l.d.Digest, nil }
func (l *blobLayer) Size() (int64, error)                { return l.d.Size, nil }
func (l *blobLayer) MediaType() (types.MediaType, error) { return l.d.MediaType, nil }
func (l *blobLayer) Compressed() (io.ReadCloser, error)  { return l.open() }
