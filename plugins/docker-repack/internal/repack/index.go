package repack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// referenceDigest is the annotation by which BuildKit ties an attestation manifest
// to the image that stands beside it in the index.
const referenceDigest = "vnd.docker.reference.digest"

// index repacks the chosen images of an index, stores a new index without a name,
// and returns it. What is neither a chosen image nor an attestation of one is
// carried over if no platform was chosen.
func (r *run) index(ctx context.Context, d v1.Descriptor) (document, error) {
	raw, manifest, err := r.readIndex(ctx, d)
	if err != nil {
		return document{}, err
	}
	moved, err := r.indexImages(ctx, manifest)
	if err != nil {
		return document{}, err
	}
	children := []v1.Descriptor{}
	for _, child := range manifest.Manifests {
		switch to, repacked := moved[child.Digest]; {
		case repacked:
			to.Platform, to.Annotations = child.Platform, child.Annotations
			child = to
		case image.IsAttestation(child):
			if child, err = r.attestation(ctx, child, moved); err != nil {
				return document{}, err
			}
			if child.Digest == (v1.Hash{}) {
				continue
			}
		default:
			continue
		}
		children = append(children, child)
	}
	m := object{}
	if err := json.Unmarshal(raw, &m); err != nil {
		return document{}, fmt.Errorf("parsing index %s: %w", d.Digest, err)
	}
	annotations := maps.Clone(manifest.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[wire.AnnotationRepackSource] = d.Digest.String()
	for key, value := range map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIImageIndex, "manifests": children, "annotations": annotations,
	} {
		if err := m.set(key, value); err != nil {
			return document{}, err
		}
	}
	out, err := encode(m)
	if err != nil {
		return document{}, err
	}
	doc, err := newDocument(types.OCIImageIndex, out)
	if err != nil {
		return document{}, err
	}
	return doc, r.dst.PutManifest(ctx, doc.descriptor, doc.raw)
}

func (r *run) readIndex(ctx context.Context, d v1.Descriptor) (raw []byte, manifest v1.IndexManifest, err error) {
	if raw, err = readManifest(ctx, r.source, d); err != nil {
		return nil, manifest, err
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return nil, manifest, fmt.Errorf("parsing index %s: %w", d.Digest, err)
	}
	return raw, manifest, nil
}

// A choice is an image of an index that the options ask for.
type choice struct {
	*original
	platform string // as the index has it
}

// indexImages repacks the chosen images and returns where each of them went.
func (r *run) indexImages(ctx context.Context, manifest v1.IndexManifest) (map[v1.Hash]v1.Descriptor, error) {
	chosen, err := r.choose(ctx, manifest)
	if err != nil {
		return nil, err
	}
	moved := map[v1.Hash]v1.Descriptor{}
	for _, c := range chosen {
		doc, err := r.image(ctx, c.original, c.platform)
		if err != nil {
			return nil, err
		}
		moved[c.descriptor.Digest] = doc.descriptor
	}
	return moved, nil
}

// choose opens the images that the options ask for, each once; an error if there
// are none.
func (r *run) choose(ctx context.Context, manifest v1.IndexManifest) ([]choice, error) {
	var chosen []choice
	var platforms []v1.Platform
	seen := map[v1.Hash]bool{}
	for _, child := range manifest.Manifests {
		if image.IsAttestation(child) {
			continue
		}
		if !child.MediaType.IsImage() {
			r.warn("%s, a %s in the index, is no image and was left out", child.Digest, child.MediaType)
			continue
		}
		if child.Platform != nil && !r.wants(*child.Platform) {
			platforms = append(platforms, *child.Platform)
			continue
		}
		o, err := r.open(ctx, child)
		if err != nil {
			return nil, err
		}
		p := o.platform()
		if child.Platform != nil {
			p = *child.Platform
		}
		platforms = append(platforms, p)
		if r.wants(p) && !seen[child.Digest] {
			seen[child.Digest] = true
			chosen = append(chosen, choice{o, p.String()})
		}
	}
	if len(chosen) == 0 {
		return nil, noPlatform(platforms)
	}
	return chosen, nil
}

// attestation copies an attestation manifest to the destination and returns its
// descriptor, pointing to the repacked image; an empty one if the image it is
// about was not repacked.
//
// The statements inside are about the source's digest and stay as they are:
// they tell how the image was built. The image's own annotation leads from the
// new digest to that one.
func (r *run) attestation(ctx context.Context, d v1.Descriptor, moved map[v1.Hash]v1.Descriptor) (v1.Descriptor, error) {
	var to v1.Descriptor
	about := d.Annotations[referenceDigest]
	for from, dest := range moved {
		if from.String() == about {
			to = dest
		}
	}
	if to.Digest == (v1.Hash{}) {
		if len(r.opts.Platforms) == 0 {
			r.warn("attestation %s is about %q, which is not in the index, and was left out", d.Digest, about)
		}
		return v1.Descriptor{}, nil
	}
	raw, err := readManifest(ctx, r.source, d)
	if err != nil {
		return v1.Descriptor{}, err
	}
	var manifest struct {
		v1.Manifest
		Subject *v1.Descriptor `json:"subject"`
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return v1.Descriptor{}, fmt.Errorf("parsing attestation manifest %s: %w", d.Digest, err)
	}
	store := newImageStore(r.source, d)
	for _, part := range append([]v1.Descriptor{manifest.Config}, manifest.Layers...) {
		if _, err := r.dst.PutBlob(ctx, part, func() (io.ReadCloser, error) {
			b, err := store.Blob(ctx, part)
			if err != nil {
				return nil, err
			}
			return verify(b, part, nil)
		}); err != nil {
			return v1.Descriptor{}, fmt.Errorf("copying attestation %s: %w", d.Digest, err)
		}
	}
	doc := document{v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, raw}
	if manifest.Subject != nil && manifest.Subject.Digest.String() == about {
		// Attestations in artifact form name their image a second time.
		if doc, err = withSubject(raw, d.MediaType, to); err != nil {
			return v1.Descriptor{}, err
		}
	}
	if err := r.dst.PutManifest(ctx, doc.descriptor, doc.raw); err != nil {
		return v1.Descriptor{}, err
	}
	d.Digest, d.Size, d.Data = doc.descriptor.Digest, doc.descriptor.Size, nil
	d.Annotations = maps.Clone(d.Annotations)
	d.Annotations[referenceDigest] = to.Digest.String()
	return d, nil
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

func noPlatform(have []v1.Platform) error {
	if len(have) == 0 {
		return fault.Hint(errors.New("the source is an index without images"), "if it holds other indexes, repack those by their digests")
	}
	names := make([]string, len(have))
	for i, p := range have {
		names[i] = p.String()
	}
	return fault.Hint(fmt.Errorf("the source has no image for the chosen platform"), "it has: %s", strings.Join(names, ", "))
}
