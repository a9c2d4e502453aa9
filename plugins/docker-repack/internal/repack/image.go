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
	"github.com/dockerfactory/dockerfactory/shared/layer"
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
	layers, err := r.layers(ctx, s, p, newRoom(sp, o.size()), prefix)
	if err != nil {
		return document{}, err
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
		all := plan.Units(s.tree, s.estimate, r.codec.window, group)
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
		r.warn("%s: layers of the target size would be more than %d, so they are larger", platform, r.opts.MaxLayers)
	}
	return s, p, nil
}

// A stored layer is written, at the destination and, with Options.Verify, read back
// from there.
type stored struct {
	*written
	sent bool             // the destination did not have it
	back *layer.Changeset // what the destination gives; nil if not asked for
}

// layers writes, compresses, uploads and reads back the output layers. Who waits
// for the destination stands beside the compressors, which are as many as there
// are jobs and as memory and temporary disk have room for.
func (r *run) layers(ctx context.Context, s *scanned, p *plan.Plan, room *room, prefix string) (out []stored, err error) {
	step := r.opts.Progress.Step(prefix + "writing layers")
	defer func() { step.Done(err) }()
	below := len(s.kept)
	out = make([]stored, p.Len())
	memory := newBudget(r.opts.Memory, s.tree.Len())
	compressors := make(chan struct{}, r.opts.Jobs)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * r.opts.Jobs)
	for i, k := range s.kept {
		g.Go(func() (err error) {
			out[i].written = k.written()
			if out[i].sent, err = r.put(ctx, k); err != nil {
				return err
			}
			return r.readBack(ctx, memory, s.tree, &out[i], i, step)
		})
	}
	for i := range p.Layers {
		g.Go(func() error {
			id := fmt.Sprintf("layer %d of %d", below+i+1, p.Len())
			select {
			case compressors <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if err := room.enter(ctx, i, int64(p.Layers[i].Cost())); err != nil {
				return err
			}
			giveBack, err := memory.borrow(ctx, r.codec.memory(rawSize(&p.Layers[i])))
			if err != nil {
				return err
			}
			w, err := writeLayer(ctx, s, p, i, r.codec, r.opts.TempDir, func(done, total int64) {
				step.Bytes("compressing "+id, done, total)
			})
			giveBack()
			<-compressors
			if err != nil {
				return fmt.Errorf("writing %s: %w", id, err)
			}
			out[below+i].written = w
			room.written(i, w.descriptor.Size)
			out[below+i].sent, err = r.dst.PutBlob(ctx, w.descriptor, func() (io.ReadCloser, error) {
				return w.open(func(n int64) { step.Bytes("storing "+id, n, w.descriptor.Size) }), nil
			})
			w.remove()
			room.leave(i)
			if err != nil {
				return err
			}
			return r.readBack(ctx, memory, s.tree, &out[below+i], below+i, step)
		})
	}
	return out, g.Wait()
}

// readBack reads what the destination gives for a layer of a tree, with
// Options.Verify.
func (r *run) readBack(ctx context.Context, memory *budget, like *layer.Tree, l *stored, index int, step progress.Step) error {
	if !r.opts.Verify {
		return nil
	}
	var err error
	if l.back, _, _, err = (layerBlob{r.dst, index, l.descriptor, l.diffID, like}).scan(ctx, memory, nil, step); err != nil {
		return fmt.Errorf("reading layer %d back: %w", index, explainLayer(err))
	}
	return nil
}

// documents stores the new config and manifest.
func (r *run) documents(ctx context.Context, o *original, layers []stored, tree, platform string) (document, error) {
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
