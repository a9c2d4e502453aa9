package chunk

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
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

// A reader is what one Read after the other uses: to make it takes longer than to decode
// a small pack.
type reader struct {
	decoder *zstd.Decoder
	buf     []byte // of one chunk
}

var readers = sync.Pool{New: func() any { return &reader{buf: make([]byte, MaxSize)} }}

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

// Read reads the wanted chunks from the blob of a pack, in one pass, and calls fn
// with each that has the digest it should have. The bytes are valid until fn
// returns. Nothing beyond what p says is read or decoded, whatever r holds.
func Read(ctx context.Context, p *Pack, r io.Reader, wanted []Wanted, fn func(Wanted, []byte) error) error {
	wanted = slices.Clone(wanted)
	slices.SortFunc(wanted, func(a, b Wanted) int { return cmp.Compare(a.Offset, b.Offset) })
	d := readers.Get().(*reader)
	defer d.release()
	r = io.LimitReader(r, p.Size)
	if p.Encoding == Zstd {
		decoded, err := d.decode(r)
		if err != nil {
			return fmt.Errorf("decompressing pack %s: %w", p.Digest, err)
		}
		r = io.LimitReader(decoded, p.Raw)
	}
	var at int64
	for _, w := range wanted {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if w.Offset < at {
			return fmt.Errorf("reading pack %s: its chunks overlap", p.Digest)
		}
		if w.Size > MaxSize {
			return fmt.Errorf("reading pack %s: a chunk of %d bytes", p.Digest, w.Size)
		}
		if _, err := io.CopyN(io.Discard, r, w.Offset-at); err != nil {
			return fmt.Errorf("reading pack %s: %w", p.Digest, unexpected(err))
		}
		data := d.buf[:w.Size]
		if _, err := io.ReadFull(r, data); err != nil {
			return fmt.Errorf("reading pack %s: %w", p.Digest, unexpected(err))
		}
		at = w.Offset + int64(w.Size)
		if Sum(data) != w.ID {
			return fmt.Errorf("reading pack %s: %w", p.Digest, ErrCorrupt)
		}
		if err := fn(w, data); err != nil {
			return err
		}
	}
	return nil
}
