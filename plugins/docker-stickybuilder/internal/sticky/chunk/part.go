package chunk

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A Part is a stretch of a pack's blob that is decoded by itself: so several can be at the
// same time. It is read once.
type Part struct {
	pack   *Pack
	coded  bool     // it is a zstd frame
	data   *[]byte  // of the blob
	offset int64    // in what the pack decodes to
	raw    int      // size of what data decodes to
	wanted []Wanted // in their order
}

// buffers have room for a part.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, blockSize)
	return &b
}}

// decoder takes whole frames, from any number of goroutines. Checksums of frames are not
// looked at, because chunks are known by better ones.
var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxWindow(windowSize), zstd.WithDecoderMaxMemory(blockSize), zstd.IgnoreChecksum(true))
})

// Read verifies the part's wanted chunks and calls fn with each run of them that lie next to
// each other, if they all have the digests they should have. The bytes are valid until fn
// returns.
func (p *Part) Read(fn func(run []Wanted, data []byte) error) error {
	defer p.Drop()
	data := *p.data
	if p.coded {
		d, err := decoder()
		if err != nil {
			return err
		}
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		if data, err = d.DecodeAll(data, (*buf)[:0]); err != nil {
			return fmt.Errorf("decompressing pack %s: %w", p.pack.Digest, err)
		}
		if len(data) != p.raw {
			return fmt.Errorf("decompressing pack %s: a frame of %d bytes has %d", p.pack.Digest, p.raw, len(data))
		}
	}
	for _, w := range p.wanted {
		if at := w.Offset - p.offset; Sum(data[at:at+int64(w.Size)]) != w.ID {
			return fmt.Errorf("reading pack %s: %w", p.pack.Digest, ErrCorrupt)
		}
	}
	for rest := p.wanted; len(rest) > 0; {
		n, end := 1, rest[0].end()
		for n < len(rest) && rest[n].Offset == end {
			end = rest[n].end()
			n++
		}
		if err := fn(rest[:n], data[rest[0].Offset-p.offset:end-p.offset]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// Drop gives up a part that is not read.
func (p *Part) Drop() {
	if p.data != nil {
		buffers.Put(p.data)
		p.data = nil
	}
}

func (w Wanted) end() int64 { return w.Offset + int64(w.Size) }
