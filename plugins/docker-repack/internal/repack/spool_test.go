package repack

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
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
	var segments [writers]*segment
	var contents [writers][][]byte
	var wait sync.WaitGroup
	for i := range writers {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			g := s.segment(t.Context())
			for range 40 {
				b := bytes.Repeat([]byte{byte(rng.IntN(256)), byte(i)}, rng.IntN(200_000))
				contents[i] = append(contents[i], b)
				if _, err := g.Write(b); err != nil {
					t.Error(err)
				}
			}
			if err := g.flush(); err != nil {
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
	for i := range writers {
		off, estimated := int64(0), 0.0
		for k, want := range contents[i] {
			var got bytes.Buffer
			if err := r.copy(&got, segments[i], off, int64(len(want))); err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("content %d of segment %d is not what was written (%v)", k, i, err)
			}
			for p := range segments[i].pieces(off, int64(len(want))) {
				estimated += p.packed
			}
			off += int64(len(want))
		}
		var stored int64
		for _, f := range segments[i].frames {
			stored += int64(f.length)
		}
		if int64(estimated+0.5) != stored {
			t.Errorf("segment %d: estimates add up to %f, %d bytes are stored", i, estimated, stored)
		}
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
	for range 100 {
		if _, err = g.Write(make([]byte, frameSize)); err != nil {
			break
		}
	}
	g.flush()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTempDirThatCannotBeWritten(t *testing.T) {
	if _, err := newSpool(t.TempDir()+"/nowhere", 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
