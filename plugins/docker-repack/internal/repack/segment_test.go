package repack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// What several layers have is kept once, wherever in them it is and whoever comes first; and
// which frames there are does not depend on that.
func TestSpoolKeepsOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	kind := func(i int) int {
		if i%100 == 99 {
			return 2
		}
		return i % 2
	}
	var common [][]byte
	for i := range 800 {
		common = append(common, random(rng.Uint64(), 1+rng.IntN([]int{8_000, 60_000, 3_000_000}[kind(i)])))
	}
	own := func() []byte { return random(rng.Uint64(), 50_000) }
	layers := [][][]byte{
		common,
		slices.Concat([][]byte{own(), own()}, common),
		slices.Concat(common[:100], [][]byte{own()}, common[100:], [][]byte{own()}),
		{append(slices.Clone(common[0]), common[1]...)},
	}
	write := func(order ...int) (*spool, []*segment) {
		s, err := newSpool(t.TempDir(), 2)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.close)
		segments := make([]*segment, len(layers))
		var wait sync.WaitGroup
		for _, i := range order {
			segments[i] = s.segment(t.Context())
			wait.Go(func() {
				for _, b := range layers[i] {
					put(t, segments[i], b)
				}
				if err := segments[i].end(nil); err != nil {
					t.Error(err)
				}
			})
			if i%2 == 0 {
				wait.Wait()
			}
		}
		wait.Wait()
		return s, segments
	}
	alone, _ := write(0)
	s, segments := write(0, 1, 2, 3)
	// A run that begins elsewhere has some frames of small contents for itself, and so has
	// one that is cut: about as many as it takes until one ends.
	frames := map[bool]int{}
	for _, f := range alone.all {
		frames[f.small]++
	}
	more := len(s.all) - len(alone.all)
	if frames[true] < 15 || frames[false] < 8 || more > 6 {
		t.Errorf("%d small and %d large frames for one layer, %d more for all", frames[true], frames[false], more)
	}
	_, again := write(3, 2, 1, 0)
	for i, g := range segments {
		for k, f := range g.frames {
			if o := again[i].frames[k]; o.raw != f.raw || o.length != f.length || !slices.Equal(o.marks, f.marks) {
				t.Fatalf("frame %d of layer %d depends on who is first", k, i)
			}
		}
	}
}

// A content that ends in the middle leaves nothing that a later one could be taken for.
func TestSpoolForgetsWhatWasCutOff(t *testing.T) {
	s, err := newSpool(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	torn := s.segment(t.Context())
	put(t, torn, random(1, 1000))
	if _, w, err := torn.content(1000, sha256.New()); err != nil {
		t.Fatal(err)
	} else if _, err := w.Write(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := torn.end(io.ErrUnexpectedEOF); !errors.Is(err, io.ErrUnexpectedEOF) || s.size() != 0 {
		t.Errorf("%v, %d bytes", err, s.size())
	}
	whole := s.segment(t.Context())
	put(t, whole, random(1, 1000))
	if err := whole.end(nil); err != nil || whole.frames[0].raw != 1000 {
		t.Errorf("%v, %d bytes in the frame", err, whole.frames[0].raw)
	}
}

// Contents of all sizes around which something changes come back, and so do those that begin alike.
func TestSegmentEdges(t *testing.T) {
	s, err := newSpool(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	common := random(1, 3*frameSize)
	var contents [][]byte
	for _, n := range []int{1, largeContent - 1, largeContent, largeContent + 1, layer.PieceSize - 1, layer.PieceSize, layer.PieceSize + 1, frameSize - 1, frameSize, frameSize + 1, 2*frameSize - 1, 2 * frameSize, 2*frameSize + 1} {
		contents = append(contents, common[:n], random(uint64(n), n), append(slices.Clone(common[:n]), 'x'))
	}
	// Small ones that fill a frame to its last byte, whatever their digests say.
	full := random(2, 300_000)
	for len(full) > 0 {
		n := min(len(full), largeContent-1)
		contents = append(contents, full[:n])
		full = full[n:]
	}
	g := s.segment(t.Context())
	var at []int64
	for _, c := range contents {
		at = append(at, put(t, g, c))
	}
	for sum := 0; ; { // until a frame is exactly full
		left := frameSize
		if g.small != nil {
			left = frameSize - len(*g.small.buf)
		}
		c := random(uint64(3+len(at)), min(left, largeContent-1))
		contents, at = append(contents, c), append(at, put(t, g, c))
		if sum++; len(c) == left || sum > 200 {
			break
		}
	}
	if err := g.end(nil); err != nil {
		t.Fatal(err)
	}
	r, err := newSpoolReader()
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for _, i := range rand.New(rand.NewPCG(3, 3)).Perm(len(contents)) {
		var got bytes.Buffer
		if err := r.copy(&got, g, at[i], int64(len(contents[i]))); err != nil || !bytes.Equal(got.Bytes(), contents[i]) {
			t.Fatalf("content %d of %d bytes is not what was written (%v)", i, len(contents[i]), err)
		}
	}
}

// Pieces that a frame cannot end after would get a wrong digest.
func TestSegmentRefusesOddPieces(t *testing.T) {
	s, err := newSpool(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for name, c := range map[string]struct {
		size   int64
		pieces []int
	}{
		"over the end of a small content": {100, []int{60, 60}},
		"over the end of a large one":     {largeContent, []int{largeContent, 1}},
		"over the end of a frame":         {2 * frameSize, []int{frameSize - 1, 2}},
	} {
		g := s.segment(t.Context())
		_, w, err := g.content(c.size, sha256.New())
		for _, n := range c.pieces {
			if err == nil {
				_, err = w.Write(make([]byte, n))
			}
		}
		if !errors.Is(err, errMisfit) {
			t.Errorf("%s: %v", name, err)
		}
		g.end(err)
	}
}

// That a frame could not be written is what is told, even if the connection broke as well:
// who asked for the layer again would take the frame for kept.
func TestSegmentThatCouldNotBeWritten(t *testing.T) {
	s, err := newSpool(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	g := s.segment(t.Context())
	s.close()
	sum := sha256.New()
	content := random(1, largeContent)
	_, w, err := g.content(largeContent, sum)
	if err == nil {
		sum.Write(content)
		_, err = w.Write(content)
	}
	if err != nil {
		t.Fatal(err)
	}
	var transport fetchError
	if err := g.end(fetchError{io.ErrUnexpectedEOF}); !errors.Is(err, os.ErrClosed) || errors.As(err, &transport) {
		t.Errorf("got %v", err)
	}
}

// A frame that two source layers have stays on disk until the last of all readings, through
// either of them, is over.
func TestSharedFramesStayUntilAllAreRead(t *testing.T) {
	sp, err := newSpool(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer sp.close()
	common, own := random(1, 2*frameSize), random(2, frameSize)
	a, b := sp.segment(t.Context()), sp.segment(t.Context())
	atA, atB, atOwn := put(t, a, common), put(t, b, common), put(t, b, own)
	if err := errors.Join(a.end(nil), b.end(nil)); err != nil {
		t.Fatal(err)
	}
	if a.frames[0] != b.frames[0] || len(sp.all) != 3 {
		t.Fatalf("%d frames", len(sp.all))
	}
	n := int64(len(common))
	sp.expect(a, atA, n, 1)
	sp.expect(b, atB, n, 2)
	sp.drop()
	now := func() int64 { n, _ := sp.disk(slices.Values([]int{})); return n }
	if sp.solid {
		t.Skip("the filesystem of temporary files makes no holes")
	}
	if sp.end-now() != int64(b.frames[atOwn/frameSize].length) {
		t.Errorf("%d of %d bytes are left when one content is not to be read", now(), sp.end)
	}
	if _, soon := sp.disk(slices.Values([]int{0, 1})); soon != 0 {
		t.Errorf("%d bytes are taken to be of one layer alone", soon)
	}
	before := now()
	sp.finished(a, atA, n)
	if now() != before {
		t.Errorf("%d bytes went with the first reading", before-now())
	}
	sp.finished(b, atB, n)
	if now() != 0 {
		t.Errorf("%d bytes are left", now())
	}
}

// The layers that take longest are begun first; those that wait or are written are not begun.
func TestReady(t *testing.T) {
	layerOf := func(raw int64) plan.Layer {
		e := layer.Entry{Path: "f", Inode: &layer.Inode{Type: layer.Regular, Size: raw}}
		return plan.Layer{Units: []*plan.Unit{{Entries: []layer.Entry{e}, Raw: raw}}}
	}
	p := &plan.Plan{Layers: []plan.Layer{layerOf(10), layerOf(30), layerOf(1000), layerOf(30), layerOf(2000), layerOf(20)}}
	p.Layers[2].Waits, p.Layers[4].Written = true, true
	if got := ready(p); !slices.Equal(got, []int{1, 3, 5, 0}) {
		t.Errorf("got %d", got)
	}
}

func TestSpoolStopsWhenCancelled(t *testing.T) {
	s, err := newSpool(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := s.segment(ctx)
	sum := sha256.New()
	_, w, err := g.content(100*frameSize, sum)
	for i := 0; err == nil && i < 100*frameSize/layer.PieceSize; i++ {
		sum.Write([]byte{byte(i)})
		_, err = w.Write(make([]byte, layer.PieceSize))
	}
	if err = g.end(err); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
