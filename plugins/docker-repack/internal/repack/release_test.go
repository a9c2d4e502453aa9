package repack

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
)

// A frame stays on disk until the last expected reading of it is over, whatever
// the order; in the end, nothing is left, not even blocks that neighbours share.
func TestSpoolGivesItsDiskBack(t *testing.T) {
	sp, err := newSpool(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer sp.close()
	rng := rand.New(rand.NewPCG(1, 2))
	raw := make([]byte, 12<<20+777)
	for i := range raw {
		raw[i] = byte(rng.Uint32())
	}
	g := sp.segment(t.Context())
	put(t, g, raw)
	if err := g.end(nil); err != nil {
		t.Fatal(err)
	}
	reader, err := newSpoolReader()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.close()
	type reading struct{ off, n int64 }
	var todo []reading
	for off := int64(0); off < int64(len(raw)); off += 300_000 {
		todo = append(todo, reading{off, min(300_000, int64(len(raw))-off)})
	}
	todo = append(todo, todo...) // each twice
	for i, r := range todo {
		sp.expect(g, r.off, r.n, int32(1+i%2))
	}
	rng.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
	for _, r := range todo {
		var got bytes.Buffer
		if err := reader.copy(&got, g, r.off, r.n); err != nil || !bytes.Equal(got.Bytes(), raw[r.off:r.off+r.n]) {
			t.Fatalf("%d bytes at %d are not what was written (%v)", r.n, r.off, err)
		}
		sp.finished(g, r.off, r.n)
	}
	if sp.solid {
		t.Skip("the filesystem of temporary files makes no holes")
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(int(sp.file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if now, _ := sp.disk(slices.Values([]int{})); now != 0 || st.Blocks*512 > 4*diskBlock { // the filesystem's own list of the holes is the rest
		t.Errorf("%d bytes are left, %d on disk", now, st.Blocks*512)
	}
	for i, n := range sp.alone {
		if n != 0 {
			t.Errorf("layer %d still has %d bytes for itself", i, n)
		}
	}
}

// Where files have no holes, all of the spool stays.
func TestSpoolWithoutHoles(t *testing.T) {
	sp, err := newSpool(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	g := sp.segment(t.Context())
	put(t, g, make([]byte, 1000))
	if err := g.end(nil); err != nil {
		t.Fatal(err)
	}
	sp.close() // a closed file makes no holes either
	sp.drop()
	if now, _ := sp.disk(slices.Values([]int{0})); now != sp.size() {
		t.Errorf("%d of %d bytes are left", now, sp.size())
	}
}

func TestRoomIsForOneLayerOrForAllThatFit(t *testing.T) {
	sp := &spool{end: 100 * frameSize, alone: []int64{0, 0, 0, 30 * frameSize}}
	r := newRoom(sp, 100*frameSize) // ten frames beside the spool
	enter := func(layer, frames int) bool {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errFull)
		err := r.enter(ctx, layer, int64(frames)*frameSize)
		if err != nil && !errors.Is(err, errFull) {
			t.Fatal(err)
		}
		return err == nil
	}
	for i, step := range []struct {
		layer, frames int
		leave         bool
		want          bool
	}{
		{layer: 0, frames: 50, want: true}, // alone
		{layer: 1, frames: 1, want: false},
		{layer: 0, leave: true},
		{layer: 0, frames: 2, want: true},
		{layer: 1, frames: 8, want: false},
		{layer: 1, frames: 4, want: true},
		{layer: 2, frames: 25, want: true}, // takes less than it gives back
	} {
		if step.leave {
			r.leave(step.layer)
		} else if got := enter(step.layer, step.frames); got != step.want {
			t.Errorf("step %d: %v, layers under way %v", i, got, slices.Sorted(maps.Keys(r.layers)))
		}
	}
	done := make(chan error)
	go func() { done <- r.enter(t.Context(), 3, 50*frameSize) }()
	for _, layer := range []int{0, 1, 2} {
		r.leave(layer)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

var errFull = errors.New("no room")
