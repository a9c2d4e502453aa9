package repack

import (
	"context"

	"github.com/dockerfactory/dockerfactory/shared/image"
)

// Plan tells what [Run] with the same options would do to source, and why. It reads
// the source once, as Run does, and compresses nothing but samples; it writes
// nothing but temporary files.
func Plan(ctx context.Context, source image.Subject, opts Options) (*Analysis, error) {
	opts = opts.withDefaults()
	opts.Analyze = true
	c, err := newCodec(opts.Compression, opts.Level)
	if err != nil {
		return nil, err
	}
	r := &run{opts: opts, codec: c, source: source.Store(), result: &Result{}}
	chosen, err := r.originals(ctx, source)
	if err != nil {
		return nil, err
	}
	out := &Analysis{Source: source.Reference.String(), SourceDigest: source.Descriptor.Digest.String()}
	for _, c := range chosen {
		a, err := r.preview(ctx, c)
		if err != nil {
			return nil, err
		}
		out.Images = append(out.Images, a)
	}
	out.Warnings = r.result.Warnings
	return out, nil
}

// originals opens the images that the options ask for.
func (r *run) originals(ctx context.Context, source image.Subject) ([]choice, error) {
	if !source.IsIndex() {
		o, err := r.openSingle(ctx, source.Descriptor)
		if err != nil {
			return nil, err
		}
		return []choice{{o, platformText(o.platform())}}, nil
	}
	root, err := r.readIndex(ctx, source.Descriptor, 0)
	if err != nil {
		return nil, err
	}
	return r.choose(ctx, root)
}

func (r *run) preview(ctx context.Context, c choice) (*ImageAnalysis, error) {
	prefix := ""
	if c.platform != "" {
		prefix = "[" + c.platform + "] "
	}
	sp, err := newSpool(r.opts.TempDir, r.opts.Jobs)
	if err != nil {
		return nil, err
	}
	defer sp.close()
	s, p, err := r.survey(ctx, c.original, sp, c.platform, prefix)
	if err != nil {
		return nil, err
	}
	p = rehearse(p)
	a, err := analyze(ctx, c.original, s, p, r.opts.Top)
	if err != nil {
		return nil, err
	}
	a.Platform = c.platform
	r.predict(a, c.original, s, p)
	return a, nil
}
