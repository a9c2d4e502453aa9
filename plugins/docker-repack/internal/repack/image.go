package repack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// image repacks one image, stores all of it but gives it no name, and returns its
// manifest.
func (r *run) image(ctx context.Context, o *original, platform string) (document, error) {
	prefix := ""
	if platform != "" {
		prefix = "[" + platform + "] "
	}
	sp, err := newSpool(r.opts.TempDir, r.opts.Jobs)
	if err != nil {
		return document{}, err
	}
	defer sp.close()
	s, p, err := r.survey(ctx, o, sp, platform, prefix)
	if err != nil {
		return document{}, err
	}
	// Before the writing of layers, which uses the spool up.
	var analysis *ImageAnalysis
	if r.opts.Analyze {
		if analysis, err = analyze(ctx, o, s, p, r.opts.Top); err != nil {
			return document{}, err
		}
	}
	s.release(sp, p)
	capped := p.Capped
	p, layers, err := r.layers(ctx, s, p, newRoom(sp, o.size()), prefix)
	if err != nil {
		return document{}, err
	}
	if p.Capped && !capped {
		r.warnCapped(platform)
	}
	tree, stats := s.digest, p.Stats()
	doc, err := r.documents(ctx, o, layers, tree, platform)
	if err != nil {
		return document{}, err
	}
	res := ImageResult{
		Platform: platform, SourceDigest: o.descriptor.Digest.String(), Digest: doc.descriptor.Digest.String(), Tree: tree,
		LayersBefore: len(o.manifest.Layers), LayersAfter: len(layers), BytesBefore: o.size(),
		Entries: s.tree.Len(), FileBytes: stats.Live, DeadBytes: s.bytes - stats.Live, DuplicateBytes: stats.Duplicate, SpoolBytes: sp.size(),
	}
	for _, l := range layers {
		if l.kept != nil {
			res.LayersKept++
			res.BytesKept += l.descriptor.Size
		}
		res.BytesAfter += l.descriptor.Size
		if l.sent {
			res.BytesSent += l.descriptor.Size
		}
		res.LargestLayer = max(res.LargestLayer, l.descriptor.Size)
	}
	res.Sharing = s.sharing(o)
	if analysis != nil {
		analysis.Platform = platform
		analysis.After = After{}
		analysis.forecast(s, p)
		analysis.realize(layers)
		r.predict(analysis, o, s, p)
	}
	// From here on only the tree is needed: verifying holds a second one.
	if res.Verified = r.opts.Verify; res.Verified {
		if err := r.verify(ctx, o, s.tree, doc, layers, prefix); err != nil {
			return document{}, err
		}
	}
	r.result.Images = append(r.result.Images, res)
	if analysis != nil {
		r.result.Analysis.Images = append(r.result.Analysis.Images, analysis)
	}
	return doc, nil
}

// survey reads the source's layers into the spool and plans the new ones.
func (r *run) survey(ctx context.Context, o *original, sp *spool, platform, prefix string) (s *scanned, p *plan.Plan, err error) {
	base, err := r.findBase(ctx, o, platform)
	if err != nil {
		return nil, nil, err
	}
	if err := progress.Do(r.opts.Progress, prefix+"reading source layers", func(step progress.Step) (err error) {
		var hidden *graveyard
		if r.opts.Analyze {
			hidden = &graveyard{}
		}
		s, err = scan(ctx, o, sp, hidden, r.opts, step)
		return err
	}); err != nil {
		return nil, nil, err
	}
	s.base = base
	for _, w := range s.doubts.warnings(base.kept) {
		r.warn("%s: %s", platform, w)
	}
	if err := progress.Do(r.opts.Progress, prefix+"planning layers", func(step progress.Step) error {
		target := r.opts.TargetSize
		overlay := plan.OverlayAttributes(s.tree)
		if overlay {
			target = math.MaxInt64
			r.warn("%s: all is in one layer, for files have attributes of overlay mounts (trusted.overlay.*) that would hide other layers", platform)
		}
		group, problems, err := s.groups()
		if err != nil {
			return err
		}
		for _, p := range problems {
			fmt.Fprintf(step, "packages are not known: %s\n", p)
		}
		opts := plan.Options{Target: target, MaxLayers: r.opts.MaxLayers}
		if !overlay {
			if opts.Kept, s.kept, err = r.keep(ctx, o, s, platform, step); err != nil {
				return err
			}
		}
		s.sets = nil // of use to keep alone
		all := plan.Units(s.tree, s.estimate, r.codec.reach, group)
		plan.Relate(s.kin(all), target, r.codec.window)
		// Where repetitions lie depends on the layers, and the layers on the sizes:
		// the first plan is for the estimate.
		if err := estimate(ctx, s, plan.Make(s.tree, all, opts), r.codec, r.opts.Jobs, r.opts.Memory); err != nil {
			return err
		}
		p = plan.Make(s.tree, all, opts)
		if w := oversized(p); w != "" {
			r.warn("%s: %s", platform, w)
		}
		s.digest = s.tree.Digest().String()
		fmt.Fprintf(step, "%d files in %d layers, %d of them kept, tree %s\n", p.Stats().Names, p.Len(), len(s.kept), s.digest)
		return nil
	}); err != nil {
		return nil, nil, err
	}
	if p.Capped {
		r.warnCapped(platform)
	}
	return s, p, nil
}

func (r *run) warnCapped(platform string) {
	r.warn("%s: layers of the target size would be more than %d, so they are larger", platform, r.opts.MaxLayers)
}

// documents stores the new config and manifest.
func (r *run) documents(ctx context.Context, o *original, layers []*stored, tree, platform string) (document, error) {
	raw, inline, err := newConfig(o, layers)
	if err != nil {
		return document{}, err
	}
	if inline {
		r.warn("%s: BuildKit's inline cache was left out of the config: it counts layers that are no more", platform)
	}
	config, err := newDocument(types.OCIConfigJSON, raw)
	if err != nil {
		return document{}, err
	}
	if _, err := r.dst.PutBlob(ctx, config.descriptor, config.open); err != nil {
		return document{}, err
	}
	doc, err := newManifest(o, config, layers, tree)
	if err != nil {
		return document{}, err
	}
	return doc, r.dst.PutManifest(ctx, doc.descriptor, doc.raw)
}

func (d document) open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(d.raw)), nil }
