package repack

import (
	"archive/tar"
	"context"
	"io"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
)

// # How sizes are predicted
//
// The spool says what contents take in frames of up to 1 MiB at the fastest level. A
// layer's compressor does better, for two reasons that are told apart: it sees
// what lies further back, which the marks of the frames tell without compressing
// anything; and it looks harder, by a ratio that depends on little but on how well
// the content compresses at all. That ratio is measured on samples, for eight
// classes of content.
const (
	classes = 8
	// sampleSize of every sampleEvery raw bytes of a layer is compressed on trial,
	// after warmUp that only fills the compressor's window; at most maxSamples of
	// them.
	sampleSize  = 512 << 10
	warmUp      = 1 << 20
	sampleEvery = 12 << 20
	// sampleStream is more than what is compressed of a sample, mostly.
	sampleStream = 4 * (sampleSize + warmUp)
	maxSamples   = 192
	// prior is how many packed bytes of samples the mean of all classes is worth
	// to each of them.
	prior = 1 << 20
	// headerCost is about what a tar header and its padding compress to, without
	// its name.
	headerCost = 48
)

// class sorts contents by how well the spool's level compresses them.
func class(packed float64, raw int64) int {
	return max(0, min(classes-1, int(packed/float64(raw)*classes)))
}

// A repetition recognises what a stream had within the compressor's window.
type repetition struct {
	window int64
	at     int64 // raw bytes of the stream so far
	seen   map[uint32]occurrence
}

type occurrence struct {
	at     int64
	frame  *frame
	offset uint32 // in the frame
}

func newRepetition(window int64) *repetition {
	return &repetition{window: window, seen: map[uint32]occurrence{}}
}

// fresh takes the next piece of the stream and returns the part of it, 0 to 1, that
// the window does not hold. What the piece's own frame holds already counts neither
// as held nor as not: the frame has been compressed with it, and takes hardly
// anything for it.
func (r *repetition) fresh(p piece) float64 {
	marks, again := 0, 0
	for _, m := range p.frame.within(p.offset, p.size) {
		at := r.at + int64(m.offset-p.offset)
		o, known := r.seen[m.hash]
		r.seen[m.hash] = occurrence{at, p.frame, m.offset}
		if known && o.frame == p.frame && o.offset != m.offset && at-o.at < frameSize { // else a copy of the whole
			continue
		}
		if known && at-o.at < r.window {
			again++
		}
		marks++
	}
	r.at += p.size
	if marks == 0 {
		return 1
	}
	return 1 - float64(again)/float64(marks)
}

// within returns the marks of size bytes at off.
func (f *frame) within(off uint32, size int64) []mark {
	start := sortedIndex(f.marks, off)
	return f.marks[start : start+sortedIndex(f.marks[start:], off+uint32(size))]
}

func sortedIndex(marks []mark, off uint32) int {
	lo, hi := 0, len(marks)
	for lo < hi {
		mid := (lo + hi) / 2
		if marks[mid].offset < off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// A price is what a stretch of a layer would take, by class of content, before it
// is known how much harder the layer's compressor looks.
type price struct {
	headers float64
	content [classes]float64
}

func (p *price) add(q price) {
	p.headers += q.headers
	for i := range q.content {
		p.content[i] += q.content[i]
	}
}

func (p price) sum(gain [classes]float64) float64 {
	n := p.headers
	for i, c := range p.content {
		n += float64(c * gain[i])
	}
	return n
}

// unit prices the next unit of a stream, in which copies within reach are found.
func (s *scanned) unit(r *repetition, u *plan.Unit, reach int64) price {
	var out price
	for _, e := range u.Entries {
		out.headers += headerCost + float64(len(e.Path))/3
		r.at += 512
	}
	for i, in := range u.Files() {
		segment, off := s.locate(u.First)
		if i > 0 && in.Size < max(r.window, reach) {
			r.at += in.Size
			continue
		}
		for p := range segment.pieces(off, in.Size) {
			out.content[class(p.packed, p.size)] += float64(p.packed * r.fresh(p))
		}
	}
	return out
}

// estimate sets the units' costs to what they will take in layers that are about
// as planned. It takes the same samples whatever the number of workers.
// Memory bounds the workers, in bytes.
func estimate(ctx context.Context, s *scanned, p *plan.Plan, c codec, jobs int, memory int64) error {
	var streams []stretch
	for i := range p.Layers {
		streams = append(streams, pick(p.Layers[i].Units)...)
	}
	if n := len(streams); n > maxSamples {
		for i := range maxSamples {
			streams[i] = streams[i*n/maxSamples]
		}
		streams = streams[:maxSamples]
	}
	workers := min(int64(jobs), newBudget(memory, s.tree.Len()).total/c.memory(sampleStream))
	gain, err := s.gains(ctx, streams, c, int(max(workers, 1)))
	if err != nil {
		return err
	}
	for i := range p.Layers {
		r := newRepetition(c.window)
		for _, u := range p.Layers[i].Units {
			price := s.unit(r, u, c.reach)
			u.Cost = price.sum(gain)
		}
	}
	return nil
}

// A stretch is a run of units of one layer, the first of which only warm the
// compressor up.
type stretch struct {
	units []*plan.Unit
	cold  int
}

// pick returns evenly spaced stretches of a layer.
func pick(units []*plan.Unit) []stretch {
	var out []stretch
	var at int64
	for i := 0; i < len(units); i++ {
		next := int64(len(out))*sampleEvery + sampleEvery/3
		if at += units[i].Raw; at < next {
			continue
		}
		start, end, warm := i, i, int64(0)
		for start > 0 && warm < warmUp {
			start--
			warm += units[start].Raw
		}
		for n := int64(0); end < len(units) && n < sampleSize; end++ {
			n += units[end].Raw
			if end > i {
				at += units[end].Raw
			}
		}
		out = append(out, stretch{units[start:end], i - start})
		i = end - 1
	}
	if len(out) == 0 && len(units) > 0 {
		out = append(out, stretch{units, 0})
	}
	return out
}

// gains measures how much less than priced the samples take, for each class.
func (s *scanned) gains(ctx context.Context, samples []stretch, c codec, workers int) ([classes]float64, error) {
	got, want := make([]float64, len(samples)), make([]price, len(samples))
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(workers, len(samples)) {
		g.Go(func() error {
			z, err := c.open(io.Discard, stream{raw: sampleStream})
			for i := next.Add(1) - 1; err == nil && i < int64(len(samples)); i = next.Add(1) - 1 {
				got[i], want[i], err = s.try(ctx, samples[i], z, c.window)
			}
			return err
		})
	}
	var gain [classes]float64
	if err := g.Wait(); err != nil {
		return gain, err
	}
	var packed, promised [classes]float64
	var allPacked, allPromised float64
	for i, w := range want {
		content := w.sum(ones) - w.headers
		if content == 0 {
			continue
		}
		left := max(0, got[i]-w.headers)
		for k, n := range w.content {
			packed[k] += left * n / content
			promised[k] += n
		}
		allPacked, allPromised = allPacked+left, allPromised+content
	}
	mean := 1.0
	if allPromised > 0 {
		mean = allPacked / allPromised
	}
	for k := range gain {
		gain[k] = (packed[k] + float64(prior*mean)) / (promised[k] + prior)
	}
	return gain, nil
}

var ones = [classes]float64{1, 1, 1, 1, 1, 1, 1, 1}

// try compresses a stretch and returns what came out and what it was priced at.
func (s *scanned) try(ctx context.Context, sample stretch, z compressor, window int64) (float64, price, error) {
	var want price
	reader, err := newSpoolReader()
	if err != nil {
		return 0, want, err
	}
	defer reader.close()
	var out counter
	z.Reset(&out)
	defer z.Close()
	t := tar.NewWriter(z)
	r := newRepetition(window)
	var before counter
	for i, u := range sample.units {
		if err := context.Cause(ctx); err != nil {
			return 0, want, err
		}
		if i == sample.cold {
			if err := z.Flush(); err != nil {
				return 0, want, err
			}
			before = out
		}
		p, err := s.sample(t, reader, r, u)
		if err != nil {
			return 0, want, err
		}
		if i >= sample.cold {
			want.add(p)
		}
	}
	if err := t.Flush(); err != nil {
		return 0, want, err
	}
	err = z.Flush()
	return float64(out - before), want, err
}

// sample writes the headers of a unit and the first sampleSize bytes of its
// content, and returns what that is priced at.
func (s *scanned) sample(t *tar.Writer, reader *spoolReader, r *repetition, u *plan.Unit) (price, error) {
	var want price
	var content int64
	for i, e := range u.Entries {
		h := e.Header(e.Path, "")
		h.Size = 0
		if i == 0 && u.HasContent() {
			content = min(u.Raw, sampleSize)
			h.Size = content
		}
		if err := t.WriteHeader(h); err != nil {
			return want, err
		}
		want.headers += headerCost + float64(len(e.Path))/3
		r.at += 512
		if h.Size > 0 {
			segment, off := s.locate(u.First)
			if err := reader.copy(t, segment, off, content); err != nil {
				return want, err
			}
			for p := range segment.pieces(off, content) {
				want.content[class(p.packed, p.size)] += float64(p.packed * r.fresh(p))
			}
		}
	}
	return want, nil
}

// A counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

var _ io.Writer = (*counter)(nil)
