package repack

import (
	"fmt"
	"io"
	"math/bits"
	"slices"

	v1types "github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/longzstd"
)

// Compressions and Levels are the values that [Options] take, the default first.
var (
	Compressions = []string{"zstd", "gzip"}
	Levels       = []string{"balanced", "fast", "max"}
)

// How far back a level looks for repetitions is worth more than how hard, and costs an
// engine that much memory for each layer it unpacks. RFC 8878 (section 3.1.1.1.2) asks
// decoders for 8 MiB; those of engines take 512 (docs/design/008-repack-engine.md).
const (
	nearWindow = 8 << 20
	farWindow  = 64 << 20

	// maxReach bounds how far back copies of a whole file are found, beyond the window
	// because the plan knows of them. Who unpacks or reads back needs twice that.
	maxReach = 192 << 20
	// reachSlack is what may lie between copies beside one of them: headers.
	reachSlack = 1 << 20

	// minWindow bounds the kinds of encoder from below: less would save nothing.
	minWindow = 1 << 20
)

// A compressor can be asked to let go of what it holds back, and, when it is
// closed, be used again.
type compressor interface {
	io.WriteCloser
	Flush() error
	Reset(w io.Writer)
}

// A repeater is a compressor that can be told of copies that it would not find.
type repeater interface {
	// Repeat tells that the next n bytes are those of distance bytes before.
	Repeat(n, distance int64)
}

// A stream is what a compressor is to expect; its output depends on that.
type stream struct {
	raw   int64 // about how many bytes
	reach int64 // the largest distance that a [repeater] will be told of; 0 for none
}

// A codec compresses layers in one way.
type codec struct {
	mediaType v1types.MediaType
	window    int64 // how far back it looks for repetitions, in bytes
	reach     int64 // how far back it can be told of some, in bytes
	// memory is what compressing about raw bytes takes, in bytes.
	memory func(raw int64) int64
	// open starts a stream. A compressor holds its memory as long as it is referred to:
	// who keeps one for later keeps that from others.
	open func(w io.Writer, s stream) (compressor, error)
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
		return []codec{farCodec(false), nearCodec(), farCodec(true)}[index], nil
	case "gzip":
		speed := []int{6, 1, 9}[index]
		return codec{v1types.OCILayer, 32 << 10, 32 << 10, func(int64) int64 { return 1 << 20 }, func(w io.Writer, _ stream) (compressor, error) {
			return gzip.NewWriterLevel(w, speed)
		}}, nil
	}
	return codec{}, fmt.Errorf("compression %q is not one of %v", compression, Compressions)
}

// farCodec finds repetitions in all of its large window.
func farCodec(deep bool) codec {
	options := func(s stream) longzstd.Options {
		return longzstd.Options{Window: windowFor(s.raw, farWindow), Reach: s.reach, Deep: deep}
	}
	return codec{
		mediaType: v1types.OCILayerZStd, window: farWindow, reach: maxReach - reachSlack,
		memory: func(raw int64) int64 { return options(stream{raw: raw}).Memory() },
		open:   func(w io.Writer, s stream) (compressor, error) { return longzstd.NewWriter(w, options(s)) },
	}
}

// nearCodec is fast.
func nearCodec() codec {
	return codec{
		mediaType: v1types.OCILayerZStd, window: nearWindow, reach: nearWindow,
		// The encoder moves its history down only when it has filled two windows.
		memory: func(raw int64) int64 { return 2*int64(windowFor(raw, nearWindow)) + 4<<20 },
		open: func(w io.Writer, s stream) (compressor, error) {
			// Two, whatever the number of jobs, for the bytes may depend on it: finding
			// matches and writing them then run beside each other, and beside the caller.
			return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(windowFor(s.raw, nearWindow)), zstd.WithEncoderConcurrency(2))
		},
	}
}

// windowFor is the window for a stream of about raw bytes, at most the given one: engines
// allocate what the frame asks for.
func windowFor(raw int64, most int) int {
	if raw < int64(most) {
		return max(1<<bits.Len64(uint64(max(raw, 1)-1)), minWindow)
	}
	return most
}
