package chunk

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Split takes the blob of a pack apart, in one pass, and calls fn with each part that has
// wanted chunks in it, which fn owns from then on. Nothing beyond what p says is read or
// decoded, whatever r holds. Nothing is verified yet.
func Split(ctx context.Context, p *Pack, r io.Reader, wanted []Wanted, fn func(*Part) error) error {
	wanted = slices.Clone(wanted)
	slices.SortFunc(wanted, func(a, b Wanted) int { return cmp.Compare(a.Offset, b.Offset) })
	var at int64
	for _, w := range wanted {
		switch {
		case w.Offset < at:
			return fmt.Errorf("reading pack %s: its chunks overlap", p.Digest)
		case w.Size < 0 || w.Size > MaxSize:
			return fmt.Errorf("reading pack %s: a chunk of %d bytes", p.Digest, w.Size)
		case w.end() > p.Raw:
			return fmt.Errorf("reading pack %s: a chunk beyond its end", p.Digest)
		}
		at = w.end()
	}
	s := splitter{pack: p, in: io.LimitReader(r, p.Size), wanted: wanted, emit: fn}
	var err error
	if p.Encoding == Zstd {
		err = s.frames(ctx)
	} else {
		err = s.plain(ctx)
	}
	if err != nil {
		return fmt.Errorf("reading pack %s: %w", p.Digest, err)
	}
	return nil
}

type splitter struct {
	pack   *Pack
	in     io.Reader
	at     int64    // of what is decoded
	wanted []Wanted // that are not in a part yet
	emit   func(*Part) error
}

// frames makes each frame a part. From the first one that does not say how big it is, is
// bigger than ours, or has a part of a chunk only, frames are decoded one after the other.
func (s *splitter) frames(ctx context.Context) error {
	for len(s.wanted) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		buf := buffers.Get().(*[]byte)
		frame, raw, err := readFrame(s.in, (*buf)[:0])
		*buf = frame
		end := s.at + raw
		n := 0
		for n < len(s.wanted) && s.wanted[n].end() <= end {
			n++
		}
		switch {
		case errors.Is(err, errUnusual) || (err == nil && n < len(s.wanted) && s.wanted[n].Offset < end):
			defer buffers.Put(buf)
			return s.stream(ctx, bytes.NewReader(frame))
		case err != nil:
			buffers.Put(buf)
			return unexpected(err)
		case n == 0:
			buffers.Put(buf)
		default:
			if err := s.emit(&Part{pack: s.pack, coded: true, data: buf, offset: s.at, raw: int(raw), wanted: s.wanted[:n]}); err != nil {
				return err
			}
			s.wanted = s.wanted[n:]
		}
		s.at = end
	}
	return nil
}

// stream decodes what has been read already, and the rest of the blob.
func (s *splitter) stream(ctx context.Context, begun io.Reader) error {
	d := readers.Get().(*reader)
	defer d.release()
	decoded, err := d.decode(io.MultiReader(begun, s.in))
	if err != nil {
		return err
	}
	s.in = io.LimitReader(decoded, s.pack.Raw-s.at)
	return s.plain(ctx)
}

// plain makes parts of what needs no decoding.
func (s *splitter) plain(ctx context.Context) error {
	for len(s.wanted) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		start := s.wanted[0].Offset
		n, end := 1, s.wanted[0].end()
		for n < len(s.wanted) && s.wanted[n].Offset == end && s.wanted[n].end()-start <= blockSize {
			end = s.wanted[n].end()
			n++
		}
		if _, err := io.CopyN(io.Discard, s.in, start-s.at); err != nil {
			return unexpected(err)
		}
		buf := buffers.Get().(*[]byte)
		*buf = slices.Grow((*buf)[:0], int(end-start))[:end-start]
		if _, err := io.ReadFull(s.in, *buf); err != nil {
			buffers.Put(buf)
			return unexpected(err)
		}
		if err := s.emit(&Part{pack: s.pack, data: buf, offset: start, raw: int(end - start), wanted: s.wanted[:n]}); err != nil {
			return err
		}
		s.at, s.wanted = end, s.wanted[n:]
	}
	return nil
}

// errUnusual is a frame that a decoder may understand, and this file does not.
var errUnusual = errors.New("an unusual frame")

// readFrame appends one zstd frame (RFC 8878, 3.1.1) to buf, and tells what it decodes to.
// With errUnusual, buf has what was read of it.
func readFrame(r io.Reader, buf []byte) (frame []byte, raw int64, err error) {
	more := func(n int) bool {
		at := len(buf)
		buf = slices.Grow(buf, n)[:at+n]
		n, err = io.ReadFull(r, buf[at:])
		buf = buf[:at+n]
		return err == nil
	}
	// The first five bytes tell how long the header is.
	if !more(5) {
		return buf, 0, err
	}
	var h zstd.Header
	for h.Decode(buf) != nil {
		if len(buf) >= zstd.HeaderMaxSize {
			return buf, 0, errUnusual
		}
		if !more(1) {
			return buf, 0, err
		}
	}
	if h.Skippable || !h.HasFCS || h.FrameContentSize > blockSize {
		return buf, 0, errUnusual
	}
	for last := false; !last; {
		at := len(buf)
		if !more(3) {
			return buf, 0, err
		}
		block := int(buf[at]) | int(buf[at+1])<<8 | int(buf[at+2])<<16
		last = block&1 != 0
		size := block >> 3
		if kind := block >> 1 & 3; kind == 1 { // one byte, repeated
			size = 1
		}
		if size > 128<<10 || len(buf) > 2*blockSize {
			return buf, 0, errUnusual // a decoder will know what to say
		}
		if !more(size) {
			return buf, 0, err
		}
	}
	if h.HasCheckSum && !more(4) {
		return buf, 0, err
	}
	return buf, int64(h.FrameContentSize), nil
}
