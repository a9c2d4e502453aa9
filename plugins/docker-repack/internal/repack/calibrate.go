package repack

import (
	"context"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
)

const (
	samples    = 4
	sampleSize = 8 << 20
	// warmup is how much of a sample goes before what counts: a compressor that has
	// seen nothing yet finds fewer repetitions than it does in most of a layer.
	warmup = 4 << 20
)

// calibrate compresses a few stretches of the units as the layers will be, and
// corrects the units' costs by the ratio of what came out to what the spool's
// frames had promised. It takes the same samples whatever the number of workers.
func calibrate(ctx context.Context, s *scanned, all []*plan.Unit, c codec, jobs int) error {
	var raw int64
	for _, u := range all {
		raw += u.Raw
	}
	if raw == 0 {
		return nil
	}
	stretches := pick(all, raw)
	cold := int64(0)
	if len(stretches) > 1 { // else the sample is all there is, beginning included
		cold = warmup
	}
	got, want := make([]int64, len(stretches)), make([]float64, len(stretches))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(jobs, 1))
	for i, stretch := range stretches {
		g.Go(func() error {
			var err error
			got[i], want[i], err = sample(ctx, s, stretch, cold, c)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var sum, promised float64
	for i := range stretches {
		sum, promised = sum+float64(got[i]), promised+want[i]
	}
	if promised == 0 || sum == 0 {
		return nil
	}
	for _, u := range all {
		u.Cost *= sum / promised
	}
	return nil
}

// pick returns evenly spaced runs of units with about sampleSize raw bytes each;
// all units if they are few enough.
func pick(all []*plan.Unit, raw int64) [][]*plan.Unit {
	if raw <= samples*sampleSize {
		return [][]*plan.Unit{all}
	}
	var out [][]*plan.Unit
	var at int64
	for i := 0; i < len(all) && len(out) < samples; {
		if at < int64(len(out))*raw/samples {
			at += all[i].Raw
			i++
			continue
		}
		start, from := i, at
		for i < len(all) && at-from < sampleSize {
			at += all[i].Raw
			i++
		}
		out = append(out, all[start:i])
	}
	return out
}

// sample compresses a stretch and returns how many bytes came out and how many the
// spool had promised. The first cold raw bytes only warm the compressor up, if at
// least as many come after them.
func sample(ctx context.Context, s *scanned, stretch []*plan.Unit, cold int64, c codec) (int64, float64, error) {
	reader, err := newSpoolReader()
	if err != nil {
		return 0, 0, err
	}
	defer reader.close()
	var raw int64
	for _, u := range stretch {
		raw += u.Raw
	}
	var out counter
	z, err := c.open(&out, min(raw, samples*sampleSize))
	if err != nil {
		return 0, 0, err
	}
	var want float64
	if raw < 2*cold {
		cold = 0
	}
	warm := int64(0)              // compressed bytes that do not count
	left := int64(2 * sampleSize) // of a huge file, its beginning will do
	if len(stretch) > 1 {
		left = samples * sampleSize
	}
	for _, u := range stretch {
		if !u.HasContent() || left <= 0 {
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return 0, 0, err
		}
		part := min(u.Raw, left)
		left -= part
		contents := s.contents[u.First.Layer]
		off := contents.offset(u.First.Ordinal)
		if n := min(part, cold); n > 0 {
			if err := reader.copy(z, contents.segment, off, n); err != nil {
				return 0, 0, err
			}
			off, part, cold = off+n, part-n, cold-n
			if cold == 0 {
				if err := z.Flush(); err != nil {
					return 0, 0, err
				}
				warm = int64(out)
			}
		}
		if err := reader.copy(z, contents.segment, off, part); err != nil {
			return 0, 0, err
		}
		want += contents.segment.estimate(off, part)
	}
	err = z.Close()
	return int64(out) - warm, want, err
}

// A counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

var _ io.Writer = (*counter)(nil)
