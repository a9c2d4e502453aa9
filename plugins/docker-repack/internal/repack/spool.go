package repack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// frameSize is how much content one frame of the spool holds. Small frames cost
// ratio, large ones decoding for nothing; ratio hardly grows beyond 1 MiB at the
// level that is used.
const frameSize = 1 << 20

// tempFile makes a file in dir that has no name any more, so that nothing is left
// behind however the process ends. Where open files cannot be removed, it goes
// when it is closed.
func tempFile(dir, pattern string) (*os.File, func(), error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, nil, fault.Hint(fmt.Errorf("creating a temporary file: %w", err), "choose a writable directory with --tmpdir")
	}
	unlinked := os.Remove(f.Name()) == nil
	return f, func() {
		f.Close()
		if !unlinked {
			os.Remove(f.Name())
		}
	}, nil
}

func explainDisk(err error) error {
	if noRoom(err) {
		return fault.Hint(err, "the temporary directory needs about as much room as the compressed image: choose another with --tmpdir")
	}
	return err
}

func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// A spool keeps contents compressed in a temporary file so that each can be read
// again by offset. Segments of it are written concurrently.
type spool struct {
	file    *os.File
	remove  func()
	encoder *zstd.Encoder
	workers chan struct{} // bounds the frames in memory
	buffers sync.Pool     // of frames, and
	packed  sync.Pool     // of compressed ones

	mu    sync.Mutex
	end   int64
	freed int64
	solid bool    // the filesystem makes no holes
	alone []int64 // by output layer, counted from 1: bytes that only it will read
	// holes are the parts of the file that nobody will read any more, by where they
	// begin, and by where they end.
	holes, holesByEnd map[int64]int64
}

type frame struct {
	offset int64 // in the file
	length int32 // compressed
	use    use
	marks  []mark
}

func newSpool(dir string, jobs int) (*spool, error) {
	f, remove, err := tempFile(dir, "docker-repack-spool-*")
	if err != nil {
		return nil, err
	}
	// Left to itself, the fastest level stores what has no repetitions as it is:
	// base64 and the like would take a third more than in the source.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(frameSize), zstd.WithEncoderConcurrency(jobs),
		zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		remove()
		return nil, err
	}
	return &spool{
		file: f, remove: remove, encoder: enc,
		workers: make(chan struct{}, jobs+1),
		buffers: sync.Pool{New: func() any { b := make([]byte, 0, frameSize); return &b }},
		packed:  sync.Pool{New: func() any { b := make([]byte, 0, frameSize+frameSize/64); return &b }},
		holes:   map[int64]int64{}, holesByEnd: map[int64]int64{},
	}, nil
}

func (s *spool) close() { s.remove() }

// size is how much was written to the spool.
func (s *spool) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// A segment is a run of contents in the spool, one after the other. It is written
// by one goroutine, then flushed, then read by many.
type segment struct {
	spool *spool
	ctx   context.Context
	buf   *[]byte
	size  int64

	mu     sync.Mutex
	wait   sync.WaitGroup
	frames []frame
	err    error
}

func (s *spool) segment(ctx context.Context) *segment { return &segment{spool: s, ctx: ctx} }

func (g *segment) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if g.buf == nil {
			g.buf = g.spool.buffers.Get().(*[]byte)
		}
		k := min(len(p), frameSize-len(*g.buf))
		*g.buf = append(*g.buf, p[:k]...)
		p = p[k:]
		g.size += int64(k)
		if len(*g.buf) == frameSize {
			if err := g.emit(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// emit compresses and stores the current frame in the background.
func (g *segment) emit() error {
	select {
	case g.spool.workers <- struct{}{}:
	case <-g.ctx.Done():
		return context.Cause(g.ctx)
	}
	g.mu.Lock()
	err := g.err
	index := len(g.frames)
	g.frames = append(g.frames, frame{})
	g.mu.Unlock()
	buf := g.buf
	g.buf = nil
	g.wait.Go(func() {
		defer func() { <-g.spool.workers }()
		f, err := g.spool.store(*buf)
		*buf = (*buf)[:0]
		g.spool.buffers.Put(buf)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.frames[index] = f
		g.err = errors.Join(g.err, err)
	})
	return err
}

func (s *spool) store(raw []byte) (frame, error) {
	packed := s.packed.Get().(*[]byte)
	defer s.packed.Put(packed)
	data := s.encoder.EncodeAll(raw, (*packed)[:0])
	*packed = data
	s.mu.Lock()
	f := frame{offset: s.end, length: int32(len(data))}
	s.end += int64(len(data))
	s.mu.Unlock()
	if _, err := s.file.WriteAt(data, f.offset); err != nil {
		return frame{}, fmt.Errorf("spooling contents: %w", explainDisk(err))
	}
	f.marks = fingerprint(raw)
	return f, nil
}

// flush stores what is left and waits for all frames.
func (g *segment) flush() error {
	var err error
	if g.buf != nil {
		err = g.emit()
	}
	g.wait.Wait()
	return errors.Join(err, g.err)
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
			i := off / frameSize
			length := min(frameSize, g.size-i*frameSize)
			part := min(n, i*frameSize+length-off)
			if part <= 0 || !yield(piece{&g.frames[i], uint32(off % frameSize), part, float64(g.frames[i].length) * float64(part) / float64(length)}) {
				return
			}
			off, n = off+part, n-part
		}
	}
}

// A spoolReader reads contents out of segments; it keeps the last frame, because
// the next content mostly starts where the last one ended. Not for concurrent use.
type spoolReader struct {
	decoder *zstd.Decoder
	segment *segment
	index   int64
	frame   []byte
	packed  []byte
}

func newSpoolReader() (*spoolReader, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*frameSize))
	if err != nil {
		return nil, err
	}
	return &spoolReader{decoder: d}, nil
}

func (r *spoolReader) close() { r.decoder.Close() }

// copy writes the n bytes at off of g to w.
func (r *spoolReader) copy(w io.Writer, g *segment, off, n int64) error {
	for n > 0 {
		if err := r.load(g, off/frameSize); err != nil {
			return err
		}
		part := r.frame[off%frameSize:]
		part = part[:min(int64(len(part)), n)]
		if len(part) == 0 {
			return io.ErrUnexpectedEOF
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
		off, n = off+int64(len(part)), n-int64(len(part))
	}
	return nil
}

func (r *spoolReader) load(g *segment, index int64) error {
	if r.segment == g && r.index == index {
		return nil
	}
	f := &g.frames[index]
	if cap(r.packed) < int(f.length) {
		r.packed = make([]byte, f.length)
	}
	r.packed = r.packed[:f.length]
	r.segment = nil
	if _, err := g.spool.file.ReadAt(r.packed, f.offset); err != nil {
		return fmt.Errorf("reading the spool: %w", err)
	}
	var err error
	if r.frame, err = r.decoder.DecodeAll(r.packed, r.frame[:0]); err != nil {
		return fmt.Errorf("reading the spool: %w", err)
	}
	r.segment, r.index = g, index
	return nil
}
