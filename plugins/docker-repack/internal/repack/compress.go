package repack

import (
	"fmt"
	"io"

	v1types "github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compressions and Levels are the values that [Options] take, the default first.
var (
	Compressions = []string{"zstd", "gzip"}
	Levels       = []string{"balanced", "fast", "max"}
)

// window is how far back a layer's compressor looks for repetitions. A longer one
// would save more than a higher level does, but RFC 8878 (section 3.1.1.1.2) asks
// decoders for no more than 8 MiB, and what an engine does beyond that has to be
// tried with each one before it is relied on.
const window = 8 << 20

// A compressor can be asked to let go of what it holds back.
type compressor interface {
	io.WriteCloser
	Flush() error
}

// A codec compresses layers in one way.
type codec struct {
	mediaType v1types.MediaType
	window    int64 // how far back it looks for repetitions, in bytes
	open      func(w io.Writer) (compressor, error)
}

func newCodec(compression, level string) (codec, error) {
	index := -1
	for i, l := range Levels {
		if l == level || (level == "" && i == 0) {
			index = i
		}
	}
	if index < 0 {
		return codec{}, fmt.Errorf("compression level %q is not one of %v", level, Levels)
	}
	switch compression {
	case "", "zstd":
		speed := []zstd.EncoderLevel{zstd.SpeedBetterCompression, zstd.SpeedDefault, zstd.SpeedBestCompression}[index]
		return codec{v1types.OCILayerZStd, window, func(w io.Writer) (compressor, error) {
			// One goroutine for each stream: layers are what runs in parallel, and
			// the bytes must not depend on how many there are.
			return zstd.NewWriter(w, zstd.WithEncoderLevel(speed), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
		}}, nil
	case "gzip":
		speed := []int{6, 1, 9}[index]
		return codec{v1types.OCILayer, 32 << 10, func(w io.Writer) (compressor, error) {
			return gzip.NewWriterLevel(w, speed)
		}}, nil
	}
	return codec{}, fmt.Errorf("compression %q is not one of %v", compression, Compressions)
}
