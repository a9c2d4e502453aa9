package repack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

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
	layers, sent, err := r.layers(ctx, s, p, prefix)
	if err != nil {
		return document{}, err
	}
	tree := s.digest
	doc, err := r.documents(ctx, o, layers, tree, platform)
	if err != nil {
		return document{}, err
	}
	res := ImageResult{
		Platform: platform, SourceDigest: o.descriptor.Digest.String(), Digest: doc.descriptor.Digest.String(), Tree: tree,
		LayersBefore: len(o.manifest.Layers), LayersAfter: len(layers), BytesSent: sent,
		Entries: s.tree.Len(), FileBytes: p.Live, DeadBytes: s.bytes - p.Live, DuplicateBytes: p.Duplicate, SpoolBytes: sp.size(),
	}
	for _, l := range o.manifest.Layers {
		res.BytesBefore += l.Size
	}
	for _, l := range layers {
		res.BytesAfter += l.descriptor.Size
		res.LargestLayer = max(res.LargestLayer, l.descriptor.Size)
	}
	if res.Verified = r.opts.Verify; res.Verified {
		if err := r.verify(ctx, o, s, doc, prefix); err != nil {
			return document{}, err
		}
	}
	r.result.Images = append(r.result.Images, res)
	if r.opts.Analyze {
		a, err := analyze(ctx, o, s, p, r.opts.Top)
		if err != nil {
			return document{}, err
		}
		a.Platform = platform
		a.realize(layers)
		r.result.Analysis.Images = append(r.result.Analysis.Images, a)
	}
	return doc, nil
}

// survey reads the source's layers into the spool and plans the new ones.
func (r *run) survey(ctx context.Context, o *original, sp *spool, platform, prefix string) (s *scanned, p *plan.Plan, err error) {
	if err := progress.Do(r.opts.Progress, prefix+"reading source layers", func(step progress.Step) (err error) {
		var hidden *graveyard
		if r.opts.Analyze {
			hidden = &graveyard{}
		}
		s, err = scan(ctx, o, sp, hidden, r.opts.Jobs, step)
		return err
	}); err != nil {
		return nil, nil, err
	}
	for _, w := range s.doubts.warnings() {
		r.warn("%s: %s", platform, w)
	}
	if err := progress.Do(r.opts.Progress, prefix+"planning layers", func(step progress.Step) error {
		target := r.opts.TargetSize
		if plan.OverlayAttributes(s.tree) {
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
		all := plan.Units(s.tree, s.estimate, r.codec.window, group)
		opts := plan.Options{Target: target}
		// Where repetitions lie depends on the layers, and the layers on the sizes:
		// the first plan is for the estimate.
		if err := estimate(ctx, s, plan.Make(s.tree, all, opts), r.codec, r.opts.Jobs); err != nil {
			return err
		}
		if w := oversized(all, target); w != "" {
			r.warn("%s: %s", platform, w)
		}
		p = plan.Make(s.tree, all, opts)
		s.digest = s.tree.Digest().String()
		fmt.Fprintf(step, "%d files in %d layers, tree %s\n", p.Names, len(p.Layers), s.digest)
		return nil
	}); err != nil {
		return nil, nil, err
	}
	if p.Capped {
		r.warn("%s: layers of the target size would be more than %d, so they are larger", platform, plan.DefaultMaxLayers)
	}
	return s, p, nil
}

// layers writes, compresses and uploads the output layers. Uploads are waited for
// beside the compressors, which are as many as there are jobs.
func (r *run) layers(ctx context.Context, s *scanned, p *plan.Plan, prefix string) (out []*written, sent int64, err error) {
	step := r.opts.Progress.Step(prefix + "writing layers")
	defer func() { step.Done(err) }()
	out = make([]*written, len(p.Layers))
	was := make([]bool, len(p.Layers))
	compressors := make(chan struct{}, r.opts.Jobs)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * r.opts.Jobs)
	for i := range p.Layers {
		g.Go(func() error {
			id := fmt.Sprintf("layer %d of %d", i+1, len(p.Layers))
			select {
			case compressors <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			w, err := writeLayer(ctx, s, p, i, r.codec, r.opts.TempDir, func(done, total int64) {
				step.Bytes("compressing "+id, done, total)
			})
			<-compressors
			if err != nil {
				return fmt.Errorf("writing %s: %w", id, err)
			}
			defer w.remove()
			out[i] = w
			was[i], err = r.dst.PutBlob(ctx, w.descriptor, func() (io.ReadCloser, error) {
				return w.open(func(n int64) { step.Bytes("storing "+id, n, w.descriptor.Size) }), nil
			})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, 0, err
	}
	for i, w := range out {
		if was[i] {
			sent += w.descriptor.Size
		}
	}
	return out, sent, nil
}

// documents stores the new config and manifest.
func (r *run) documents(ctx context.Context, o *original, layers []*written, tree, platform string) (document, error) {
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

// verify reads an image back from the destination and compares it with what was
// read from the source.
func (r *run) verify(ctx context.Context, o *original, s *scanned, doc document, prefix string) error {
	return progress.Do(r.opts.Progress, prefix+"verifying the result", func(step progress.Step) error {
		back, err := open(ctx, r.dst, doc.descriptor)
		if err != nil {
			return fmt.Errorf("reading the result back: %w", err)
		}
		again, err := scan(ctx, back, nil, nil, r.opts.Jobs, step)
		if err != nil {
			return fmt.Errorf("reading the result back: %w", err)
		}
		diff := compare(o, s.tree, back, again.tree)
		if len(diff) > 0 {
			return fmt.Errorf("the result differs from the source in %d places, the first %s", len(diff), diff[0])
		}
		return nil
	})
}
