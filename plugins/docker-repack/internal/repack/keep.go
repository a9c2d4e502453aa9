package repack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// Where a kept layer comes from.
const (
	KeptBase     = "base"     // it is one of the source's lowest layers
	KeptPrevious = "previous" // it is one of the earlier result's
)

// A keptLayer goes into the result as it is.
type keptLayer struct {
	from       string // KeptBase or KeptPrevious
	descriptor v1.Descriptor
	diffID     v1.Hash
	entries    int
	raw        int64   // bytes of the tar stream
	live       float64 // part of it, 0 to 1, that is in the new tree
	store      Store
	registry   name.Reference // of a store in a registry, else nil
}

func (k *keptLayer) zstd() bool { return k.descriptor.MediaType == types.OCILayerZStd }

func (k *keptLayer) plain() bool { return k.descriptor.MediaType == types.OCIUncompressedLayer }

func (k *keptLayer) written() *written {
	return &written{descriptor: k.descriptor, diffID: k.diffID, entries: k.entries, kept: k}
}

// put stores a kept layer at the destination, which may have it already.
func (r *run) put(ctx context.Context, k *keptLayer) (bool, error) {
	open := func() (io.ReadCloser, error) {
		b, err := k.store.Blob(ctx, k.descriptor)
		if err != nil {
			return nil, err
		}
		return verify(b, k.descriptor, nil)
	}
	if m, ok := r.dst.(mounter); ok && k.registry != nil {
		return m.mount(ctx, k.descriptor, k.registry, open)
	}
	return r.dst.PutBlob(ctx, k.descriptor, open)
}

// keep chooses the layers of the source's base and of the earlier result that the
// new ones are laid upon.
func (r *run) keep(ctx context.Context, o *original, s *scanned, platform string, step progress.Step) (*plan.Kept, []*keptLayer, error) {
	base := s.base.kept
	if base >= r.opts.MaxLayers {
		return nil, nil, fault.Hint(fmt.Errorf("the base has %d layers, and the result may have %d", base, r.opts.MaxLayers), "keep fewer: --keep-base=N, or allow more: --max-layers")
	}
	var all []*keptLayer
	var old []plan.Old
	seen := map[v1.Hash]bool{}
	add := func(from string, i int, o *original, s *scanned, registry name.Reference) {
		d := o.manifest.Layers[i]
		seen[d.Digest] = true
		// Annotations are about the blob: those of eStargz and zstd:chunked find its table of contents.
		d = v1.Descriptor{MediaType: ociLayer(d.MediaType), Digest: d.Digest, Size: d.Size, Annotations: d.Annotations}
		all = append(all, &keptLayer{from: from, descriptor: d, diffID: o.config.RootFS.DiffIDs[i], entries: s.sets[i].Len(), raw: s.layers[i].tar, store: o.store, registry: registry})
		old = append(old, plan.Old{Changes: s.sets[i], Size: d.Size, Forced: from == KeptBase})
	}
	for i := range base {
		add(KeptBase, i, o, s, r.from)
	}
	if slices.ContainsFunc(all, (*keptLayer).plain) {
		r.warn("%s: layers of the base are not compressed, as engines and docker archives give them, and stay so: their blobs are not those that other images on the base have in a registry", platform)
	}
	if limit := limitsOf(r.dst); limit.compression == "gzip" && slices.ContainsFunc(all, (*keptLayer).zstd) {
		if limit.only {
			return nil, nil, fault.Hint(errors.New("the base has zstd layers, which the destination does not read"), "leave --keep-base out, or choose another destination")
		}
		r.warn("%s: layers of the base are zstd, which engines before Docker 23 do not read", platform)
	}
	if r.opts.Previous != nil {
		prev, scanned, err := r.previous(ctx, o, step)
		if err != nil {
			return nil, nil, fmt.Errorf("reading --previous %s: %w", r.opts.Previous.Reference, err)
		}
		var registry name.Reference
		if ref := r.opts.Previous.Reference; ref.Kind == image.Registry {
			registry = ref.Name
		}
		unlike := 0
		for i, l := range prev.manifest.Layers {
			switch {
			case seen[l.Digest]:
			case l.MediaType != r.codec.mediaType:
				unlike++
			default:
				add(KeptPrevious, i, prev, scanned, registry)
			}
		}
		if unlike > 0 {
			r.warn("%s: %d layers of %s are not kept, for they are compressed in another way than asked for", platform, unlike, r.opts.Previous.Reference)
		}
	}
	if len(old) == 0 {
		return nil, nil, nil
	}
	limit := min(r.opts.MaxLayers*3/4, r.opts.MaxLayers-1-base)
	kept, err := plan.Keep(s.tree, old, s.fresh(r.opts.TargetSize), limit)
	if err != nil {
		return nil, nil, fmt.Errorf("laying new layers upon the base: %w", err)
	}
	if kept == nil {
		return nil, nil, nil
	}
	var out []*keptLayer
	for n, i := range kept.Layers {
		all[i].live = kept.Live[n]
		out = append(out, all[i])
	}
	return kept, out, nil
}

// fresh is about how many layers the tree would have without kept ones.
func (s *scanned) fresh(target int64) int {
	total := 0.0
	for in := range files(s.tree) {
		total += s.estimate(in)
	}
	return 1 + int(total/float64(target))
}

// imagesLike opens the images of a subject that are for the operating system of o:
// others, such as an index has for Windows, may be none that can be read.
func imagesLike(ctx context.Context, o *original, subject image.Subject) ([]choice, error) {
	like := &run{source: subject.Store(), result: &Result{}}
	if os := o.platform().OS; os != "" {
		like.opts.Platforms = []image.PlatformPattern{image.PlatformPattern(os + "/*")}
	}
	return like.originals(ctx, subject)
}

// previous reads the earlier result's image of a platform.
func (r *run) previous(ctx context.Context, o *original, step progress.Step) (*original, *scanned, error) {
	found, err := imagesLike(ctx, o, *r.opts.Previous)
	if err != nil {
		return nil, nil, err
	}
	at := match(o, found, func(c choice) *original { return c.original })
	if at < 0 {
		return nil, nil, fault.Hint(fmt.Errorf("it has no image for %s", platformText(o.platform())), "choose the platforms that it has with --platform, or leave --previous out")
	}
	prev := found[at].original
	if prev.manifest.Annotations[wire.AnnotationRepackSource] == "" {
		return nil, nil, fault.Hint(fmt.Errorf("%s was not made by docker repack", prev.descriptor.Digest),
			"name the result of an earlier run; for the first one, leave --previous out")
	}
	s, err := scan(ctx, prev, nil, nil, r.opts, step)
	if err != nil {
		return nil, nil, err
	}
	return prev, s, nil
}

// ociLayer is what a layer is called in an OCI manifest.
func ociLayer(t types.MediaType) types.MediaType {
	switch t {
	case types.DockerLayer:
		return types.OCILayer
	case types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer
	case dockerZstdLayer:
		return types.OCILayerZStd
	}
	return t
}
