package chunk

import (
	"context"
	"fmt"
	"io"
	"slices"

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

// Read reads the wanted chunks from the blob of a pack, in one pass, and calls fn
// with each that has the digest it should have. The bytes are valid until fn
// returns. Nothing beyond what p says is read or decoded, whatever r holds.
func Read(ctx context.Context, p *Pack, r io.Reader, wanted []Wanted, fn func(Wanted, []byte) error) error {
	wanted = slices.Clone(wanted)
	slices.SortFunc(wanted, func(a, b Wanted) int { return int(a.Offset - b.Offset) })
	r = io.LimitReader(r, p.Size)
	if p.Encoding == Zstd {
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowSize), zstd.WithDecoderLowmem(true))
		if err != nil {
			return fmt.Errorf("decompressing pack %s: %w", p.Digest, err)
		}
		defer d.Close()
		r = io.LimitReader(d, p.Raw)
	}
	var at int64
	var buf []byte
	for _, w := range wanted {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if w.Offset < at {
			return fmt.Errorf("reading pack %s: its chunks overlap", p.Digest)
		}
		if _, err := io.CopyN(io.Discard, r, w.Offset-at); err != nil {
			return fmt.Errorf("reading pack %s: %w", p.Digest, unexpected(err))
		}
		if cap(buf) < w.Size {
			buf = make([]byte, w.Size)
		}
		data := buf[:w.Size]
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
