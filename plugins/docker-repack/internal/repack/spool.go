package repack

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// frameSize is how much content one frame of the spool holds at most. Small frames cost
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
// again by offset. Segments of it are written concurrently; what they have in common, it
// keeps once.
type spool struct {
	file    *os.File
	remove  func()
	encoder *zstd.Encoder
	workers chan struct{} // bounds the frames in memory
	buffers sync.Pool     // of frames, and
	packed  sync.Pool     // of compressed ones

	mu    sync.Mutex
	known map[frameKey]*frame
	all   []*frame
	end   int64
	freed int64
	solid bool    // the filesystem makes no holes
	alone []int64 // by output layer, counted from 1: bytes that only it will read
	// holes are the parts of the file that nobody will read any more, by where they
	// begin, and by where they end.
	holes, holesByEnd map[int64]int64
}

// A frame is some contents, or a part of one, compressed together.
type frame struct {
	small  bool  // several contents
	offset int64 // in the file
	length int32 // compressed
	raw    int32 // uncompressed
	use    use
	marks  []mark
}

// A frameKey tells frames apart: by the digest of the content up to the frame's end, or by that
// of the digests of the contents.
type frameKey struct {
	small bool
	sum   [sha256.Size]byte
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
		known:   map[frameKey]*frame{},
		buffers: sync.Pool{New: func() any { b := make([]byte, 0, frameSize); return &b }},
		packed:  sync.Pool{New: func() any { b := make([]byte, 0, frameSize+frameSize/64); return &b }},
		holes:   map[int64]int64{}, holesByEnd: map[int64]int64{},
	}, nil
}

// frame returns the frame with a key, and whether it is new: then the caller has to fill it.
func (s *spool) frame(key frameKey) (f *frame, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.known[key]; f != nil {
		return f, false
	}
	f = &frame{small: key.small}
	s.known[key] = f
	s.all = append(s.all, f)
	return f, true
}

// fill compresses and stores what a new frame stands for.
func (s *spool) fill(f *frame, raw []byte) error {
	packed := s.packed.Get().(*[]byte)
	defer s.packed.Put(packed)
	data := s.encoder.EncodeAll(raw, (*packed)[:0])
	*packed = data
	f.marks, f.raw, f.length = fingerprint(raw), int32(len(raw)), int32(len(data))
	s.mu.Lock()
	f.offset = s.end
	s.end += int64(len(data))
	s.mu.Unlock()
	if _, err := s.file.WriteAt(data, f.offset); err != nil {
		return fmt.Errorf("spooling contents: %w", explainDisk(err))
	}
	return nil
}

// buffer returns room for a frame.
func (s *spool) buffer() *[]byte { return s.buffers.Get().(*[]byte) }

func (s *spool) recycle(buf *[]byte) {
	*buf = (*buf)[:0]
	s.buffers.Put(buf)
}

func (s *spool) close() { s.remove() }

// size is how much was written to the spool.
func (s *spool) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// A spoolReader reads contents out of segments; it keeps the last frame of each kind, because
// the next content mostly starts where the last one of its kind ended. Not for concurrent use.
type spoolReader struct {
	decoder      *zstd.Decoder
	small, large loaded
	packed       []byte
}

// A loaded frame is there uncompressed.
type loaded struct {
	frame *frame
	raw   []byte
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
		raw, err := r.load(g.spool, g.frames[off/frameSize])
		if err != nil {
			return err
		}
		if off%frameSize >= int64(len(raw)) {
			return io.ErrUnexpectedEOF
		}
		part := raw[off%frameSize:]
		part = part[:min(int64(len(part)), n)]
		if _, err := w.Write(part); err != nil {
			return err
		}
		off, n = off+int64(len(part)), n-int64(len(part))
	}
	return nil
}

func (r *spoolReader) load(s *spool, f *frame) ([]byte, error) {
	l := &r.large
	if f.small {
		l = &r.small
	}
	if l.frame == f {
		return l.raw, nil
	}
	if cap(r.packed) < int(f.length) {
		r.packed = make([]byte, f.length)
	}
	r.packed = r.packed[:f.length]
	l.frame = nil
	if _, err := s.file.ReadAt(r.packed, f.offset); err != nil {
		return nil, fmt.Errorf("reading the spool: %w", err)
	}
	var err error
	if l.raw, err = r.decoder.DecodeAll(r.packed, l.raw[:0]); err != nil {
		return nil, fmt.Errorf("reading the spool: %w", err)
	}
	l.frame = f
	return l.raw, nil
}
