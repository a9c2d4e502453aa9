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

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

func TestSpoolGivesBackWhatItGot(t *testing.T) {
	dir := t.TempDir()
	s, err := newSpool(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("the spool has a name: %v", left)
	}
	const writers = 4
	type kept struct {
		content []byte
		off     int64
	}
	var segments [writers]*segment
	var contents [writers][]kept
	var wait sync.WaitGroup
	for i := range writers {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			g := s.segment(t.Context())
			for range 60 {
				b := bytes.Repeat([]byte{byte(rng.IntN(256)), byte(i)}, 1+rng.IntN([]int{20_000, 200_000, 2_000_000}[rng.IntN(3)]))
				contents[i] = append(contents[i], kept{b, put(t, g, b)})
			}
			if err := g.end(nil); err != nil {
				t.Error(err)
			}
			segments[i] = g
		})
	}
	wait.Wait()
	r, err := newSpoolReader()
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for i, g := range segments {
		estimated := 0.0
		for k, want := range contents[i] {
			var got bytes.Buffer
			n := int64(len(want.content))
			if err := r.copy(&got, g, want.off, n); err != nil || !bytes.Equal(got.Bytes(), want.content) {
				t.Fatalf("content %d of segment %d is not what was written (%v)", k, i, err)
			}
			for p := range g.pieces(want.off, n) {
				estimated += p.packed
			}
		}
		var stored int64
		for _, f := range g.frames {
			stored += int64(f.length)
		}
		if int64(estimated+0.5) != stored {
			t.Errorf("segment %d: estimates add up to %f, %d bytes are stored", i, estimated, stored)
		}
	}
}

// put writes a content to a segment, and returns where it is.
func put(t testing.TB, g *segment, content []byte) int64 {
	t.Helper()
	sum := sha256.New()
	off, w, err := g.content(int64(len(content)), sum)
	for p := range slices.Chunk(content, layer.PieceSize) {
		if err == nil {
			sum.Write(p)
			_, err = w.Write(p)
		}
	}
	if err != nil {
		t.Error(err)
	}
	return off
}

// What several layers have is kept once, wherever in them it is and whoever comes first; and
// which frames there are does not depend on that.
func TestSpoolKeepsOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	var common [][]byte
	for range 120 {
		common = append(common, random(rng.Uint64(), 1+rng.IntN([]int{8_000, 60_000, 3_000_000}[rng.IntN(30)/14])))
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
	// A run that begins elsewhere has a frame of small contents for itself, or a few; so
	// has one that is cut.
	if least := alone.size(); s.size() > least+5*frameSize {
		t.Errorf("%d bytes for one layer, %d for all", least, s.size())
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

func TestTempDirThatCannotBeWritten(t *testing.T) {
	if _, err := newSpool(t.TempDir()+"/nowhere", 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
