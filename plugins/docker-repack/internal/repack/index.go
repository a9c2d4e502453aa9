package repack

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// maxNesting bounds how deep indexes lie in indexes.
const maxNesting = 8

// A node is an index of the source with the indexes that it lists.
type node struct {
	descriptor v1.Descriptor
	raw        []byte
	manifest   v1.IndexManifest
	nested     map[v1.Hash]*node
}

// readIndex reads an index and those in it.
func (r *run) readIndex(ctx context.Context, d v1.Descriptor, depth int) (*node, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("index %s lies in more than %d others", d.Digest, maxNesting)
	}
	n := &node{descriptor: d, nested: map[v1.Hash]*node{}}
	var err error
	if n.raw, err = readManifest(ctx, r.source, d); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(n.raw, &n.manifest); err != nil {
		return nil, fmt.Errorf("parsing index %s: %w", d.Digest, err)
	}
	for _, child := range n.manifest.Manifests {
		if !child.MediaType.IsIndex() || n.nested[child.Digest] != nil {
			continue
		}
		if n.nested[child.Digest], err = r.readIndex(ctx, child, depth+1); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// index repacks the chosen images of an index, stores a new index without a name,
// and returns it. Attestations follow their images; artifacts are carried over if
// no platform was chosen.
func (r *run) index(ctx context.Context, d v1.Descriptor) (document, error) {
	root, err := r.readIndex(ctx, d, 0)
	if err != nil {
		return document{}, err
	}
	chosen, err := r.choose(ctx, root)
	if err != nil {
		return document{}, err
	}
	moved, err := r.images(ctx, limitsOf(r.dst).best(chosen, r.opts.Platforms))
	if err != nil {
		return document{}, err
	}
	for _, d := range r.passed {
		if moved[d.Digest], err = r.pass(ctx, d); err != nil {
			return document{}, err
		}
	}
	doc, _, err := r.rebuild(ctx, root, moved)
	return doc, err
}

// images repacks images side by side and returns where each of them went. Jobs and
// memory are shared out among those that are under way.
func (r *run) images(ctx context.Context, chosen []choice) (map[v1.Hash]v1.Descriptor, error) {
	width := min(len(chosen), r.opts.Jobs, max(int(r.opts.Memory/(2*r.codec.memory(math.MaxInt64))), 1))
	parts, docs := make([]*run, len(chosen)), make([]document, len(chosen))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(width)
	for i, c := range chosen {
		part := *r
		part.opts.Jobs = (r.opts.Jobs + width - 1 - i%width) / width
		part.opts.Memory = r.opts.Memory / int64(width)
		part.result = &Result{}
		if r.result.Analysis != nil {
			part.result.Analysis = &Analysis{}
		}
		parts[i] = &part
		g.Go(func() (err error) {
			docs[i], err = part.image(ctx, c.original, c.platform)
			if err != nil && len(chosen) > 1 {
				err = fmt.Errorf("%s: %w", c.platform, err)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	// In the order of the index, whichever was ready first.
	moved := map[v1.Hash]v1.Descriptor{}
	for i, part := range parts {
		moved[chosen[i].descriptor.Digest] = docs[i].descriptor
		r.result.Images = append(r.result.Images, part.result.Images...)
		r.result.Warnings = append(r.result.Warnings, part.result.Warnings...)
		if r.result.Analysis != nil {
			r.result.Analysis.Images = append(r.result.Analysis.Images, part.result.Analysis.Images...)
		}
	}
	return moved, nil
}

// rebuild stores the index of a node with the children that there are now. Kept is
// false, and nothing stored, if there are none.
func (r *run) rebuild(ctx context.Context, n *node, moved map[v1.Hash]v1.Descriptor) (doc document, kept bool, err error) {
	children := []v1.Descriptor{}
	for _, child := range n.manifest.Manifests {
		to, keep, err := r.child(ctx, n, child, moved)
		if err != nil {
			return document{}, false, err
		}
		if keep {
			children = append(children, to)
		}
	}
	if len(children) == 0 {
		return document{}, false, nil
	}
	m := object{}
	if err := json.Unmarshal(n.raw, &m); err != nil {
		return document{}, false, fmt.Errorf("parsing index %s: %w", n.descriptor.Digest, err)
	}
	annotations := maps.Clone(n.manifest.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[wire.AnnotationRepackSource] = n.descriptor.Digest.String()
	for key, value := range map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIImageIndex, "manifests": children, "annotations": annotations,
	} {
		if err := m.set(key, value); err != nil {
			return document{}, false, err
		}
	}
	out, err := encode(m)
	if err != nil {
		return document{}, false, err
	}
	if doc, err = newDocument(types.OCIImageIndex, out); err != nil {
		return document{}, false, err
	}
	return doc, true, r.dst.PutManifest(ctx, doc.descriptor, doc.raw)
}

// child returns what stands in the new index for a child of the old one.
func (r *run) child(ctx context.Context, n *node, child v1.Descriptor, moved map[v1.Hash]v1.Descriptor) (to v1.Descriptor, keep bool, err error) {
	if to, ok := moved[child.Digest]; ok {
		if child.Platform != nil && !r.wants(*child.Platform) {
			return to, false, nil // the same image under another platform
		}
		to.Platform, to.Annotations = child.Platform, child.Annotations
		return to, true, nil
	}
	switch nested := n.nested[child.Digest]; {
	case nested != nil:
		doc, kept, err := r.rebuild(ctx, nested, moved)
		to = doc.descriptor
		to.Platform, to.Annotations = child.Platform, child.Annotations
		return to, kept, err
	case image.IsAttestation(child):
		return r.attestation(ctx, child, moved)
	case r.artifacts[child.Digest]:
		return r.artifact(ctx, child, moved)
	}
	return v1.Descriptor{}, false, nil
}
