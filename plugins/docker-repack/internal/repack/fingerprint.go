package repack

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

const (
	// anchor is a byte value that about one byte in a hundred has, in texts and
	// programs alike: what follows it is a candidate for a mark. Content decides
	// where marks are, so that equal stretches have equal marks wherever they lie.
	anchor = 'b'
	// marked is how many bytes from its anchor on a mark stands for.
	marked = 32
	// sparse keeps one candidate of 16, a mark for about 2 kB: 16 MB for 5 GB.
	sparse = 1<<4 - 1
)

// A mark is the fingerprint of a few bytes of a frame. Frames are compressed each
// by itself; marks tell what a compressor that sees more will find again.
type mark struct {
	offset uint32 // in the frame, uncompressed
	hash   uint32
}

// fingerprint returns the marks of a frame in the order of their offsets.
func fingerprint(frame []byte) []mark {
	var out []mark
	for at := 0; ; {
		i := bytes.IndexByte(frame[at:], anchor)
		if i < 0 || at+i+marked > len(frame) {
			return out
		}
		at += i
		h := uint64(0)
		for word := 0; word < marked; word += 8 {
			hi, lo := bits.Mul64(h^binary.LittleEndian.Uint64(frame[at+word:]), 0x9e3779b97f4a7c15)
			h = hi ^ lo
		}
		if h&sparse == 0 {
			out = append(out, mark{uint32(at), uint32(h >> 32)})
		}
		at++
	}
}
