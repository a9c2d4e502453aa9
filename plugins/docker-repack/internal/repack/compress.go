package repack

import (
	"fmt"
	"io"
	"math/bits"
	"slices"

	v1types "github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compressions and Levels are the values that [Options] take, the default first.
var (
	Compressions = []string{"zstd", "gzip"}
	Levels       = []string{"balanced", "fast", "max"}
)

// An effort is what a level means for zstd. How far back it looks for repetitions
// is worth more than the encoder's speed, and costs an engine that much memory
// for each layer it unpacks. RFC 8878 (section 3.1.1.1.2) asks decoders for 8 MiB;
// those of engines take at least the 128 MiB that zstd --long=27 makes
// (docs/design/008-repack-engine.md).
type effort struct {
	speed  zstd.EncoderLevel
	window int
	tables int64 // bytes of an encoder's own, beside the window
}

var efforts = []effort{
	{zstd.SpeedBetterCompression, 32 << 20, 6 << 20},
	{zstd.SpeedDefault, 8 << 20, 4 << 20},
	{zstd.SpeedBestCompression, 64 << 20, 36 << 20},
}

// minWindow bounds the kinds of encoder from below: less would save nothing.
const minWindow = 1 << 20

// A compressor can be asked to let go of what it holds back, and, when it is
// closed, be used again.
type compressor interface {
	io.WriteCloser
	Flush() error
	Reset(w io.Writer)
}

// A codec compresses layers in one way.
type codec struct {
	mediaType v1types.MediaType
	window    int64 // how far back it looks for repetitions, in bytes
	// memory is what compressing about raw bytes takes, in bytes.
	memory func(raw int64) int64
	// open starts a stream of about raw bytes; the output depends on raw's order
	// of magnitude. A compressor holds its memory as long as it is referred to:
	// who keeps one for later keeps that from others.
	open func(w io.Writer, raw int64) (compressor, error)
}

func newCodec(compression, level string) (codec, error) {
	if level == "" {
		level = Levels[0]
	}
	index := slices.Index(Levels, level)
	if index < 0 {
		return codec{}, fmt.Errorf("compression level %q is not one of %v", level, Levels)
	}
	switch compression {
	case "", "zstd":
		e := efforts[index]
		return codec{v1types.OCILayerZStd, int64(e.window), e.memory, e.open}, nil
	case "gzip":
		speed := []int{6, 1, 9}[index]
		return codec{v1types.OCILayer, 32 << 10, func(int64) int64 { return 1 << 20 }, func(w io.Writer, _ int64) (compressor, error) {
			return gzip.NewWriterLevel(w, speed)
		}}, nil
	}
	return codec{}, fmt.Errorf("compression %q is not one of %v", compression, Compressions)
}

// windowFor is the window for a stream of about raw bytes: engines allocate what the
// frame asks for.
func (e effort) windowFor(raw int64) int {
	if raw < int64(e.window) {
		return max(1<<bits.Len64(uint64(max(raw, 1)-1)), minWindow)
	}
	return e.window
}

// memory: the encoder moves its history down only when it has filled two windows.
func (e effort) memory(raw int64) int64 { return 2*int64(e.windowFor(raw)) + e.tables }

func (e effort) open(w io.Writer, raw int64) (compressor, error) {
	// Two, whatever the number of jobs, for the bytes may depend on it: finding
	// matches and writing them then run beside each other, and beside the caller.
	return zstd.NewWriter(w, zstd.WithEncoderLevel(e.speed), zstd.WithWindowSize(e.windowFor(raw)), zstd.WithEncoderConcurrency(2))
}
