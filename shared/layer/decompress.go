package layer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is the largest zstd window that is read. Engines' own decoders accept twice
// as much; zstd --long=27 makes half of it, docker repack three quarters at most.
const maxWindow = 256 << 20

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
	// skippableMagic is the common part of 0x184D2A50 to 0x184D2A5F, with which
	// zstd:chunked and pzstd streams may begin.
	skippableMagic = []byte{0x2a, 0x4d, 0x18}
)

// DecompressMemory returns about how many bytes [Decompress] will hold for a stream
// that begins with what can be peeked of b: two of the windows that the first zstd
// frame asks for (RFC 8878, section 3.1.1.1.2; of a single segment, its content), and
// next to nothing for others. A
// stream that cannot be read takes nothing.
func DecompressMemory(b *bufio.Reader) int64 {
	head, _ := b.Peek(zstd.HeaderMaxSize) // what is wrong with it, reading will tell
	var h zstd.Header
	switch {
	case h.Decode(head) != nil || h.Skippable:
		return 0
	case h.SingleSegment:
		return 2 * int64(min(h.FrameContentSize, math.MaxInt64/4))
	case h.WindowSize > maxWindow:
		return 0
	}
	return 2 * int64(h.WindowSize)
}

// Decompress returns the tar stream in a layer blob. The compression is found by
// the first bytes, as engines do, for media types are often wrong about it. The
// caller still closes r.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 256<<10)
	head, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		z, err := newGunzip(b)
		if err != nil {
			return nil, fmt.Errorf("decompressing gzip: %w", err)
		}
		return drained{z, z, b}, nil
	case bytes.HasPrefix(head, zstdMagic), len(head) == 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:], skippableMagic):
		// With little memory, the decoder would move its whole window for every
		// megabyte: this way it holds two windows and moves one when both are full.
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(false))
		if err != nil {
			return nil, fmt.Errorf("decompressing zstd: %w", err)
		}
		return drained{z, z.IOReadCloser(), b}, nil
	}
	return io.NopCloser(b), nil
}

// drained reads the compressed stream to its end before it reports the end of
// the data, so that a digest check below sees all bytes.
type drained struct {
	io.Reader
	io.Closer
	below *bufio.Reader
}

func (d drained) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		if _, drainErr := io.Copy(io.Discard, d.below); drainErr != nil {
			err = drainErr
		}
	}
	return n, err
}
