package chunk

import (
	"context"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// windowSize bounds what a reader of packs keeps in memory.
const windowSize = 4 << 20

// A Wanted is a chunk that is to be read from a pack.
type Wanted struct {
	ID     ID
	Offset int64
	Size   int
}

// A reader is what one stream after the other is decoded by: to make it takes longer than
// to decode a small pack.
type reader struct {
	decoder *zstd.Decoder
}

var readers = sync.Pool{New: func() any { return &reader{} }}

// decode returns what the frames in r decode to. Their checksums are not looked at,
// because chunks are known by better ones.
func (d *reader) decode(r io.Reader) (_ io.Reader, err error) {
	if d.decoder == nil {
		d.decoder, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowSize), zstd.WithDecoderLowmem(true), zstd.IgnoreChecksum(true))
		return d.decoder, err
	}
	return d.decoder, d.decoder.Reset(r)
}

// release makes the reader ready for others; it keeps nothing of the blob.
func (d *reader) release() {
	if d.decoder == nil || d.decoder.Reset(nil) == nil {
		readers.Put(d)
	}
}

// Read is [Split] and [Part.Read], one part after the other: it calls fn with each wanted
// chunk of a pack's blob that has the digest it should have. The bytes are valid until fn
// returns.
func Read(ctx context.Context, p *Pack, r io.Reader, wanted []Wanted, fn func(Wanted, []byte) error) error {
	return Split(ctx, p, r, wanted, func(part *Part) error {
		return part.Read(func(chunks []Wanted, data []byte) error {
			for _, w := range chunks {
				if err := fn(w, data[:w.Size]); err != nil {
					return err
				}
				data = data[w.Size:]
			}
			return nil
		})
	})
}
