package repack

import (
	"fmt"
	"io"
	"math/bits"
	"slices"
	"sync"

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

// A compressor can be asked to let go of what it holds back.
type compressor interface {
	io.WriteCloser
	Flush() error
}

// A codec compresses layers in one way. It keeps the encoders that it has made.
type codec struct {
	mediaType v1types.MediaType
	window    int64 // how far back it looks for repetitions, in bytes
	memory    int64 // that compressing one layer takes, in bytes
	// open starts a stream of about raw bytes; the output depends on raw's order
	// of magnitude. Close gives the encoder back.
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
		encoders := &encoders{effort: e, idle: map[int][]*zstd.Encoder{}}
		// The encoder moves its history down only when it has filled two windows.
		return codec{v1types.OCILayerZStd, int64(e.window), 2*int64(e.window) + e.tables, encoders.open}, nil
	case "gzip":
		speed := []int{6, 1, 9}[index]
		return codec{v1types.OCILayer, 32 << 10, 1 << 20, func(w io.Writer, _ int64) (compressor, error) {
			return gzip.NewWriterLevel(w, speed)
		}}, nil
	}
	return codec{}, fmt.Errorf("compression %q is not one of %v", compression, Compressions)
}

// encoders are zstd encoders of one effort. What they hold is worth keeping: new
// windows for each layer would keep the garbage collector busy.
type encoders struct {
	effort effort
	mu     sync.Mutex
	idle   map[int][]*zstd.Encoder // by window
}

func (p *encoders) open(w io.Writer, raw int64) (compressor, error) {
	window := p.effort.window
	if raw < int64(window) { // engines allocate the window that the frame asks for
		window = max(1<<bits.Len64(uint64(max(raw, 1)-1)), minWindow)
	}
	z := p.take(window)
	if z != nil {
		z.Reset(w)
		return &pooled{z, p, window}, nil
	}
	// Two, whatever the number of jobs, for the bytes may depend on it: finding
	// matches and writing them then run beside each other, and beside the caller.
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(p.effort.speed), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(2))
	return &pooled{z, p, window}, err
}

func (p *encoders) take(window int) *zstd.Encoder {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.idle[window]
	if len(idle) == 0 {
		return nil
	}
	last := len(idle) - 1
	p.idle[window] = idle[:last]
	return idle[last]
}

type pooled struct {
	*zstd.Encoder
	from   *encoders
	window int
}

// Close ends the stream; the compressor must not be used any more.
func (p *pooled) Close() error {
	err := p.Encoder.Close()
	p.Reset(nil) // lets go of the stream's writer
	p.from.mu.Lock()
	defer p.from.mu.Unlock()
	p.from.idle[p.window] = append(p.from.idle[p.window], p.Encoder)
	return err
}
