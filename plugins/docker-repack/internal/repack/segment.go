package repack

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"iter"
	"sync"
)

// A segment is the contents of one source layer in the spool. It is written by one
// goroutine, then ended, then read by many.
//
// Contents alone decide where frames end, so that a layer that has again what another has, as
// after a copy or a change of owners, has the same frames for it, which the spool keeps once.
// A large content has frames of its own. Small ones share frames, one of which ends when
// it has some and the digest of the last one says so: wherever such a run begins, its frames
// are soon those of before.
type segment struct {
	spool *spool
	ctx   context.Context
	small *smallFrame // that is being filled; nil if there is none

	mu     sync.Mutex
	wait   sync.WaitGroup
	frames []*frame
	err    error
}

const (
	// largeContent is the size, in bytes, from which on a content has frames of its own.
	largeContent = 64 << 10
	// A frame of small contents has at least smallFrameLeast bytes, and after these about
	// smallFrameMore. If that were much less, runs that begin differently would seldom
	// have an end in common.
	smallFrameLeast = frameSize / 4
	smallFrameMore  = frameSize / 4
)

// A smallFrame is a frame of several contents, while it is being filled.
type smallFrame struct {
	slot int
	buf  *[]byte
	sums hash.Hash // of the digests of its contents
}

func (s *spool) segment(ctx context.Context) *segment { return &segment{spool: s, ctx: ctx} }

// content returns where the next content, of size bytes, will be, and what it has to be
// written to. Sum is the digest of what has been written of it; no piece may go over a
// multiple of frameSize.
func (g *segment) content(size int64, sum hash.Hash) (offset int64, w io.Writer, err error) {
	if size >= largeContent {
		first := g.reserve(int((size + frameSize - 1) / frameSize))
		return int64(first) * frameSize, &largeWriter{g: g, slot: first, left: size, sum: sum}, nil
	}
	if g.small != nil && len(*g.small.buf)+int(size) > frameSize {
		if err := g.endSmall(); err != nil {
			return 0, nil, err
		}
	}
	if g.small == nil {
		g.small = &smallFrame{g.reserve(1), g.spool.buffer(), sha256.New()}
	}
	return int64(g.small.slot)*frameSize + int64(len(*g.small.buf)), &smallWriter{g: g, left: size, size: size, sum: sum}, nil
}

// reserve makes room for n frames, and returns which the first one is.
func (g *segment) reserve(n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := len(g.frames)
	g.frames = append(g.frames, make([]*frame, n)...)
	return first
}

type smallWriter struct {
	g    *segment
	left int64
	size int64
	sum  hash.Hash
}

func (w *smallWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, errMisfit
	}
	f := w.g.small
	*f.buf = append(*f.buf, p...)
	if w.left -= int64(len(p)); w.left > 0 {
		return len(p), nil
	}
	sum := w.sum.Sum(nil)
	f.sums.Write(sum)
	chance := uint64(binary.BigEndian.Uint32(sum))
	if len(*f.buf) >= smallFrameLeast && chance*smallFrameMore < uint64(w.size)<<32 {
		return len(p), w.g.endSmall()
	}
	return len(p), nil
}

func (g *segment) endSmall() error {
	f := g.small
	g.small = nil
	return g.emit(f.slot, f.buf, frameKey{true, [sha256.Size]byte(f.sums.Sum(nil))})
}

type largeWriter struct {
	g    *segment
	slot int
	buf  *[]byte
	left int64
	sum  hash.Hash
}

func (w *largeWriter) Write(p []byte) (int, error) {
	if w.buf == nil {
		w.buf = w.g.spool.buffer()
	}
	if int64(len(p)) > w.left || len(*w.buf)+len(p) > frameSize {
		return 0, errMisfit
	}
	*w.buf = append(*w.buf, p...)
	if w.left -= int64(len(p)); w.left > 0 && len(*w.buf) < frameSize {
		return len(p), nil
	}
	buf := w.buf
	w.buf = nil
	w.slot++
	return len(p), w.g.emit(w.slot-1, buf, frameKey{false, [sha256.Size]byte(w.sum.Sum(nil))})
}

var errMisfit = errors.New("the pieces of a content do not fit its frames")

// emit has the spool keep a frame, in the background if it does not have it already.
func (g *segment) emit(slot int, buf *[]byte, key frameKey) error {
	f, fresh := g.spool.frame(key)
	g.mu.Lock()
	g.frames[slot] = f
	err := g.err
	g.mu.Unlock()
	if !fresh {
		g.spool.recycle(buf)
		return err
	}
	select {
	case g.spool.workers <- struct{}{}:
	case <-g.ctx.Done():
		return context.Cause(g.ctx)
	}
	g.wait.Go(func() {
		defer func() { <-g.spool.workers }()
		err := g.spool.fill(f, *buf)
		g.spool.recycle(buf)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.err = errors.Join(g.err, err)
	})
	return err
}

// end stores what is left, if nothing went wrong before, and waits for the frames that this
// segment was the first to have: also after an error they use the file. That one of those is not
// there counts more than the error: nobody may take it for kept.
func (g *segment) end(err error) error {
	if err == nil && g.small != nil {
		err = g.endSmall()
	}
	g.wait.Wait()
	if g.err != nil {
		return g.err
	}
	return err
}

// A piece is the part of a content that lies in one frame.
type piece struct {
	frame  *frame
	offset uint32 // in the frame, uncompressed
	size   int64
	packed float64 // its share of the compressed frame, in bytes
}

// pieces yields the parts of the n bytes at off.
func (g *segment) pieces(off, n int64) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for n > 0 {
			f := g.frames[off/frameSize]
			part := min(n, int64(f.raw)-off%frameSize)
			if part <= 0 || !yield(piece{f, uint32(off % frameSize), part, float64(f.length) * float64(part) / float64(f.raw)}) {
				return
			}
			off, n = off+part, n-part
		}
	}
}
