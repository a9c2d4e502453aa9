package chunk

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Bounds of packs in bytes. A pack is closed by the first chunk that takes its blob
// beyond targetSize, so that no blob is bigger than MaxPack.
const (
	targetSize = 24 << 20
	MaxPack    = 32 << 20
	MaxRaw     = 256 << 20 // of a pack's chunks, also where they compress to little
)

// A Builder gathers chunks into packs of one encoding. The same chunks in the same
// order give the same packs.
type Builder struct {
	encoding Encoding
	emit     func(*Pack, []byte) error
	encoder  *zstd.Encoder
	blob     bytes.Buffer
	raw      int64
	open     *Pack
}

// NewBuilder makes a Builder. It hands each finished pack with its blob to emit,
// which owns the bytes from then on.
func NewBuilder(e Encoding, emit func(*Pack, []byte) error) (*Builder, error) {
	b := &Builder{encoding: e, emit: emit, open: &Pack{Encoding: e}}
	if e == Zstd {
		var err error
		// One goroutine: where a pack ends depends on what was written of it by then.
		if b.encoder, err = zstd.NewWriter(&b.blob, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(windowSize)); err != nil {
			return nil, fmt.Errorf("preparing to compress: %w", err)
		}
	}
	return b, nil
}

// Add puts a chunk into the open pack and returns its place. The pack's digest and
// sizes are there once it was emitted.
func (b *Builder) Add(data []byte) (Location, error) {
	if b.raw+int64(len(data)) > MaxRaw {
		if err := b.Flush(); err != nil {
			return Location{}, err
		}
	}
	at := Location{Pack: b.open, Offset: b.raw}
	var err error
	if b.encoder != nil {
		_, err = b.encoder.Write(data)
	} else {
		_, err = b.blob.Write(data)
	}
	if err != nil {
		return Location{}, fmt.Errorf("packing: %w", err)
	}
	b.raw += int64(len(data))
	if b.blob.Len() >= targetSize {
		err = b.Flush()
	}
	return at, err
}

// Flush emits the open pack, if anything is in it.
func (b *Builder) Flush() error {
	if b.raw == 0 {
		return nil
	}
	if b.encoder != nil {
		if err := b.encoder.Close(); err != nil {
			return fmt.Errorf("packing: %w", err)
		}
	}
	blob := b.blob.Bytes()
	p := b.open
	p.Digest, p.Size, p.Raw = sha256.Sum256(blob), int64(len(blob)), b.raw
	b.blob, b.raw, b.open = bytes.Buffer{}, 0, &Pack{Encoding: b.encoding}
	if b.encoder != nil {
		b.encoder.Reset(&b.blob)
	}
	return b.emit(p, blob)
}
