package repack

import (
	"context"
	"maps"
	"sync"
)

// A room bounds the temporary disk while layers are written: what the spool still
// holds, and the layers that the destination does not have yet. A slow destination
// then makes the compressors wait.
type room struct {
	spool *spool
	limit int64 // bytes

	mu      sync.Mutex
	layers  map[int]int64 // under way, and about how large they get
	changed chan struct{} // closed when there may be more room
}

// newRoom makes room for a tenth more than the compressed source, or for what
// reading it has taken.
func newRoom(sp *spool, source int64) *room {
	return &room{spool: sp, limit: max(source+source/10, sp.size()), layers: map[int]int64{}, changed: make(chan struct{})}
}

// enter waits until a layer of about size bytes has room beside the others. There
// is always room for one.
func (r *room) enter(ctx context.Context, layer int, size int64) error {
	for {
		r.mu.Lock()
		// Estimates are that good, mostly, and a frame leaves when all of it is read.
		r.layers[layer] = size + size/16 + frameSize
		fits := len(r.layers) == 1 || r.peak() <= r.limit
		if !fits {
			delete(r.layers, layer)
		}
		changed := r.changed
		r.mu.Unlock()
		if fits {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// peak is the disk that is taken when all layers under way have been written and
// none of them stored.
func (r *room) peak() int64 {
	now, soon := r.spool.disk(maps.Keys(r.layers))
	for _, size := range r.layers {
		now += size
	}
	return now - soon
}

// written tells how large a layer is.
func (r *room) written(layer int, size int64) { r.change(func() { r.layers[layer] = size }) }

// leave tells that a layer is not on the temporary disk any more.
func (r *room) leave(layer int) { r.change(func() { delete(r.layers, layer) }) }

func (r *room) change(what func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what()
	close(r.changed)
	r.changed = make(chan struct{})
}
