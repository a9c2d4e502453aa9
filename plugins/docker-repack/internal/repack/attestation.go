package repack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// referenceDigest is the annotation by which BuildKit ties an attestation manifest
// to the image that stands beside it in the index.
const referenceDigest = "vnd.docker.reference.digest"

// attestation copies an attestation manifest to the destination and returns its
// descriptor, pointing to the repacked image; keep is false if the image it is
// about was not repacked.
//
// The statements inside are about the source's digest and stay as they are:
// they tell how the image was built. The image's own annotation leads from the
// new digest to that one.
func (r *run) attestation(ctx context.Context, d v1.Descriptor, moved map[v1.Hash]v1.Descriptor) (_ v1.Descriptor, keep bool, err error) {
	about := d.Annotations[referenceDigest]
	from, _ := v1.NewHash(about)
	to, ok := moved[from]
	if !ok {
		if len(r.opts.Platforms) == 0 {
			r.warn("attestation %s is about %q, which is not in the index, and was left out", d.Digest, about)
		}
		return v1.Descriptor{}, false, nil
	}
	raw, subject, err := r.parts(ctx, d)
	if err != nil {
		return v1.Descriptor{}, false, fmt.Errorf("copying attestation %s: %w", d.Digest, err)
	}
	doc := document{v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, raw}
	if subject != nil && subject.Digest == from {
		// Attestations in artifact form name their image a second time.
		if doc, err = withSubject(raw, d.MediaType, to); err != nil {
			return v1.Descriptor{}, false, err
		}
	}
	if err := r.dst.PutManifest(ctx, doc.descriptor, doc.raw); err != nil {
		return v1.Descriptor{}, false, err
	}
	d.Digest, d.Size, d.Data = doc.descriptor.Digest, doc.descriptor.Size, nil
	d.Annotations = maps.Clone(d.Annotations)
	d.Annotations[referenceDigest] = to.Digest.String()
	return d, true, nil
}

// artifact copies what stands in an index and is no image. One that is about an
// image, such as a signature, is left out: it is not about the new one.
func (r *run) artifact(ctx context.Context, d v1.Descriptor, moved map[v1.Hash]v1.Descriptor) (_ v1.Descriptor, keep bool, err error) {
	raw, err := readManifest(ctx, r.source, d)
	if err != nil {
		return v1.Descriptor{}, false, err
	}
	var m withSubjectField
	if err := json.Unmarshal(raw, &m); err != nil {
		return v1.Descriptor{}, false, fmt.Errorf("parsing manifest %s: %w", d.Digest, err)
	}
	if m.Subject != nil {
		if to, ok := moved[m.Subject.Digest]; ok && to.Digest != m.Subject.Digest {
			r.warn("%s, in the index, is about %s and not about the result, and was left out", d.Digest, m.Subject.Digest)
			return v1.Descriptor{}, false, nil
		}
	}
	if _, _, err := r.parts(ctx, d); err != nil {
		return v1.Descriptor{}, false, fmt.Errorf("copying artifact %s: %w", d.Digest, err)
	}
	return d, true, r.dst.PutManifest(ctx, d, raw)
}

// pass copies an image as it is, and returns its descriptor.
func (r *run) pass(ctx context.Context, d v1.Descriptor) (v1.Descriptor, error) {
	raw, _, err := r.parts(ctx, d)
	if err == nil {
		err = r.dst.PutManifest(ctx, d, raw)
	}
	if err != nil {
		return d, fmt.Errorf("copying %s: %w", platformText(*d.Platform), err)
	}
	return d, nil
}

type withSubjectField struct {
	v1.Manifest
	Subject *v1.Descriptor `json:"subject"`
}

// parts copies all that a manifest names, and returns the manifest.
func (r *run) parts(ctx context.Context, d v1.Descriptor) (raw []byte, subject *v1.Descriptor, err error) {
	if raw, err = readManifest(ctx, r.source, d); err != nil {
		return nil, nil, err
	}
	var m withSubjectField
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, nil, fmt.Errorf("parsing manifest %s: %w", d.Digest, err)
	}
	for _, part := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if !part.MediaType.IsDistributable() {
			continue // whoever needs it fetches it from where its URLs lead
		}
		if _, err := r.carry(ctx, part); err != nil {
			return nil, nil, err
		}
	}
	return raw, m.Subject, nil
}

// carry copies a blob of the source to the destination as it is. Within a registry
// the destination takes it over without a transfer, where the registry allows that.
func (r *run) carry(ctx context.Context, d v1.Descriptor) (sent bool, err error) {
	open := func() (io.ReadCloser, error) {
		b, err := r.source.Blob(ctx, d)
		if err != nil {
			return nil, err
		}
		return verify(b, d, nil)
	}
	if m, ok := r.dst.(mounter); ok && r.from != nil {
		return m.mount(ctx, d, r.from, open)
	}
	return r.dst.PutBlob(ctx, d, open)
}

func withSubject(raw []byte, mediaType types.MediaType, subject v1.Descriptor) (document, error) {
	m := object{}
	if err := json.Unmarshal(raw, &m); err != nil {
		return document{}, err
	}
	if err := m.set("subject", v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}); err != nil {
		return document{}, err
	}
	out, err := encode(m)
	if err != nil {
		return document{}, err
	}
	return newDocument(mediaType, out)
}
