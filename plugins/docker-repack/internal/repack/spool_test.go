package repack

import (
	"bytes"
	"crypto/sha256"
	"errors"
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

func TestTempDirThatCannotBeWritten(t *testing.T) {
	if _, err := newSpool(t.TempDir()+"/nowhere", 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
